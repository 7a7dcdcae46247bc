"""What relations cost: a filter that finds 1 000 parents, and for each its 5 children.

`python bench/orm_prefetch.py [--quick]`.
"""

from contextlib import ExitStack
from typing import Final

from _harness import Answer, Plan, judge, take_turns
from _main import Question, main
from _orm import best_targets, contenders, described, lines, notes
from _orm_tables import AUTHORS, BOOKS_EACH, make_tables
from _place import Place

LIMIT: Final = 2
FOUND: Final = AUTHORS // 2


def answer(place: Place, plan: Plan) -> Answer:
    """Measure."""
    make_tables(place)
    environment = described(place)
    with ExitStack() as stack:
        samples = take_turns(contenders(stack, place, lambda orm: orm.prefetch()), range(1), plan)
    return Answer(
        question="orm_prefetch",
        title=f"A filter that finds {FOUND} parents, and {BOOKS_EACH} children of each",
        units={"wall": "ms", "CPU": "ms"},
        setting={"rounds": plan.rounds, "operations per turn": plan.operations, "seed": plan.seed},
        environment=environment,
        lines=lines(samples),
        verdicts=judge(samples, best_targets(samples, f"{FOUND} parents with their children", LIMIT)),
        notes=[
            f"Parents of 3 columns, {FOUND} of {AUTHORS} by a boolean; children of 5, indexed by parent.",
            "Piccolo prefetches parents of children only: here a second query, sorted out by a dict.",
            *notes(),
        ],
    )


QUESTION: Final = Question(
    answer,
    full=Plan(rounds=21, operations=1, warmup=2),
    quick=Plan(rounds=3, operations=1, warmup=1),
)

if __name__ == "__main__":
    main(QUESTION)
