"""Statements with plans of every kind, and the tables that they read, for the tests of `explain`.

Each has a name, and may need run-time parameters for its plan to be the one it is there for.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Statement:
    """One statement.

    Attributes:
        settings: Run-time parameters, set for the transaction.
        since: The first release that has it.
        is_parallel: Run by several processes, so that not even counts are the same twice.
    """

    sql: str
    settings: tuple[str, ...] = ()
    since: int = 15
    is_parallel: bool = False


TABLES: Final = (
    "CREATE TABLE a (id int PRIMARY KEY, n int, label text)",
    "INSERT INTO a SELECT i, i % 50, 'label ' || i FROM generate_series(1, 4000) i",
    "CREATE INDEX a_n ON a (n)",
    "CREATE TABLE b (id int PRIMARY KEY, a_id int, v numeric)",
    "INSERT INTO b SELECT i, i % 4000 + 1, i / 7.0 FROM generate_series(1, 8000) i",
    "CREATE INDEX b_a ON b (a_id)",
    'CREATE TABLE "Odd ""name" (id int, "select" text)',
    """INSERT INTO "Odd ""name" VALUES (1, 'x''y')""",
    'CREATE INDEX "Odd index" ON "Odd ""name" (id)',
    "CREATE TABLE part (id int, at date) PARTITION BY RANGE (id)",
    "CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (100)",
    "CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM (100) TO (200)",
    "INSERT INTO part SELECT i, '2024-01-01' FROM generate_series(0, 199) i",
    "CREATE TABLE parent (id int)",
    "CREATE TABLE child () INHERITS (parent)",
    "CREATE TABLE loud (id int PRIMARY KEY)",
    "CREATE FUNCTION quiet() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    'CREATE TRIGGER "A trigger" AFTER INSERT ON loud FOR EACH ROW EXECUTE FUNCTION quiet()',
    "CREATE TABLE meek (id int REFERENCES loud ON DELETE CASCADE)",
    "INSERT INTO loud SELECT generate_series(1, 20)",
    "INSERT INTO meek SELECT generate_series(1, 20)",
    "CREATE VIEW odd_view AS SELECT id, n FROM a WHERE n < 3",
    "CREATE RULE also AS ON UPDATE TO parent DO ALSO INSERT INTO child VALUES (1)",
    "CREATE FUNCTION many(int) RETURNS SETOF int LANGUAGE plpgsql ROWS 7 AS 'BEGIN RETURN NEXT $1; END'",
    # What analyzes a table while a test compares two runs changes the plan between them.
    """DO $$ DECLARE name text; BEGIN
        FOR name IN SELECT oid::regclass FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
        LOOP EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = off)', name); END LOOP; END $$""",
    "VACUUM (ANALYZE)",
)

_NO_SEQ: Final = ("enable_seqscan = off",)
_BITMAP: Final = (*_NO_SEQ, "enable_indexscan = off", "enable_indexonlyscan = off")
_NESTED: Final = ("enable_hashjoin = off", "enable_mergejoin = off")
_MERGE: Final = ("enable_hashjoin = off", "enable_nestloop = off")
_SMALL: Final = ("work_mem = '64kB'",)
_PARALLEL: Final = (
    "parallel_setup_cost = 0",
    "parallel_tuple_cost = 0",
    "min_parallel_table_scan_size = 0",
    "min_parallel_index_scan_size = 0",
    "max_parallel_workers_per_gather = 2",
)


def _parallel(sql: str, *settings: str) -> Statement:
    return Statement(sql, (*_PARALLEL, *settings), is_parallel=True)


