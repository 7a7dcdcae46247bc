"""What routing adds to a lookup: the same statement on the same replica, asked of it or of an alias.

`python bench/routing.py [--quick]`. The alias has one replica, and the scope a write that the replica has
replayed, so every call looks at pins, health and positions. Models are asked the same way.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from statistics import median
from typing import Any, Final

import psycopg
from _harness import (
    CPU,
    LOOPS,
    OURS,
    Answer,
    AsyncContender,
    Contender,
    EventLoop,
    Face,
    Plan,
    Samples,
    Verdict,
    Who,
    lines_with,
    take_turns,
)
from _main import Question, main
from _place import Place, environment
from hyperdjango.database import Database
from hyperdjango.database._embedded_replica import ReplicatedServer
from hyperdjango.models import Model
from hyperdjango.multi_db import ConnectionManager
from hyperdjango.multi_db import scope as scopes

TABLE_ROWS: Final = 10_000
SQL: Final = "SELECT id, name FROM bench_routed WHERE id = $1"
LIMIT_US: Final = 3.0
ROUTED: Final = f"{OURS}, routed"
MODELS: Final = "models, using() the replica"
ROUTED_MODELS: Final = "models, routed"


class Routed(Model):
    """A row to look up."""

    name: str

    class Meta:
        """Its table is made by hand, on the primary."""

        table = "bench_routed"


def _make(primary: ReplicatedServer, replica: ReplicatedServer) -> None:
    with psycopg.connect(primary.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE bench_routed (id bigint PRIMARY KEY, name text NOT NULL)")
        connection.execute(
            f"INSERT INTO bench_routed SELECT i, 'name ' || i FROM generate_series(1, {TABLE_ROWS}) i".encode()
        )
        connection.execute("VACUUM ANALYZE bench_routed")
        row = connection.execute("SELECT pg_current_wal_flush_lsn()::text").fetchone()
    assert row is not None
    with psycopg.connect(replica.url, autocommit=True) as connection:
        while connection.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", row).fetchone() != (True,):
            pass


def _contenders(loop: EventLoop, primary: ReplicatedServer, replica: ReplicatedServer) -> list[Contender]:
    direct: Database = loop.run(Database(replica.url, 1, 1).connect())
    loop.defer(direct.disconnect)
    direct.alias = "replica"
    connections = ConnectionManager()
    alias = {"primary": primary.url, "replicas": [replica.url], "min_size": 1, "max_size": 1}
    loop.run(connections.configure({"default": alias}))
    loop.defer(connections.close)
    reader = connections.reader()

    async def written() -> None:
        # Of the process: every later call must look whether the replica has it.
        await connections["default"].execute("UPDATE bench_routed SET name = name WHERE id = 1")
        while connections.explain_route(Routed).role != "replica":
            await reader.query_val("SELECT 1")

    loop.run(written())
    assert scopes.PROCESS.positions

    def asked(name: str, database: Database) -> Contender:
        async def many(keys: Sequence[int]) -> None:
            for key in keys:
                await database.query_one(SQL, key)

        return AsyncContender(name, loop, lambda key: database.query_one(SQL, key), many)

    def found(name: str, using: Any) -> Contender:
        async def one(key: int) -> dict[str, Any]:
            row = await Routed.objects.using(using).get(id=key)
            return {"id": row.id, "name": row.name}

        async def many(keys: Sequence[int]) -> None:
            for key in keys:
                await Routed.objects.using(using).get(id=key)

        return AsyncContender(name, loop, one, many)

    return [
        asked(OURS, direct),
        asked(ROUTED, reader),
        found(MODELS, direct),
        found(ROUTED_MODELS, "default"),
    ]


def _added(samples: Samples, face: Face, routed: str, direct: str) -> float:
    """The median of what routing adds within a round, in µs of CPU."""
    pairs = zip(samples[routed, face], samples[direct, face], strict=True)
    return median([(one.of(CPU) - other.of(CPU)) / 1e3 for one, other in pairs])


def answer(place: Place, plan: Plan) -> Answer:
    """Measure, on two servers of our own: the place's cannot have a replica."""
    described = environment(place)
    with ExitStack() as stack:
        primary = stack.enter_context(ReplicatedServer(settings={"autovacuum": "off"}))
        replica = primary.start_replica()
        _make(primary, replica)
        samples: Samples = {}
        for face in LOOPS:
            # One manager at a time: models ask the last one.
            with EventLoop(face) as loop:
                samples |= take_turns(_contenders(loop, primary, replica), range(1, TABLE_ROWS + 1), plan)

    def peer(face: Face) -> Who:
        return OURS, face

    return Answer(
        question="routing",
        title="A lookup by an alias with replicas",
        units={"wall": "µs", "CPU": "µs"},
        setting={"rounds": plan.rounds, "operations per turn": plan.operations, "seed": plan.seed},
        environment=described,
        lines=lines_with(samples, {"wall": "wall", "CPU": CPU}, {"CPU ÷ direct": (peer, CPU)}),
        verdicts=[
            Verdict(
                f"routing adds at most {LIMIT_US:.0f} µs of CPU to {words} on {face}",
                LIMIT_US,
                _added(samples, face, routed, direct),
            )
            for face in LOOPS
            for words, routed, direct in (
                ("a query", ROUTED, OURS),
                ("a lookup of a model", ROUTED_MODELS, MODELS),
            )
        ],
        notes=[
            "Direct: a pool of one connection to the replica. Routed: an alias with a primary and this replica.",
            "The scope has written, and the replica has replayed it: each call looks at that.",
            "What is added is the median of the differences within a round.",
        ],
    )


QUESTION: Final = Question(
    answer,
    full=Plan(rounds=31, operations=400, warmup=400),
    quick=Plan(rounds=5, operations=100, warmup=100),
)

if __name__ == "__main__":
    main(QUESTION)
