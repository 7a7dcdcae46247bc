"""What an ORM adds to a lookup: one instance by its primary key.

`python bench/orm_get.py [--quick]`.
"""

from contextlib import ExitStack
from typing import Final

from _harness import Answer, Plan, judge, take_turns
from _main import Question, main
from _orm import best_targets, contenders, described, lines, notes
from _orm_tables import ROWS, make_tables
from _place import Place

LIMIT: Final = 1.5


def answer(place: Place, plan: Plan) -> Answer:
    """Measure."""
    make_tables(place)
    environment = described(place)
    with ExitStack() as stack:
        samples = take_turns(contenders(stack, place, lambda orm: orm.get()), range(1, ROWS + 1), plan)
    return Answer(
        question="orm_get",
        title="One instance by primary key",
        units={"wall": "µs", "CPU": "µs"},
        setting={"rounds": plan.rounds, "lookups per turn": plan.operations, "seed": plan.seed},
        environment=environment,
        lines=lines(samples),
        verdicts=judge(samples, best_targets(samples, "an instance by primary key", LIMIT)),
        notes=[
            f"A table of {ROWS} rows of 8 columns.",
            "SQLAlchemy, one session for many: it keeps its connection; others take one for each.",
            *notes(),
        ],
    )


QUESTION: Final = Question(
    answer,
    full=Plan(rounds=21, operations=200, warmup=200),
    quick=Plan(rounds=3, operations=50, warmup=20),
)

if __name__ == "__main__":
    main(QUESTION)
