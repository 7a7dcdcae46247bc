"""The pictures: everything that was measured is in them, what we lose included, and it can be seen.

All tests are synchronous, as those with a browser must be.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest
from browser import open_browser

# The benchmarks are scripts: they import each other from their own folder.
sys.path.insert(0, str(Path(__file__).parent))

import _svg
import plots
import report
from _harness import OURS, Answer, Failed, Line, Spread, Verdict

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SVG = "{http://www.w3.org/2000/svg}"
ENVIRONMENT = {
    "date": "2026-01-02",
    "machine": "a machine of 2 processors & more",
    "kernel": "a kernel",
    "load": 0.1,
    "python": "CPython 3.99",
    "free_threaded": False,
    "server": "PostgreSQL 99",
    "transport": "unix",
    "pinning": "none",
    "extension": "zig, safe",
    "is_release": True,
    "versions": {OURS: "1.2.3", "asyncpg": "4.5.6"},
}


def line(driver: str, face: str, wall: float, ratio: float | None, cpu: float = 1) -> Line:
    spreads = {"wall": Spread(wall * 1e3, wall * 900, wall * 1200), "CPU": Spread(cpu, cpu, cpu)}
    return Line(driver, face, spreads, {"wall ÷ peer": ratio, "CPU ÷ peer": 1.0})


@pytest.fixture
def answer() -> Answer:
    """Ours wins on asyncio, loses on uvloop to what is not the table's peer, and has none in blocking calls."""
    return Answer(
        "sample",
        "A sample <of> rows",
        {"wall": "µs", "CPU": "µs"},
        {"rounds": 3},
        ENVIRONMENT,
        [
            line(OURS, "asyncio", 50, 0.5),
            line("asyncpg", "asyncio", 100, 1.0),
            line("bare socket", "asyncio", 20, 0.2),
            line(OURS, "uvloop", 90, 0.75),
            line("asyncpg", "uvloop", 120, 1.0),
            line("asyncpg, fetchmany", "uvloop", 60, 0.5),
            line(f"{OURS}, numbers", "blocking", 30, None),
            line("asyncpg, numbers", "uvloop", 60, 1.0),
        ],
        [Verdict("ours is quick", 0.6, 0.5), Verdict("ours is quicker still", 0.4, 0.5)],
    )


