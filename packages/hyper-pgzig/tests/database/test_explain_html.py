"""`to_html()`: the page, looked at in a browser; that nothing in it is taken for HTML, and no value shown."""

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import pytest
from browser import open_browser
from explain_corpus import STATEMENTS, TABLES
from hyperdjango.database import ExplainNode, ExplainResult, SyncDatabase, quote_identifier
from hyperdjango.database._explain_html import place
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from postgres_servers import Server
from typekit import fresh_database

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

ATTACK: Final = "</script><img src=x onerror=document.title='hacked'>\"'&"
SQL: Final = """
WITH big AS MATERIALIZED (SELECT a_id, count(*) AS c, sum(v) AS s FROM b WHERE v > $1 GROUP BY a_id)
SELECT a.label, big.c, (SELECT max(id) FROM part p WHERE p.id < a.n)
  FROM a JOIN big ON big.a_id = a.id
 WHERE a.label LIKE $2 AND a.n < (SELECT avg(n) FROM a)
 ORDER BY big.s DESC LIMIT 20
"""


@pytest.fixture(scope="module")
def db(embedded_server: Server) -> Iterator[SyncDatabase]:
    # What the server's release changes in a plan is the business of test_explain_text.
    with fresh_database(embedded_server, *TABLES) as database:
        yield database


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    with open_browser() as opened:
        yield opened


Show = Callable[..., "Page"]


