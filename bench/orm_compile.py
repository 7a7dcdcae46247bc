"""What a queryset costs before anything is sent: building a known shape, and its SQL and parameters.

`python bench/orm_compile.py [--quick]`. The shape is a filter by two lookups, an order and a limit; only the
values change. Before that is measured, every ORM runs its queryset once and all must find the same rows.
"""

from contextlib import ExitStack
from statistics import median
from typing import Final

from _harness import CPU, Answer, Plan, Verdict, take_turns
from _main import Question, main
from _orm import ORM, contenders, described, lines, notes
from _orm_tables import make_tables
from _place import Place

LIMIT_US: Final = 15


def answer(place: Place, plan: Plan) -> Answer:
    """Measure."""
    make_tables(place)
    environment = described(place)
    with ExitStack() as stack:
        made = contenders(stack, place, lambda orm: orm.compile(), ("asyncio",))
        samples = take_turns(made, range(1, 500), plan)
    # Nothing is waited for, so that what the processor does for others is all that the wall time has more.
    took_us = median([turn.of(CPU) for turn in samples[ORM, "asyncio"]]) / 1e3
    return Answer(
        question="orm_compile",
        title="Building and compiling a queryset of a known shape",
        units={"wall": "µs", "CPU": "µs"},
        setting={"rounds": plan.rounds, "querysets per turn": plan.operations, "seed": plan.seed},
        environment=environment,
        lines=lines(samples),
        verdicts=[Verdict(f"building and compiling takes at most {LIMIT_US} µs of CPU", LIMIT_US, took_us)],
        notes=[
            '`filter(pages__gte=…, title__startswith="a").order_by("-price")[:20]`, as each has it; no I/O.',
            "SQLAlchemy: through its cache of statements, as a session does; compile() goes without it.",
            "Django: `query.sql_with_params()`. Tortoise: `sql()`. Piccolo: `compile_string()`.",
            *notes(),
        ],
    )


QUESTION: Final = Question(
    answer,
    full=Plan(rounds=21, operations=500, warmup=200),
    quick=Plan(rounds=3, operations=50, warmup=20),
)

if __name__ == "__main__":
    main(QUESTION)
