"""The command line that every question has by itself: `python bench/<question>.py [--quick]`."""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from _harness import RESULTS, Answer, Plan
from _place import Place, build_mode, is_release, started
from report import markdown


@dataclass(frozen=True)
class Question:
    """What a module of this folder answers, and how much it measures for that."""

    answer: Callable[[Place, Plan], Answer]
    full: Plan
    quick: Plan


def parser(description: str) -> argparse.ArgumentParser:
    """Make one with the options that all commands share."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--quick", action="store_true", help="a few rounds: to see that it works")
    made.add_argument("--transport", choices=("unix", "tcp"), default="unix", help="how to reach the server")
    made.add_argument(
        "--pin",
        choices=("none", "same", "apart"),
        default="none",
        help="client and server to one processor, or to different ones (Linux)",
    )
    made.add_argument("--output", type=Path, default=RESULTS, help="folder for the JSON files")
    return made


def warn_of_debug() -> None:
    """Say so where the figures will mean nothing."""
    if not is_release():
        print(
            f"The extension is a {build_mode()} build: its figures mean nothing. "
            "Build it as it is shipped: uv run hyper-build",
            file=sys.stderr,
        )


def main(question: Question) -> None:
    """Answer one question and print it."""
    made = parser("Measure one question.")
    made.add_argument("--rounds", type=int, help="instead of the usual number")
    made.add_argument("--operations", type=int, help="per turn, instead of the usual number")
    options = made.parse_args()
    warn_of_debug()
    plan = question.quick if options.quick else question.full
    plan = replace(
        plan, rounds=options.rounds or plan.rounds, operations=options.operations or plan.operations
    )
    with started(options.transport, options.pin) as place:
        answer = question.answer(place, plan)
    answer.write(options.output)
    print(markdown([answer]))