@pytest.fixture
def show(browser: "Browser", tmp_path: Path) -> Iterator[Show]:
    """Writes a plan's page and opens it; anything that goes wrong in the page fails the test."""
    wrong: list[str] = []
    requests: list[str] = []
    contexts: list[Any] = []

    def open_(plan: ExplainResult, *, dark: bool = False, **options: Any) -> "Page":
        path = tmp_path / "plan.html"
        plan.to_html(path, **options)
        context = browser.new_context(
            viewport={"width": 1200, "height": 900}, color_scheme="dark" if dark else "light"
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        return page

    yield open_
    for context in contexts:
        context.close()
    assert wrong == []
    assert [url for url in requests if not url.startswith("file://")] == []
    assert len(requests) == len(contexts), requests


def box_of(locator: "Locator") -> dict[str, float]:
    box = locator.bounding_box()
    assert box is not None
    return {"x": box["x"], "y": box["y"], "width": box["width"], "height": box["height"]}


def plan_of(*shape: Any) -> dict[str, Any]:
    """Make a node of `(type, milliseconds, *children)`."""
    kind, time, *children = shape
    return {
        "Node Type": kind,
        "Actual Total Time": time,
        "Actual Startup Time": 0,
        "Actual Rows": 1,
        "Actual Loops": 1,
        "Plan Rows": 1,
        "Plans": [plan_of(*child) for child in children],
    }


def result_of(plan: dict[str, Any], *options: Any) -> ExplainResult:
    return ExplainResult.from_json([{"Plan": plan, "Execution Time": 101.5}], *options)


def colours(png: bytes) -> set[bytes]:
    """The colours of an image, of 8-bit RGB or RGBA, on every 7th pixel of lines that are not predicted."""
    width, _, _, kind = struct.unpack(">IIBB", png[16:26])
    depth = {2: 3, 6: 4}[kind]
    data, at = b"", 8
    while at < len(png):
        length = struct.unpack(">I", png[at : at + 4])[0]
        if png[at + 4 : at + 8] == b"IDAT":
            data += png[at + 8 : at + 8 + length]
        at += length + 12
    raw, stride = zlib.decompress(data), width * depth + 1
    return {raw[n : n + depth] for n in range(1, len(raw) - depth, 7 * depth) if n % stride}


# In the browser


def test_frames_are_as_wide_as_their_nodes_took_time(show: Show) -> None:
    plan = plan_of("Hash Join", 100, ("Seq Scan", 60), ("Hash", 30, ("Index Scan", 15)))
    page = show(result_of(plan))
    whole = box_of(page.locator(".flame"))
    boxes = [box_of(page.locator(f"#f{n}")) for n in range(4)]
    for box, share in zip(boxes, (1, 0.6, 0.3, 0.15), strict=True):
        assert box["width"] == pytest.approx(whole["width"] * share, abs=1.5)
    root, scan, hash_, index = boxes
    assert scan["x"] == pytest.approx(root["x"], abs=1.5)
    assert hash_["x"] == pytest.approx(scan["x"] + scan["width"], abs=1.5)
    assert index["x"] == pytest.approx(hash_["x"], abs=1.5)
    assert root["y"] < scan["y"] == hash_["y"] < index["y"]


def test_every_frame_lies_within_the_one_around(show: Show, db: SyncDatabase) -> None:
    plan = db.explain(SQL, 3, "label %", analyze=True)
    page = show(plan)
    frames = page.locator(".frame")
    assert frames.count() == len(plan.all_nodes)
    boxes: dict[str, tuple[dict[str, float], str | None]] = {}
    for frame in frames.all():
        number = frame.get_attribute("data-node")
        assert number is not None
        boxes[number] = (box_of(frame), frame.get_attribute("data-around"))
    assert [number for number, (_, around) in boxes.items() if around is None] == ["0"]
    for box, around in boxes.values():
        if around is not None:
            outer = boxes[around][0]
            assert box["x"] >= outer["x"] - 1
            assert box["x"] + box["width"] <= outer["x"] + outer["width"] + 1
            assert box["y"] >= outer["y"] + outer["height"]
    bottom = max(box["y"] + box["height"] for box, _ in boxes.values())
    flame = box_of(page.locator(".flame"))
    assert bottom <= flame["y"] + flame["height"] + 1


def test_wide_frames_have_a_label_that_can_be_read(show: Show) -> None:
    plan = plan_of("Hash Join", 100, ("Seq Scan", 60), ("Hash", 39), ("Result", 1))
    page = show(result_of(plan))
    for number, label in enumerate(("Hash Join", "Seq Scan", "Hash")):
        frame = page.locator(f"#f{number}")
        assert frame.is_visible()
        assert frame.inner_text().startswith(label)
        assert frame.evaluate("each => each.scrollWidth <= each.clientWidth")
    assert page.locator("#f3").inner_text() == ""
    assert page.locator("#f3").get_attribute("aria-label") == "Result: 1.000 ms, 1%, 1.000 ms of its own"


def test_a_click_shows_a_node_and_no_other(show: Show, db: SyncDatabase) -> None:
    plan = db.explain("SELECT * FROM a JOIN b ON b.a_id = a.id WHERE a.n < 20", analyze=True, buffers=True)
    page = show(plan)
    shown = page.locator(".node:visible")
    assert shown.count() == 0
    scan = next(n for n, node in enumerate(plan.all_nodes) if "Hash Cond" in node.properties)
    page.locator(f"#f{scan}").click()
    assert shown.count() == 1
    assert "Hash Cond: (b.a_id = a.id)" in shown.inner_text()
    assert "Own time" in shown.inner_text()
    assert page.locator(f"#f{scan}").get_attribute("aria-pressed") == "true"
    page.locator(".pick").last.click()
    assert shown.count() == 1
    assert shown.get_attribute("data-node") == str(len(plan.all_nodes) - 1)
    assert page.locator('.frame[aria-pressed="true"]').count() == 1


def test_the_pointer_tells_what_a_frame_is(show: Show) -> None:
    page = show(result_of(plan_of("Limit", 100, ("Sort", 60))))
    hint = page.locator(".hint")
    before = hint.inner_text()
    page.locator("#f1").hover()
    assert hint.inner_text() == "Sort: 60.0 ms, 60%, 60.0 ms of its own"
    page.mouse.move(5, 5)
    assert hint.inner_text() == before


def test_the_keyboard_reaches_every_frame(show: Show) -> None:
    page = show(result_of(plan_of("Append", 100, ("Seq Scan", 50, ("Result", 20)), ("Sort", 50))))
    visited: list[str] = []
    page.keyboard.press("Tab")
    for key in ("ArrowDown", "ArrowDown", "ArrowUp", "ArrowRight", "ArrowRight", "ArrowLeft"):
        page.keyboard.press(key)
        visited.append(page.evaluate("document.activeElement.dataset.node"))
    assert visited == ["1", "2", "1", "3", "3", "1"]
    page.keyboard.press("Enter")
    assert page.locator(".node:visible").get_attribute("data-node") == "1"


@pytest.mark.parametrize("dark", [False, True])
def test_a_picture_of_the_page_is_not_blank(show: Show, db: SyncDatabase, dark: bool) -> None:
    page = show(db.explain(SQL, 3, "label %", analyze=True), dark=dark)
    brightness = page.evaluate(
        "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).reduce((a, b) => a + +b, 0)"
    )
    assert (brightness < 150) == dark
    assert len(colours(page.screenshot())) > 20
    # Nothing is pushed out of the window to the side.
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_a_narrow_window_is_enough(show: Show, db: SyncDatabase) -> None:
    page = show(db.explain(SQL, 3, "label %", analyze=True, buffers=True))
    page.set_viewport_size({"width": 420, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize("analyze", [False, True])
def test_names_and_literals_are_text(show: Show, db: SyncDatabase, analyze: bool) -> None:
    table = quote_identifier(ATTACK[:60])
    literal = ATTACK.replace("'", "''")
    db.execute(f"CREATE TABLE IF NOT EXISTS {table} (a text)")
    plan = db.explain(
        f"SELECT * FROM {table} AS x WHERE a = '{literal}' AND a <> $1", ATTACK, analyze=analyze
    )
    for parameters in (False, True):
        page = show(plan, parameters=parameters)
        for frame in page.locator(".frame").all():
            frame.click()
        assert page.title() == "Query plan"
        assert page.locator("img").count() == 0
        assert page.locator("script").count() == 1
        assert table in page.locator("#f0").inner_text()
        assert literal in page.locator("main").inner_text()


# Without a browser


def page_of(plan: ExplainResult, path: Path, **options: Any) -> str:
    plan.to_html(path / "plan.html", **options)
    return (path / "plan.html").read_text(encoding="utf-8")


SECRETS: Final = ["s3cret it's", 4711, Decimal("47.11"), b"hidden", ["one-secret", "two-secret"]]


def test_values_are_shown_only_when_asked_for(db: SyncDatabase, tmp_path: Path) -> None:
    sql = (
        "SELECT label FROM a WHERE label <> $1 AND id <> $2 AND n::numeric <> $3"
        " AND label::bytea <> $4 AND label <> ALL($5) AND n < 12"
    )
    plan = db.explain(sql, *SECRETS, analyze=True)
    page = page_of(plan, tmp_path)
    for secret in ("s3cret", "4711", "47.11", b"hidden".hex(), "one-secret", "two-secret"):
        assert secret not in page
    assert "(n &lt; 12)" in page
    assert "s3cret" not in repr(plan)
    shown = page_of(plan, tmp_path, parameters=True)
    assert "$1 = &quot;s3cret it&#x27;s&quot;" in shown
    assert "$2 = 4711" in shown
    assert "(id &lt;&gt; 4711)" in shown


def test_a_statement_without_values_is_shown_as_it_is(db: SyncDatabase, tmp_path: Path) -> None:
    page = page_of(db.explain("SELECT * FROM a WHERE label = 'mine'"), tmp_path)
    assert "(label = &#x27;mine&#x27;::text)" in page


def test_a_name_with_a_quote_in_it_hides_nothing_else(db: SyncDatabase, tmp_path: Path) -> None:
    db.execute("""CREATE TABLE IF NOT EXISTS quoted ("o'c" text, "d" text)""")
    page = page_of(db.explain("""SELECT 1 FROM quoted WHERE "o'c" = $1 AND d = 'x'""", "secret"), tmp_path)
    assert "&quot;o&#x27;c&quot; = &#x27;…&#x27;::text" in page
    assert "secret" not in page


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(min_size=1), st.sampled_from(["(a = {})", "({} <> 'x'::text)", "x, {}", "{}"]))
def test_no_quoted_literal_stays(value: str, form: str) -> None:
    literal = "'" + value.replace("'", "''") + "'"
    from hyperdjango.database._explain_masking import masked

    plan = ExplainResult.from_json(
        [
            {
                "Plan": {
                    "Node Type": "Result",
                    "Filter": form.format(literal),
                    "Sort Key": [form.format(literal)],
                }
            }
        ]
    )
    hidden = cast("dict[str, Any]", masked(plan.entries, plan.plans, [value])[0]["Plan"])
    expected = form.format("'…'").replace("'x'", "'…'")
    assert (hidden["Filter"], hidden["Sort Key"]) == (expected, [expected])


class Strict(HTMLParser):
    """Every tag that is opened is closed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert "style" not in dict(attrs)  # the page's own policy would ignore it
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("name", STATEMENTS)
def test_every_kind_of_plan_has_a_page(db: SyncDatabase, name: str, tmp_path: Path) -> None:
    page = page_of(db.explain(STATEMENTS[name].sql), tmp_path)
    parser = Strict()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    assert not re.search(r"https?://|url\(", page)


trees: Final = st.recursive(
    st.tuples(st.just("Result"), st.floats(0, 1e6)),
    lambda inner: st.builds(
        lambda time, children: ("Append", time, *children), st.floats(0, 1e6), st.lists(inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(trees)
def test_frames_never_leave_the_one_around(shape: Any) -> None:
    plan = result_of(plan_of(*shape))
    frames = {frame.number: frame for frame in place(plan.plans, plan.all_nodes)}
    assert sorted(frames) == list(range(len(plan.all_nodes)))
    for frame in frames.values():
        assert 0 <= frame.left <= frame.left + frame.width <= 1 + 1e-9
        if frame.around is not None:
            outer = frames[frame.around]
            assert outer.left - 1e-9 <= frame.left
            assert frame.left + frame.width <= outer.left + outer.width + 1e-9
            assert frame.depth == outer.depth + 1


def test_a_deep_plan_has_a_page(tmp_path: Path) -> None:
    plan: dict[str, Any] = {"Node Type": "Result"}
    for _ in range(2000):
        plan = {"Node Type": "Limit", "Plans": [plan]}
    result = ExplainResult.from_json([{"Plan": plan}], "SELECT 1", ["x"])
    assert isinstance(result.plan, ExplainNode)
    assert page_of(result, tmp_path).count('class="frame') == 2001
