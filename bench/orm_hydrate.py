"""What instances cost: 10 000 rows of 8 columns as instances of a model.

`python bench/orm_hydrate.py [--quick]`. Beside the ORMs stands what our driver gives without one: the same
rows as dicts.
"""

from contextlib import ExitStack
from typing import Final

from _harness import LOOPS, WALL, Answer, Face, Plan, Target, Who, judge, take_turns
from _main import Question, main
from _orm import DICTS, ORM, best_targets, contenders, described, lines, notes
from _orm_tables import ROWS, make_tables
from _place import Place

LIMIT: Final = 2.5
LIMIT_OF_DICTS: Final = 1.3


def _dicts(face: Face) -> Who:
    return DICTS, (LOOPS[0] if face == "blocking" else face)


def answer(place: Place, plan: Plan) -> Answer:
    """Measure; a quick plan has fewer rows."""
    rows = ROWS if plan.rounds > 5 else ROWS // 10
    make_tables(place, rows)
    environment = described(place)
    with ExitStack() as stack:
        samples = take_turns(contenders(stack, place, lambda orm: orm.hydrate()), range(1), plan)
    beside_dicts = [
        Target(
            f"{rows} instances on {face} take at most {LIMIT_OF_DICTS} of the driver's dicts' wall time",
            DICTS,
            face,
            face,
            WALL,
            LIMIT_OF_DICTS,
            ORM,
        )
        for face in LOOPS
    ]
    return Answer(
        question="orm_hydrate",
        title=f"{rows} rows of 8 columns as instances",
        units={"wall": "ms", "CPU": "ms"},
        setting={"rounds": plan.rounds, "operations per turn": plan.operations, "seed": plan.seed},
        environment=environment,
        lines=lines(samples, {"wall ÷ dicts": (_dicts, WALL)}),
        verdicts=judge(samples, [*best_targets(samples, f"{rows} rows as instances", LIMIT), *beside_dicts]),
        notes=[
            "Columns: bigint, text, numeric, timestamptz, date, bool, uuid, double precision.",
            "Dicts: our driver's query of the same columns.",
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
