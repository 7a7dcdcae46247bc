"""What routing adds: the same lookup on the same replica, and the same write, asked of the server or of an alias.

`python bench/routing.py [--quick]`. The alias has one replica, and the scope a write that the replica has
replayed, so every lookup looks at pins, health and positions. Models are asked the same way. Behind each write
it is asked how far the log is.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
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
    Line,
    Measure,
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
UPDATE: Final = "UPDATE bench_routed SET name = $2 WHERE id = $1"
WRITE: Final = "an UPDATE"
ROUTED_WRITE: Final = "an UPDATE, routed"
BLOCK: Final = "an UPDATE in a block"
ROUTED_BLOCK: Final = "an UPDATE in a block, routed"


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


# Whom each is compared with.
AMONG: Final = {
    OURS: (OURS, ROUTED, MODELS, ROUTED_MODELS),
    WRITE: (WRITE, ROUTED_WRITE),
    BLOCK: (BLOCK, ROUTED_BLOCK),
}


def _who(name: str, face: Face) -> Who:
    return name, face


def _manager(loop: EventLoop, primary: ReplicatedServer, replica: ReplicatedServer) -> ConnectionManager:
    connections = ConnectionManager()
    alias = {"primary": primary.url, "replicas": [replica.url], "min_size": 1, "max_size": 1}
    loop.run(connections.configure({"default": alias}))
    loop.defer(connections.close)
    return connections


def _direct(loop: EventLoop, server: ReplicatedServer) -> Database:
    direct: Database = loop.run(Database(server.url, 1, 1).connect())
    loop.defer(direct.disconnect)
    return direct


def _writers(loop: EventLoop, primary: ReplicatedServer, replica: ReplicatedServer) -> list[Contender]:
    def single(name: str, database: Database) -> Contender:
        async def many(keys: Sequence[int]) -> None:
            for key in keys:
                await database.execute(UPDATE, key, "another name")

        return AsyncContender(name, loop, lambda key: database.execute(UPDATE, key, "another name"), many)

    def block(name: str, database: Database) -> Contender:
        async def one(key: int) -> str:
            async with database.transaction():
                return await database.execute(UPDATE, key, "another name")

        async def many(keys: Sequence[int]) -> None:
            for key in keys:
                await one(key)

        return AsyncContender(name, loop, one, many)

    direct, routed = _direct(loop, primary), _manager(loop, primary, replica)["default"]
    return [
        single(WRITE, direct),
        single(ROUTED_WRITE, routed),
        block(BLOCK, direct),
        block(ROUTED_BLOCK, routed),
    ]


def _readers(loop: EventLoop, primary: ReplicatedServer, replica: ReplicatedServer) -> list[Contender]:
    direct = _direct(loop, replica)
    direct.alias = "replica"
    connections = _manager(loop, primary, replica)
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
                samples |= take_turns(_readers(loop, primary, replica), range(1, TABLE_ROWS + 1), plan)
            # Apart: a lookup behind a write waits for the replica.
            with EventLoop(face) as loop:
                samples |= take_turns(_writers(loop, primary, replica), range(1, TABLE_ROWS + 1), plan)

    figures: dict[str, Measure] = {"wall": "wall", "CPU": CPU}
    lines: list[Line] = []
    for direct, names in AMONG.items():
        some = {who: turns for who, turns in samples.items() if who[0] in names}
        lines += lines_with(some, figures, {"CPU ÷ direct": (partial(_who, direct), CPU)})
    return Answer(
        question="routing",
        title="A lookup, and a write, by an alias with replicas",
        units={"wall": "µs", "CPU": "µs"},
        setting={"rounds": plan.rounds, "operations per turn": plan.operations, "seed": plan.seed},
        environment=described,
        lines=lines,
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
            "Writes go to the primary. Routed, the position comes along, behind the statement or the COMMIT.",
        ],
    )


QUESTION: Final = Question(
    answer,
    full=Plan(rounds=31, operations=400, warmup=400),
    quick=Plan(rounds=5, operations=100, warmup=100),
)

if __name__ == "__main__":
    main(QUESTION)
