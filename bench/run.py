"""All benchmarks in one command: `python bench/run.py`, or with `--quick` to see that they work.

A full run writes the tables into bench/README.md and the pictures into bench/images, and is refused where the
extension is not built as it is shipped; a quick one prints the tables and changes nothing but the JSON files.
"""

import sys
from typing import Final

import app_list
import app_row
import arrow_columns
import copy_records
import execute_many
import flat_memory
import gather
import loader
import lookup
import memory
import mixed
import orm_bulk_create
import orm_compile
import orm_get
import orm_hydrate
import orm_prefetch
import pipeline
import plots
import query_json
import report
import routing
import rows
import stream
import ticker
from _harness import RESULTS, Failed
from _main import Question, parser, warn_of_debug
from _place import is_release, started

QUESTIONS: Final[dict[str, Question]] = {
    "lookup": lookup.QUESTION,
    "rows": rows.QUESTION,
    "query_json": query_json.QUESTION,
    "memory": memory.QUESTION,
    "gather": gather.QUESTION,
    "mixed": mixed.QUESTION,
    "ticker": ticker.QUESTION,
    "pipeline": pipeline.QUESTION,
    "arrow": arrow_columns.QUESTION,
    "copy_records": copy_records.QUESTION,
    "execute_many": execute_many.QUESTION,
    "stream": stream.QUESTION,
    "flat_memory": flat_memory.QUESTION,
    "orm_hydrate": orm_hydrate.QUESTION,
    "orm_get": orm_get.QUESTION,
    "orm_bulk_create": orm_bulk_create.QUESTION,
    "orm_prefetch": orm_prefetch.QUESTION,
    "orm_compile": orm_compile.QUESTION,
    "loader": loader.QUESTION,
    "routing": routing.QUESTION,
    "app_list": app_list.QUESTION,
    "app_row": app_row.QUESTION,
}


def main() -> int:
    """Run the chosen questions and return the exit code."""
    made = parser("Run the benchmarks.")
    made.add_argument("questions", nargs="*", metavar="question", help=f"of {', '.join(QUESTIONS)}; all")
    options = made.parse_args()
    unknown = set(options.questions) - set(QUESTIONS)
    if unknown:
        made.error(f"no question called {', '.join(sorted(unknown))}; there are {', '.join(QUESTIONS)}")
    warn_of_debug()
    if not options.quick and not is_release():
        return 1
    # A quick run's figures must not lie where the report of a full one looks for them.
    folder = options.output / "quick" if options.quick and options.output == RESULTS else options.output
    answers = []
    try:
        with started(options.transport, options.pin) as place:
            for name in options.questions or QUESTIONS:
                print(f"{name} …", file=sys.stderr, flush=True)
                question = QUESTIONS[name]
                answer = question.answer(place, question.quick if options.quick else question.full)
                answer.write(folder)
                answers.append(answer)
        print(report.markdown(answers))
        if not options.quick:
            measured = report.read(folder)
            report.write(measured)
            plots.write(measured)
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