STATEMENTS: Final[dict[str, Statement]] = {
    "a value": Statement("SELECT 1"),
    "nothing": Statement("SELECT"),
    "values": Statement("VALUES (1, 'a'), (2, 'b')"),
    "a table": Statement("TABLE a"),
    "a filter": Statement("SELECT * FROM a WHERE label LIKE '%7%'"),
    "a filter that removes nothing": Statement("SELECT * FROM a WHERE length(label) > 0"),
    "a literal with quotes and lines": Statement("SELECT * FROM a WHERE label = E'it''s\\n\\\\ \"so\" ü'"),
    "an alias": Statement("SELECT * FROM a AS x"),
    "odd names": Statement('SELECT * FROM "Odd ""name" AS "X Y" WHERE "select" = \'x\'\'y\''),
    "an odd index": Statement('SELECT * FROM "Odd ""name" WHERE id = 1', _NO_SEQ),
    "a name that is a key word": Statement(
        'SELECT * FROM part_1 AS "select", part_2 AS "over", parent AS "user"'
    ),
    "an index scan": Statement("SELECT * FROM a WHERE id = 7"),
    "an index scan with a filter": Statement("SELECT * FROM a WHERE id < 70 AND label LIKE '%3'"),
    "an index scan backward": Statement("SELECT * FROM a ORDER BY id DESC LIMIT 3"),
    "an index-only scan": Statement("SELECT id FROM a WHERE id BETWEEN 5 AND 9"),
    "an index-only scan backward": Statement("SELECT max(id) FROM a"),
    "an index scan of an array": Statement("SELECT * FROM a WHERE id = ANY('{1,2,3}')"),
    "a bitmap scan": Statement("SELECT * FROM a WHERE n = 7", _BITMAP),
    "a bitmap or": Statement("SELECT * FROM a WHERE n = 7 OR id = 9", _BITMAP),
    "a bitmap and": Statement("SELECT * FROM a WHERE n = 7 AND id < 3000", _BITMAP),
    "a lossy bitmap": Statement("SELECT * FROM a WHERE n < 40", (*_BITMAP, *_SMALL)),
    "a sort": Statement("SELECT * FROM a ORDER BY label DESC NULLS LAST, n"),
    "a sort on disk": Statement("SELECT * FROM a ORDER BY label", _SMALL),
    "a top-N sort": Statement("SELECT * FROM a ORDER BY label LIMIT 5 OFFSET 2"),
    "an incremental sort": Statement("SELECT * FROM a ORDER BY n, label LIMIT 200", _NO_SEQ),
    "an incremental sort of all": Statement(
        "SELECT * FROM a ORDER BY n, label", (*_NO_SEQ, "enable_sort = off", *_SMALL)
    ),
    "a hash join": Statement("SELECT * FROM a JOIN b ON b.a_id = a.id WHERE a.n < 20"),
    "a hash join in batches": Statement("SELECT * FROM a JOIN b ON b.a_id = a.id", _SMALL),
    "a hash left join": Statement("SELECT * FROM a LEFT JOIN b ON b.a_id = a.id AND b.v > a.n"),
    "a full join": Statement("SELECT * FROM a FULL JOIN b ON b.a_id = a.id"),
    "a right join": Statement("SELECT * FROM (SELECT * FROM a WHERE n = 1) a RIGHT JOIN b ON b.a_id = a.id"),
    "a semi join": Statement("SELECT * FROM a WHERE EXISTS (SELECT FROM b WHERE b.a_id = a.id AND v > 3)"),
    "an anti join": Statement("SELECT * FROM a WHERE NOT EXISTS (SELECT FROM b WHERE b.a_id = a.id)"),
    "a merge join": Statement("SELECT * FROM a JOIN b ON b.a_id = a.id", _MERGE),
    "a merge left join": Statement("SELECT * FROM b LEFT JOIN a ON b.a_id = a.id AND a.n < b.v", _MERGE),
    "a nested loop": Statement("SELECT * FROM a JOIN b ON b.a_id = a.id WHERE a.id < 10", _NESTED),
    "a nested loop with a filter": Statement("SELECT * FROM a, part_1 p WHERE a.id <> p.id AND a.id < 5"),
    "a nested loop left join": Statement("SELECT * FROM part_1 p LEFT JOIN a ON a.id = p.id", _NESTED),
    "memoize": Statement("SELECT * FROM b JOIN a ON a.n = b.a_id % 10 WHERE a.id < 500", _NESTED),
    "memoize that evicts": Statement(
        "SELECT * FROM b JOIN a ON a.id = b.a_id", (*_NESTED, *_NO_SEQ, *_SMALL, "enable_material = off")
    ),
    "materialize": Statement(
        "SELECT * FROM part_1 p, (SELECT n FROM a WHERE label > 'label 9') x",
        (*_NESTED, "enable_memoize = off"),
    ),
    "an aggregate": Statement("SELECT count(*), sum(n) FROM a"),
    "a group": Statement("SELECT n, count(*) FROM a GROUP BY n HAVING count(*) > 5"),
    "a sorted group": Statement("SELECT label, count(*) FROM a GROUP BY label", ("enable_hashagg = off",)),
    "a hashed group on disk": Statement("SELECT label, count(*) FROM a GROUP BY label", _SMALL),
    "grouping sets": Statement(
        "SELECT n, label, count(*) FROM a GROUP BY GROUPING SETS ((n, label), (n), ())"
    ),
    "a cube": Statement("SELECT n % 3 AS x, id % 2 AS y, count(*) FROM a GROUP BY CUBE (1, 2)"),
    "a sorted cube": Statement(
        "SELECT n % 3 AS x, id % 2 AS y, count(*) FROM a GROUP BY CUBE (1, 2)", ("enable_hashagg = off",)
    ),
    "distinct": Statement("SELECT DISTINCT n FROM a"),
    "unique": Statement("SELECT DISTINCT ON (n) n, label FROM a ORDER BY n, label"),
    "a window": Statement("SELECT id, row_number() OVER (PARTITION BY n ORDER BY id) FROM a"),
    "two windows": Statement(
        "SELECT sum(n) OVER w, rank() OVER (ORDER BY label) FROM a WINDOW w AS (ORDER BY id)"
    ),
    "a run condition": Statement(
        "SELECT * FROM (SELECT id, row_number() OVER (ORDER BY id) AS r FROM a) x WHERE r < 5"
    ),
    "union all": Statement("SELECT id FROM a UNION ALL SELECT id FROM b"),
    "union": Statement("SELECT n FROM a UNION SELECT id FROM b"),
    "intersect": Statement("SELECT id FROM a INTERSECT SELECT id FROM b"),
    "except all": Statement("SELECT id FROM a EXCEPT ALL SELECT id FROM b", ("enable_hashagg = off",)),
    "an append that is cut": Statement("SELECT * FROM part WHERE id < (SELECT 50)"),
    "an append with one left": Statement("SELECT * FROM part WHERE id = 5"),
    "a merge append": Statement(
        "SELECT * FROM (SELECT id FROM a UNION ALL SELECT id FROM b) x ORDER BY id LIMIT 9"
    ),
    "an init plan": Statement("SELECT * FROM a WHERE n = (SELECT max(n) FROM a AS x)"),
    "two init plans": Statement(
        "SELECT (SELECT 1 FROM part_1 LIMIT 1), * FROM a WHERE id = (SELECT min(id) FROM b)"
    ),
    "a sub plan": Statement("SELECT id, (SELECT count(*) FROM b WHERE b.a_id = a.id) FROM a WHERE id < 20"),
    "a hashed sub plan": Statement("SELECT * FROM a WHERE id NOT IN (SELECT a_id FROM b)"),
    "an array": Statement("SELECT ARRAY(SELECT id FROM a ORDER BY id LIMIT 4)"),
    "a cte": Statement("WITH x AS MATERIALIZED (SELECT * FROM a WHERE n = 3) SELECT * FROM x, x AS y"),
    "a recursive cte": Statement(
        "WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 4) SELECT sum(n) FROM r"
    ),
    "a cte that writes": Statement(
        "WITH gone AS (DELETE FROM meek WHERE id < 5 RETURNING id) SELECT count(*) FROM gone"
    ),
    "a function": Statement("SELECT * FROM generate_series(1, 5)"),
    "a function with an alias": Statement("SELECT * FROM many(3) AS m WHERE m > 1"),
    "functions together": Statement(
        "SELECT * FROM ROWS FROM (generate_series(1, 3), many(2)) WITH ORDINALITY"
    ),
    "a set": Statement("SELECT generate_series(1, id) FROM a WHERE id < 4"),
    "a table function": Statement(
        "SELECT * FROM json_table('[1]', '$[*]' COLUMNS (v int PATH '$'))", since=17
    ),
    "a subquery": Statement("SELECT * FROM (SELECT * FROM a LIMIT 5) AS x WHERE n > 3"),
    "a view": Statement("SELECT * FROM odd_view AS v"),
    "a tid": Statement("SELECT * FROM a WHERE ctid = '(0,1)'"),
    "a range of tids": Statement("SELECT * FROM a WHERE ctid < '(1,1)'"),
    "a sample": Statement("SELECT * FROM a TABLESAMPLE bernoulli (100) REPEATABLE (3)"),
    "a sample without a seed": Statement("SELECT * FROM a TABLESAMPLE system (100)"),
    "a filter that is false": Statement("SELECT * FROM a WHERE false"),
    "a filter that is asked once": Statement("SELECT * FROM a WHERE current_user = 'nobody'"),
    "rows to lock": Statement("SELECT * FROM a WHERE id < 5 FOR UPDATE"),
    "an insert": Statement("INSERT INTO a VALUES (5000, 1, 'x')"),
    "an insert from a query": Statement("INSERT INTO a SELECT id + 10000, 1, 'x' FROM a RETURNING *"),
    "an insert on conflict": Statement("INSERT INTO a VALUES (1, 1, 'x') ON CONFLICT (id) DO NOTHING"),
    "an upsert": Statement(
        "INSERT INTO a VALUES (1, 1, 'x'), (6000, 1, 'y') ON CONFLICT (id) DO UPDATE SET n = 2 WHERE a.n < 0"
    ),
    "an update": Statement("UPDATE a SET label = 'x' FROM b WHERE b.a_id = a.id AND b.id < 9"),
    "a delete": Statement("DELETE FROM meek WHERE id = 5"),
    "a merge": Statement(
        "MERGE INTO a USING part_1 AS p ON a.id = p.id + 3990"
        " WHEN MATCHED AND p.id < 3 THEN DELETE WHEN MATCHED THEN UPDATE SET n = 1"
        " WHEN NOT MATCHED AND p.id > 50 THEN INSERT VALUES (p.id + 3990, 1, 'x')"
        " WHEN NOT MATCHED THEN DO NOTHING"
    ),
    "triggers": Statement("INSERT INTO loud SELECT generate_series(100, 105)"),
    "a constraint's triggers": Statement("INSERT INTO meek SELECT generate_series(1, 5)"),
    "a cascade": Statement("DELETE FROM loud WHERE id < 4"),
    "an update of partitions": Statement("UPDATE part SET at = '2025-01-01' WHERE id < 150"),
    "an insert into partitions": Statement("INSERT INTO part VALUES (5, NULL)"),
    "a delete of inherited": Statement("DELETE FROM parent"),
    "several plans": Statement("UPDATE parent SET id = 1"),
    "a table made of a query": Statement("CREATE TABLE made AS SELECT * FROM a WHERE n = 1"),
    "a node that is disabled": Statement("SELECT * FROM parent", _NO_SEQ),
    "a gather": _parallel("SELECT count(*) FROM a WHERE n > 3"),
    "a gather merge": _parallel("SELECT * FROM a ORDER BY label"),
    "a parallel hash join": _parallel("SELECT count(*) FROM a JOIN b ON b.a_id = a.id"),
    "a parallel group": _parallel("SELECT n, count(*) FROM a GROUP BY n", "enable_sort = off"),
    "a parallel append": _parallel("SELECT count(*) FROM (SELECT id FROM a UNION ALL SELECT id FROM b) x"),
    "a parallel index scan": _parallel("SELECT count(label) FROM a WHERE id < 3000", *_NO_SEQ),
    "a parallel bitmap scan": _parallel("SELECT count(label) FROM a WHERE n < 30", *_BITMAP),
}
