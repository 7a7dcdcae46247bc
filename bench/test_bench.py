"""The benchmarks run briefly, so that they keep running. Nothing here looks at how long anything takes."""

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from postgres_servers import Server

# The benchmarks are scripts: they import each other from their own folder.
sys.path.insert(0, str(Path(__file__).parent))

import _app
import _latency
import _orm
import _overheard
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
import profile_concurrent
import profile_rows
import query_json
import report
import routing
import rows
import run
import stream
import ticker
from _bare import BareError, ask, prepare
from _harness import (
    LOOPS,
    OURS,
    Answer,
    BlockingContender,
    Failed,
    Line,
    Measured,
    Plan,
    Samples,
    Spread,
    Turn,
    Verdict,
    ratio,
    take_turns,
)
from _place import Place, Transport, host_and_port
from _replay import Recording, Replayer

BRIEF = Plan(rounds=2, operations=2, warmup=1)
QUESTIONS = {
    "lookup": (lookup.QUESTION, BRIEF),
    "rows": (rows.QUESTION, replace(BRIEF, operations=1)),
    "query_json": (query_json.QUESTION, replace(BRIEF, operations=1)),
    "memory": (memory.QUESTION, Plan(rounds=1, operations=300, warmup=0)),
    "gather": (gather.QUESTION, replace(BRIEF, operations=40)),
    "mixed": (mixed.QUESTION, replace(BRIEF, operations=100)),
    "ticker": (ticker.QUESTION, replace(BRIEF, operations=40, warmup=20)),
    "pipeline": (pipeline.QUESTION, BRIEF),
    "arrow": (arrow_columns.QUESTION, replace(BRIEF, operations=3000)),
    "copy_records": (copy_records.QUESTION, replace(BRIEF, operations=1)),
    "execute_many": (execute_many.QUESTION, replace(BRIEF, operations=1)),
    "stream": (stream.QUESTION, replace(BRIEF, operations=1)),
    "flat_memory": (flat_memory.QUESTION, Plan(rounds=1, operations=3000, warmup=0)),
    "orm_hydrate": (orm_hydrate.QUESTION, replace(BRIEF, operations=1)),
    "orm_get": (orm_get.QUESTION, BRIEF),
    "orm_bulk_create": (orm_bulk_create.QUESTION, replace(BRIEF, operations=1)),
    "orm_prefetch": (orm_prefetch.QUESTION, replace(BRIEF, operations=1)),
    "orm_compile": (orm_compile.QUESTION, replace(BRIEF, operations=20)),
    "loader": (loader.QUESTION, replace(BRIEF, operations=50)),
    "routing": (routing.QUESTION, BRIEF),
    "app_list": (app_list.QUESTION, Plan(rounds=1, operations=10, warmup=1)),
    "app_row": (app_row.QUESTION, Plan(rounds=1, operations=10, warmup=1)),
}


# Those without columns of Arrow are no peers there.
PEERS = {"arrow": {"ADBC"}, "routing": {routing.ROUTED}}


@pytest.fixture
def place(embedded_server: Server) -> Iterator[Place]:
    """A database of its own on the embedded server, over its Unix socket."""
    assert embedded_server.embedded is not None
    name = embedded_server.create_database()
    yield Place.of(embedded_server.embedded, "unix", name)
    embedded_server.drop_database(name)


@pytest.fixture
def readme(tmp_path: Path) -> Path:
    path = tmp_path / "README.md"
    path.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_is_answered_and_its_report_names_every_contender(
    name: str, place: Place, tmp_path: Path
) -> None:
    question, plan = QUESTIONS[name]
    answer = question.answer(place, plan)
    assert answer.question == name
    drivers = {line.driver for line in answer.lines}
    if name == "flat_memory":  # about us alone
        assert all(driver.startswith(OURS) for driver in drivers)
    elif name.startswith("app_"):
        assert drivers == {_app.APP, _app.PEER}
    elif name == "loader":
        ways = {f"{driver}, {way.name}" for driver in loader.LOADERS for way in loader.WAYS}
        assert drivers == {*ways, loader.FLOOR}
    elif name.startswith("orm_"):  # the peers need not be installed, and some have two ways
        assert {_orm.ORM, *_orm.installed()} <= {driver.partition(",")[0] for driver in drivers}
    else:
        assert {OURS} | PEERS.get(name, {"asyncpg", "psycopg"}) <= drivers
    assert answer.verdicts
    for line in answer.lines:
        assert set(line.figures) == set(answer.units)
        assert all(figure.low <= figure.median <= figure.high for figure in line.figures.values())
    answer.write(tmp_path)
    (again,) = report.read(tmp_path)
    assert again == answer
    text = report.markdown([again])
    for line in answer.lines:
        assert f"| {line.driver} | {line.face} |" in text
    assert "PostgreSQL" in text
    drawn = plots.picture(again)
    assert all(f">{escape(line.driver)}</text>" in drawn for line in answer.lines)


def test_every_question_of_the_one_command_is_tested_here() -> None:
    assert {name: question for name, (question, _) in QUESTIONS.items()} == run.QUESTIONS


