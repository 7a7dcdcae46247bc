"""Draws the JSON files of the questions: a picture for each into images/, and one of all of them.

`python bench/plots.py [folder]`; `run.py` calls this at the end of a full run. A bar is a contender. What we are
compared with is the best peer of the same face, whichever that was, not always the one that the table's ratio is to;
where we are behind it says so. Only what does less than a driver (a bare socket …) is no peer.
"""

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from _harness import RESULTS, Answer, Failed, Line
from _svg import LARGE, MARGIN, SMALL, WIDTH, Picture, width_of
from report import PER_UNIT, described, read, refuse_unfit

IMAGES: Final = Path(__file__).with_name("images")
OVERVIEW: Final = "overview"
TIMES: Final = "\N{MULTIPLICATION SIGN}"
_OURS: Final = ("hyper-", "hyperdjango", "models")
_PEERS: Final = (
    *("asyncpg", "psycopg", "ADBC", "FastAPI", "aiodataloader", "strawberry"),
    *("Django", "SQLAlchemy", "Tortoise", "Piccolo"),
)
Kind = Literal["ours", "peer", "floor", "behind"]


@dataclass(frozen=True)
class Bar:
    """A contender, and how it stands to the best peer; `ratio` is None where there is none."""

    line: Line
    kind: Kind
    ratio: float | None
    is_best: bool


@dataclass(frozen=True)
class Group:
    """Contenders that did the same in the same way, the quickest first."""

    name: str
    best: str  # what the ratios are to
    bars: tuple[Bar, ...]


def _kind(driver: str) -> Kind:
    if driver.startswith(_OURS):
        return "ours"
    return "peer" if driver.startswith(_PEERS) else "floor"


def basis(answer: Answer) -> tuple[str, str]:
    """Return the figure that is drawn and the ratio that belongs to it: the p99, else the first."""
    names = list(answer.lines[0].ratios)
    ratio = next((name for name in names if name.startswith("p99")), names[0] if names else "")
    word = ratio.partition(" ÷ ")[0]
    figure = next((name for name in answer.units if word and name.startswith(word)), next(iter(answer.units)))
    return figure, ratio


def groups(answer: Answer) -> list[Group]:
    """Sort the contenders into groups, and find the best peer of each."""
    figure, ratio = basis(answer)
    ways = {
        kind: {_way(line) for line in answer.lines if _kind(line.driver) == kind} for kind in ("ours", "peer")
    }
    shared = ways["ours"] & ways["peer"]

    def key(line: Line) -> tuple[str, str]:
        return line.face, _way(line) if _way(line) in shared else ""

    made = []
    for face, way in dict.fromkeys(map(key, answer.lines)):
        lines = [line for line in answer.lines if key(line) == (face, way)]
        peers = [line for line in answer.lines if _kind(line.driver) == "peer" and key(line)[1] == way]
        near = [line for line in peers if line.face == face]
        if "best peer" in ratio:  # an ORM that blocks is one for all
            near += [line for line in peers if line.face == "blocking" and face != "blocking"]
        best = min(near or peers, key=lambda line: line.figures[figure].median, default=None)
        bars = sorted(_bars(lines, best, figure, ratio), key=lambda bar: bar.line.figures[figure].median)
        made.append(Group(", ".join(filter(None, (face, way))), _named(best, face, ratio), tuple(bars)))
    return made


def _way(line: Line) -> str:
    return line.driver.partition(", ")[2]


def _named(best: Line | None, face: str, ratio: str) -> str:
    if best is None:
        return ratio.partition(" ÷ ")[2]
    return best.driver if best.face == face else f"{best.driver}, {best.face}"


def _bars(lines: Sequence[Line], best: Line | None, figure: str, ratio: str) -> Iterator[Bar]:
    for line in lines:
        kind = _kind(line.driver)
        found = line.ratios.get(ratio)
        if best is not None and "best peer" not in ratio:
            base = best.ratios.get(ratio)
            median = best.figures[figure].median
            quotient = line.figures[figure].median / median if median else None
            found = found / base if found is not None and base else quotient
        is_behind = kind == "ours" and best is not None and found is not None and found > 1
        yield Bar(line, "behind" if is_behind else kind, found, is_best=line is best)


def picture(answer: Answer) -> str:
    """Return the SVG of one question."""
    figure, _ = basis(answer)
    unit = answer.units[figure]
    drawn = Picture(answer.title)
    drawn.paragraph(answer.title, kind="strong", size=LARGE)
    drawn.paragraph(
        f"{figure}, {unit}: median and quartiles; {TIMES} is to the best peer. Shorter is better.",
        kind="faint",
    )
    found = groups(answer)
    labels = max(width_of(bar.line.driver) for group in found for bar in group.bars) + MARGIN
    left, right = MARGIN + labels, WIDTH - MARGIN - 210
    longest = max(bar.line.figures[figure].high for group in found for bar in group.bars) or 1
    for group in found:
        drawn.y += 12
        drawn.paragraph(
            f"{group.name} (1 {TIMES} is {group.best})" if group.best else group.name, kind="strong"
        )
        drawn.described.append(f"{group.name}, beside {group.best}:")
        drawn.y += 4
        for bar in group.bars:
            _draw(drawn, bar, figure, unit, (left, (right - left) / longest))
    _foot(drawn, [answer])
    return drawn.svg()