def texts(svg: str) -> list[str]:
    return [found.text or "" for found in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_every_contender_and_figure_is_in_the_picture(answer: Answer) -> None:
    shown = texts(plots.picture(answer))
    for one in answer.lines:
        assert one.driver in shown
        assert f"{one.figures['wall'].median / 1e3:.1f} µs" in shown
    for words in ("a machine of 2 processors & more", "PostgreSQL 99", "asyncpg 4.5.6", "2026-01-02"):
        assert any(words in text for text in shown)


def test_the_best_peer_is_whoever_was_quickest_and_the_loser_is_marked(answer: Answer) -> None:
    found = {group.name: group for group in plots.groups(answer)}
    assert found["asyncio"].best == "asyncpg"
    assert found["uvloop"].best == "asyncpg, fetchmany"
    (ours,) = [bar for bar in found["uvloop"].bars if bar.line.driver == OURS]
    assert (ours.kind, ours.ratio) == ("behind", 1.5)
    svg = plots.picture(answer)
    assert svg.count('class="behind"><title>') == 1
    assert texts(svg).count("behind") == 1
    assert any(text.startswith("✗ missed: ours is quicker still") for text in texts(svg))
    assert any(text.startswith("✓ reached: ours is quick:") for text in texts(svg))


def test_who_has_no_peer_on_the_same_face_is_compared_with_the_same_way_on_another(answer: Answer) -> None:
    (group,) = [group for group in plots.groups(answer) if group.name == "blocking, numbers"]
    assert group.best == "asyncpg, numbers, uvloop"
    assert [bar.ratio for bar in group.bars] == [0.5]


def test_the_p99_is_what_is_drawn_where_there_is_one(answer: Answer) -> None:
    spread = Spread(1, 1, 1)
    lines = [Line(OURS, "asyncio", {"p50": spread, "p99": spread}, {"p50 ÷ peer": 1.0, "p99 ÷ peer": 1.0})]
    latency = replace(answer, units={"p50": "ms", "p99": "ms"}, lines=lines)
    assert plots.basis(latency) == ("p99", "p99 ÷ peer")


def test_the_alternative_text_says_what_is_seen(answer: Answer) -> None:
    root = ElementTree.fromstring(plots.picture(answer))
    assert root.get("role") == "img"
    title, desc = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert title is not None
    assert desc is not None
    assert title.text == "A sample <of> rows"
    for words in ("hyper-pgzig 90.0 µs 1.50 × behind", "✗ missed: ours is quicker still"):  # noqa: RUF001 - as it is drawn
        assert words in (desc.text or "")


def test_the_overview_has_every_question_and_what_is_behind(answer: Answer) -> None:
    other = replace(answer, question="other", title="Another question", lines=answer.lines[:3])
    svg = plots.overview([answer, other])
    shown = texts(svg)
    assert {"A sample <of> rows", "Another question"} <= set(shown)
    assert "0.50 to 1.50 ×" in shown  # noqa: RUF001 - as it is drawn
    assert svg.count("<polygon") == 1


def test_the_same_figures_give_the_same_bytes(answer: Answer, tmp_path: Path) -> None:
    answer.write(tmp_path)
    plots.write(report.read(tmp_path), tmp_path / "images")
    assert sorted(path.name for path in (tmp_path / "images").iterdir()) == ["overview.svg", "sample.svg"]
    assert (tmp_path / "images/sample.svg").read_text(encoding="utf-8") == plots.picture(answer)


def test_a_file_without_a_date_says_so(answer: Answer) -> None:
    old = {name: value for name, value in ENVIRONMENT.items() if name != "date"}
    assert "date unknown" in texts(plots.picture(replace(answer, environment=old)))


def test_figures_of_a_debug_build_are_not_drawn(answer: Answer, tmp_path: Path) -> None:
    debug = replace(answer, environment={**ENVIRONMENT, "is_release": False})
    with pytest.raises(Failed, match="not written"):
        plots.write([debug], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_every_picture_of_the_report_is_there() -> None:
    text = report.README.read_text(encoding="utf-8")
    names = {part.partition(".svg)")[0] for part in text.split("](images/")[1:]}
    assert names == {path.stem for path in plots.IMAGES.glob("*.svg")}


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with open_browser() as opened:
        yield opened


# What sticks out of the picture, and which texts lie on each other.
LOOK = """() => {
    const ground = document.querySelector("rect.ground").getBoundingClientRect();
    const texts = [...document.querySelectorAll("svg text")].map(t => [t.textContent, t.getBoundingClientRect()]);
    const out = texts.filter(([, b]) => b.left < ground.left || b.right > ground.right || b.bottom > ground.bottom);
    const on = texts.filter(([, a], i) => texts.some(([, b], j) => i < j && a.left < b.right - 1
        && b.left < a.right - 1 && a.top < b.bottom - 4 && b.top < a.bottom - 4));
    const bars = [...document.querySelectorAll("rect:not(.ground), circle, polygon")];
    const wide = bars.filter(b => b.getBoundingClientRect().right > ground.right);
    return [out.map(([t]) => t), on.map(([t]) => t), wide.length, texts.length];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_overflows_in_a_browser(scheme: str, answer: Answer, browser: "Browser") -> None:
    pictures = [plots.picture(answer), plots.overview([answer])]
    pictures += [path.read_text(encoding="utf-8") for path in sorted(plots.IMAGES.glob("*.svg"))]
    page = browser.new_page(color_scheme="dark" if scheme == "dark" else "light")
    for svg in pictures:
        page.set_content(f"<body style='margin:0'>{svg}")
        out, on, wide, count = page.evaluate(LOOK)
        assert (out, on, wide) == ([], [], 0)
        assert count > 5
        colours = page.evaluate(
            "() => ['rect.ground', 'svg text'].map(s => getComputedStyle(document.querySelector(s)).fill)"
        )
        assert colours == (
            ["rgb(13, 17, 23)", "rgb(230, 237, 243)"]
            if scheme == "dark"
            else ["rgb(255, 255, 255)", "rgb(31, 35, 40)"]
        )
    page.close()


def test_a_width_is_not_underestimated_for_wide_letters() -> None:
    assert _svg.width_of("hyper-pgzig", 10) > 60
