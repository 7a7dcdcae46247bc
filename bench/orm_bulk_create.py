"""What many new rows cost: 10 000 instances made and inserted.

`python bench/orm_bulk_create.py [--quick]`. The table is emptied before each turn, outside the clock.
"""

from contextlib import ExitStack
from typing import Final

import psycopg
from _harness import Answer, Plan, judge, take_turns
from _main import Question, main
from _orm import OF_DICTS, best_targets, contenders, described, lines, notes
from _orm_tables import ROWS, make_tables, new_items
from _place import Place
from execute_many import Emptied

LIMIT: Final = 3
TABLE: Final = "bench_new_item"
SUMMARY: Final = (
    "count(*), sum(price), max(name), min(created_at), max(published), min(token::text), sum(weight::numeric)"
)


def answer(place: Place, plan: Plan) -> Answer:
    """Measure; a quick plan has fewer instances."""
    sets = new_items(ROWS if plan.rounds > 5 else ROWS // 20)
    make_tables(place)
    environment = described(place)
    with ExitStack() as stack:
        other = stack.enter_context(psycopg.connect(place.url, autocommit=True))
        made = contenders(stack, place, lambda orm: orm.bulk_create(sets))
        emptied = [Emptied(each, other, TABLE, SUMMARY) for each in made]
        samples = take_turns(emptied, range(1), plan)
    what = f"{len(sets)} instances by bulk_create"
    makers = {who: turns for who, turns in samples.items() if who[0] != OF_DICTS}
    targets = [
        *best_targets(samples, what, LIMIT),
        *best_targets(makers, f"{what}, beside those that make instances,", LIMIT),
    ]
    return Answer(
        question="orm_bulk_create",
        title=f"{len(sets)} instances made and inserted",
        units={"wall": "ms", "CPU": "ms"},
        setting={"rounds": plan.rounds, "operations per turn": plan.operations, "seed": plan.seed},
        environment=environment,
        lines=lines(samples),
        verdicts=judge(samples, targets),
        notes=[
            "8 columns, the key from the database; making the instances is in the time, and one transaction.",
            "SQLAlchemy, insert() of dicts: makes no instances. It and Tortoise learn no keys.",
            "Piccolo: in parts, since one statement would have more parameters than the protocol allows.",
            *notes(),
        ],
    )


QUESTION: Final = Question(
    answer,
    full=Plan(rounds=15, operations=1, warmup=1),
    quick=Plan(rounds=3, operations=1, warmup=1),
)

if __name__ == "__main__":
    main(QUESTION)