def _draw(drawn: Picture, bar: Bar, figure: str, unit: str, scale: tuple[float, float]) -> None:
    left, per = scale
    spread = bar.line.figures[figure]
    values = _value(spread.median / PER_UNIT[unit], unit)
    says = "" if bar.ratio is None else f"{bar.ratio:.2f} {TIMES}"
    remark = "behind" if bar.kind == "behind" else "best peer" if bar.is_best else ""
    tip = " ".join(filter(None, (bar.line.driver, values, says, remark)))
    drawn.described.append(f"{tip};")
    drawn.y += 20
    drawn.text(MARGIN, bar.line.driver, kind="strong" if bar.kind in {"ours", "behind"} else "")
    drawn.bar(left, spread.median * per, 12, bar.kind, tip)
    drawn.line(left + spread.low * per, left + spread.high * per, drawn.y - 4)
    drawn.text(WIDTH - MARGIN - 130, values, kind="end")
    drawn.text(WIDTH - MARGIN - 75, says, kind="end")
    if remark:
        drawn.text(WIDTH - MARGIN - 68, remark, kind=bar.kind if bar.kind == "behind" else "faint")


def _value(value: float, unit: str) -> str:
    return f"{value:.{1 if value >= 10 else 2}f} {unit}"


def _foot(drawn: Picture, answers: Sequence[Answer]) -> None:
    verdicts = [verdict for answer in answers for verdict in answer.verdicts]
    drawn.y += 8
    for verdict in verdicts if len(answers) == 1 else [one for one in verdicts if not one.is_met]:
        says = f"{'✓ reached' if verdict.is_met else '✗ missed'}: {verdict.text}: {verdict.measured:.3f}"
        drawn.paragraph(says, kind="faint" if verdict.is_met else "behind", size=SMALL)
        drawn.described.append(f"{says}.")
    drawn.y += 8
    for line in dict.fromkeys(
        line for answer in answers for line in described(answer.environment).splitlines()
    ):
        drawn.paragraph(line.removeprefix("- "), kind="faint", size=SMALL)
        drawn.described.append(line.removeprefix("- "))


def overview(answers: Sequence[Answer]) -> str:
    """Return the SVG of all questions that have a peer: how our first contender stands to the best of each group."""
    drawn = Picture("Ours beside the best peer, question by question")
    drawn.paragraph(drawn.title, kind="strong", size=LARGE)
    drawn.paragraph(
        "A dot for each event loop and each way to ask: our time, latency or memory divided by that of the best "
        "peer there, on a logarithmic scale. Left of 1 is better; a diamond is behind.",
        kind="faint",
    )
    rows = [(answer, found) for answer in answers if (found := [*_standing(answer)])]
    ratios = [ratio for _, found in rows for _, ratio in found]
    low, high = math.log(min([0.1, *ratios]) * 0.9), math.log(max([2, *ratios]) * 1.1)
    left, right = MARGIN + 8, WIDTH - MARGIN - 150

    def x(ratio: float) -> float:
        return left + (math.log(ratio) - low) / (high - low) * (right - left)

    top, below = drawn.y + 12, len(drawn.parts)
    for answer, found in rows:
        drawn.y += 24
        drawn.text(MARGIN, answer.title, size=SMALL)
        drawn.y += 16
        drawn.line(left, right, drawn.y, "rule")
        behind = [name for name, ratio in found if ratio > 1]
        for name, ratio in found:
            tip = f"{name}: {ratio:.2f} {TIMES}"
            drawn.dot(x(ratio), drawn.y, "behind" if ratio > 1 else "ours", tip)
        values = sorted(ratio for _, ratio in found)
        span = (
            f"{values[0]:.2f} to {values[-1]:.2f} {TIMES}" if len(values) > 1 else f"{values[0]:.2f} {TIMES}"
        )
        drawn.described.append(
            f"{answer.title}: {'; '.join(f'{name} {ratio:.2f}' for name, ratio in found)}."
        )
        drawn.y += 4
        drawn.text(right + MARGIN, span, kind="behind" if behind else "")
        if behind:
            drawn.described.append(f"Behind: {'; '.join(behind)}.")
    drawn.y += 22
    for tick in (0.1, 0.2, 0.5, 1, 2, 5):
        if low <= math.log(tick) <= high:
            drawn.upright(x(tick), top, drawn.y - 14, "line" if tick == 1 else "rule", below)
            drawn.text(x(tick), f"{tick:g}", kind="middle faint", size=SMALL)
    _foot(drawn, answers)
    return drawn.svg()


def _standing(answer: Answer) -> Iterator[tuple[str, float]]:
    """Our first contender of each group that has a peer, in the order of the measurements."""
    order = [line.driver for line in answer.lines]
    for group in groups(answer):
        ours = [bar for bar in group.bars if bar.kind in {"ours", "behind"} and bar.ratio is not None]
        is_compared = any(_kind(line.driver) == "peer" for line in answer.lines)
        if ours and is_compared:
            first = min(ours, key=lambda bar: order.index(bar.line.driver))
            assert first.ratio is not None
            yield f"{first.line.driver} on {group.name} beside {group.best}", first.ratio


def write(answers: Sequence[Answer], folder: Path = IMAGES) -> None:
    """Write a picture for each answer, and the overview.

    Raises:
        Failed: A figure comes from an extension that is not built as it is shipped.
    """
    refuse_unfit(answers)
    folder.mkdir(parents=True, exist_ok=True)
    for answer in answers:
        (folder / f"{answer.question}.svg").write_text(picture(answer), encoding="utf-8")
    (folder / f"{OVERVIEW}.svg").write_text(overview(answers), encoding="utf-8")


def main() -> int:
    """Draw all that was measured."""
    parser = argparse.ArgumentParser(description="Draw what was measured into bench/images.")
    parser.add_argument("folder", type=Path, nargs="?", default=RESULTS, help="where the JSON files are")
    parser.add_argument("--output", type=Path, default=IMAGES, help="where the pictures go")
    options = parser.parse_args()
    try:
        write(read(options.folder), options.output)
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