def an_answer(*, is_release: bool = True) -> Answer:
    environment = {
        "machine": "a machine",
        "kernel": "a kernel",
        "load": 0.1,
        "python": "CPython 3.99",
        "free_threaded": False,
        "server": "PostgreSQL 99",
        "transport": "unix",
        "pinning": "none",
        "extension": "zig, safe" if is_release else "zig, debug",
        "is_release": is_release,
        "versions": {OURS: "0"},
    }
    return Answer("other", "Another question", {}, {"rounds": 1}, environment, [], [])


def test_the_report_replaces_what_is_between_the_markers_and_nothing_else(readme: Path) -> None:
    answer = lookup_answer()
    report.write([answer], readme)
    text = readme.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert "| slow driver | blocking | 2.50 (2.00–3.00) | 2.50 |" in text  # noqa: RUF001 - a range
    assert "| fast enough | 1 | 2.500 | **no** |" in text
    report.write([answer], readme)
    assert readme.read_text(encoding="utf-8") == text


def lookup_answer() -> Answer:
    line = Line("slow driver", "blocking", {"wall": Spread(2500, 2000, 3000)}, {"wall ÷ peer": 2.5})
    return replace(an_answer(), units={"wall": "µs"}, lines=[line], verdicts=[Verdict("fast enough", 1, 2.5)])


def test_figures_of_a_debug_build_are_not_written_down(readme: Path) -> None:
    before = readme.read_text(encoding="utf-8")
    with pytest.raises(Failed, match="zig, debug"):
        report.write([lookup_answer(), an_answer(is_release=False)], readme)
    assert readme.read_text(encoding="utf-8") == before


def test_the_readme_has_its_markers() -> None:
    text = report.README.read_text(encoding="utf-8")
    assert text.index(report.BEGIN) < text.index(report.END)


def test_results_of_another_version_are_refused(tmp_path: Path) -> None:
    lookup_answer().write(tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), "schema": 0}))
    with pytest.raises(Failed, match="another form"):
        report.read(tmp_path)


def blocking(driver: str, offset: int = 0) -> BlockingContender:
    return BlockingContender(driver, lambda key: key + offset, lambda keys: None)


def test_contenders_that_disagree_are_not_measured() -> None:
    with pytest.raises(Failed, match=r"one .* and other .* different results"):
        take_turns([blocking("one"), blocking("other", 1)], range(10), BRIEF)


def test_everybody_has_one_turn_per_round_with_the_same_keys() -> None:
    seen: dict[str, list[list[int]]] = {"one": [], "other": []}
    order: list[str] = []

    def contender(driver: str) -> BlockingContender:
        def many(keys: object) -> None:
            assert isinstance(keys, list)
            seen[driver].append(keys)
            order.append(driver)

        return BlockingContender(driver, lambda key: key, many)

    plan = Plan(rounds=12, operations=3, warmup=2)
    samples = take_turns([contender("one"), contender("other")], range(1000), plan)
    assert seen["one"] == seen["other"]
    assert [len(keys) for keys in seen["one"]] == [2] + [3] * 12
    assert {len(turns) for turns in samples.values()} == {12}
    rounds = [tuple(order[at : at + 2]) for at in range(2, len(order), 2)]
    assert set(rounds) == {("one", "other"), ("other", "one")}


def test_a_ratio_is_taken_within_rounds() -> None:
    slow_minute = 100.0
    ours: list[Measured] = [Turn(1, 1), Turn(1, 1), Turn(slow_minute, 1)]
    theirs: list[Measured] = [Turn(2, 4), Turn(2, 4), Turn(2 * slow_minute, 0)]
    samples: Samples = {("ours", "blocking"): ours, ("theirs", "blocking"): theirs}
    assert ratio(samples, ("ours", "blocking"), ("theirs", "blocking"), "wall") == 0.5
    with pytest.raises(Failed, match="more operations"):
        ratio(samples, ("ours", "blocking"), ("theirs", "blocking"), "cpu")


def test_the_best_peer_is_the_quickest_other_orm_on_the_loop_or_blocking() -> None:
    samples: Samples = {
        (_orm.ORM, "asyncio"): [Turn(1, 1)] * 3,
        (_orm.DICTS, "asyncio"): [Turn(2, 2)] * 3,
        ("slow", "asyncio"): [Turn(5, 1), Turn(9, 1), Turn(8, 1)],
        ("quick", "asyncio"): [Turn(99, 9), Turn(6, 9), Turn(7, 9)],
        ("quick", "uvloop"): [Turn(3, 1)] * 3,
        ("blocks", "blocking"): [Turn(4, 1)] * 3,
    }
    assert _orm.best_peer(samples, "uvloop") == ("quick", "uvloop")
    assert _orm.best_peer(samples, "asyncio") == _orm.best_peer(samples, "blocking") == ("blocks", "blocking")
    (target,) = _orm.best_targets(samples, "something", 2.5)
    assert (target.ours, target.face, target.limit) == (_orm.ORM, "asyncio", 0.4)
    assert (target.against, target.against_face) == ("blocks", "blocking")
    del samples["blocks", "blocking"]
    assert _orm.best_peer(samples, "asyncio") == ("quick", "asyncio")


