"""How many requests per second an application serves, each a JSON list of 100 rows.

`python bench/app_list.py [--quick]`. `_app_server.py` has both applications, `_app.py` measures them.
"""

from _app import answer as app_answer
from _harness import Answer, Plan
from _main import Question, main
from _place import Place


def answer(place: Place, plan: Plan) -> Answer:
    """Measure."""
    return app_answer(
        place, plan, question="app_list", title="A JSON list of 100 rows over HTTP", path="/list"
    )


QUESTION = Question(
    answer,
    full=Plan(rounds=15, operations=30, warmup=20),
    quick=Plan(rounds=3, operations=10, warmup=10),
)

if __name__ == "__main__":
    main(QUESTION)