def test_without_another_orm_there_is_nothing_to_reach_and_no_ratio() -> None:
    samples: Samples = {(_orm.ORM, "asyncio"): [Turn(1, 1)], (_orm.DICTS, "asyncio"): [Turn(2, 2)]}
    assert _orm.best_targets(samples, "something", 2) == []
    assert [line.ratios for line in _orm.lines(samples)] == [{}, {}]


@pytest.mark.parametrize("transport", ["unix", "tcp"])
def test_an_orm_is_told_host_and_port_as_libpq_means_them(
    transport: Transport, embedded_server: Server
) -> None:
    assert embedded_server.embedded is not None
    place = Place.of(embedded_server.embedded, transport)
    host, port = host_and_port(place)
    assert port == embedded_server.embedded.port
    assert host == ("127.0.0.1" if transport == "tcp" else str(embedded_server.embedded.socket_folder))


def test_one_call_in_a_hundred_is_slow_and_the_seed_says_which() -> None:
    keys = mixed.draw(random.Random(4711), 1_000)
    assert keys == mixed.draw(random.Random(4711), 1_000)
    assert keys != mixed.draw(random.Random(4712), 1_000)
    assert sum(key < 0 for key in keys) == 10
    assert 0 not in keys


@pytest.mark.parametrize(("part", "expected"), [(0.5, 50), (0.99, 99), (0.991, 100), (1, 100), (0.001, 1)])
def test_a_quantile_is_the_smallest_value_that_the_part_does_not_exceed(part: float, expected: int) -> None:
    assert _latency.quantile(range(1, 101), part) == expected


def test_the_summary_of_a_single_latency_is_that_latency() -> None:
    assert set(_latency.summary([7]).values()) == {7}


def test_what_was_overheard_is_split_into_messages_after_the_start_up() -> None:
    encryption = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
    startup = b"\x00\x00\x00\x0e\x00\x03\x00\x02user\x00\x00"
    asked = ask(4711)
    found = _overheard.messages(encryption + startup + prepare("SELECT $1") + asked)
    assert [message.kind for message in found] == [b"P", b"D", b"S", b"B", b"E", b"S"]
    assert b"".join(message.raw for message in found[3:]) == asked
    assert _overheard.parses_of(startup + prepare("SELECT $1") + asked, "SELECT $1") == found[0].raw
    assert _overheard.parses_of(startup + prepare("SELECT $1") + asked, "SELECT $") == b""


def test_a_template_puts_other_values_into_the_places_of_the_first() -> None:
    template = _overheard.Template(ask(4711) + ask(4712), [4711, 4712])
    assert template.fill([1, 2]) == ask(1) + ask(2)
    with pytest.raises(BareError, match="once"):
        _overheard.Template(ask(4711) + ask(4711), [4711])


@pytest.fixture(scope="module")
def recordings(embedded_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the embedded server says to each statement that is profiled."""
    assert embedded_server.embedded is not None
    folder = tmp_path_factory.mktemp("recordings")
    profile_rows.record_all(folder, Place.of(embedded_server.embedded))
    return folder


@pytest.mark.parametrize("driver", [*profile_rows.IN_PROCESS, *profile_rows.WHOLE])
@pytest.mark.parametrize("shape", profile_rows.SHAPES)
def test_a_recording_is_replayed_to_a_driver(driver: str, shape: str, recordings: Path) -> None:
    found = profile_rows.run(shape, driver, 2, recordings)
    if driver == "bare":
        assert found is None
    else:
        assert found == profile_rows.run(shape, "native", 1, recordings)
        assert len(found) == (rows.ROWS if shape == "rows" else 1)


@pytest.mark.parametrize("driver", profile_concurrent.DRIVERS)
@pytest.mark.parametrize("face", LOOPS)
def test_a_recording_is_replayed_to_many_calls_at_once(driver: str, face: str, recordings: Path) -> None:
    rows = profile_concurrent.run(driver, face, repeat=1, size=3, folder=recordings)
    assert rows == profile_rows.run("lookup", "native", 1, recordings) * profile_concurrent.LOOKUPS


def test_the_replayed_backend_takes_bytes_one_by_one(recordings: Path) -> None:
    recording = Recording.read(recordings / "recordings" / "lookup.json")
    startup = b"\x00\x00\x00\x0e\x00\x03\x00\x00user\x00\x00"
    conversation = startup + prepare("SELECT 1") + ask(4711, describe=True)
    whole, slow = Replayer(recording), Replayer(recording)
    expected = whole.answer(conversation)
    assert expected.startswith(recording.greeting)
    assert b"".join(slow.answer(bytes([byte])) for byte in conversation) == expected


def test_the_one_command_prints_the_tables_of_a_quick_run(tmp_path: Path) -> None:
    before = report.README.read_bytes()
    command = [sys.executable, str(report.README.with_name("run.py")), "--quick", "rows"]
    done = subprocess.run(
        [*command, "--transport", "tcp", "--output", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "| asyncpg | uvloop |" in done.stdout
    assert "over TCP on the loopback" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["rows.json"]
    assert report.README.read_bytes() == before
