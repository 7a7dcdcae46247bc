"""A connection that is cut after each byte of a call, in each direction, and what the caller is told.

Each call writes a number that no other has, and another connection counts: what was reported as done was
done once, what failed with a plain error was not done at all, and OutcomeUnknown is said only where a write
was under way. PostgreSQL docs: protocol-flow, "Extended Query".
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import psycopg
import pytest
from hyperdjango.database import ConnectionLost, OperationalError, OutcomeUnknown
from pgkit import Direction, Ending, Link, Proxy
from pgkit.face import Face, OpenFace, iterate

INSERT: Final = "INSERT INTO written VALUES ($1)"
DIRECTIONS: Final[tuple[Direction, ...]] = ("to_backend", "to_frontend")
ENDINGS: Final[tuple[Ending, ...]] = ("eof", "reset")

Arm = Callable[[], None]
"""To be called by a call before its first byte is sent: from here on bytes are counted."""


@dataclass
class Outcome:
    """What a call led to.

    Attributes:
        tag: The number it writes.
        count: After how many bytes it was cut.
        error: None where it reported success.
        sent: How many bytes of it came to the proxy.
        answered: How many bytes of the answer came to the proxy.
        has_moved: It was done on another connection, since nothing of it could have been done on this one.
    """

    tag: int
    count: int
    error: OperationalError | None
    sent: int
    answered: int
    has_moved: bool


@dataclass
class Cuts:
    """All cuts of one call in one direction.

    Attributes:
        total: How many bytes go that way when nothing is cut.
        outcomes: One for each number of bytes from 0 to `total`.
        written: How often each tag was.
    """

    total: int
    outcomes: list[Outcome]
    written: dict[int, int]


def insert(face: Face, arm: Arm, tag: int) -> None:
    """An insert by itself, prepared before."""
    face.execute(INSERT, 0)
    arm()
    face.execute(INSERT, tag)


def first_insert(face: Face, arm: Arm, tag: int) -> None:
    """An insert by itself of a text that is new; the texts are all of the same length."""
    face.query_val("SELECT 1")
    arm()
    face.execute(f"{INSERT} /* {tag:06} */", tag)


def insert_without_values(face: Face, arm: Arm, tag: int) -> None:
    face.query_val("SELECT 1")
    arm()
    face.execute(f"INSERT INTO written VALUES ({tag:06})")


def script(face: Face, arm: Arm, tag: int) -> None:
    face.query_val("SELECT 1")
    arm()
    face.execute(f"INSERT INTO written VALUES ({tag:06}); SELECT 1")


def batch(face: Face, arm: Arm, tag: int) -> None:
    """Two sets, which are one transaction."""
    face.execute(INSERT, 0)
    arm()
    face.execute_many(INSERT, [(tag,), (-tag,)])


def commit(face: Face, arm: Arm, tag: int) -> None:
    with face.transaction():
        face.execute(INSERT, tag)
        arm()


def copy(face: Face, arm: Arm, tag: int) -> None:
    face.query_val("SELECT 1")
    arm()
    assert face.execute("COPY written FROM STDIN", [f"{tag:06}", "\n"]) == "COPY 1"


def copy_records(face: Face, arm: Arm, tag: int) -> None:
    """A look at the table, at its columns' types, the COPY and the COMMIT."""
    face.copy_records("written", [])
    arm()
    assert face.copy_records("written", [(tag,)]) == "COPY 1"


def stream(face: Face, arm: Arm, tag: int) -> None:
    """A statement that writes, in pieces, and the COMMIT."""
    sql = "INSERT INTO written VALUES ($1) RETURNING tag"
    list(iterate(face, "stream", sql, 0, chunk=1))
    arm()
    assert list(iterate(face, "stream", sql, tag, chunk=1)) == [{"tag": tag}]


def read(face: Face, arm: Arm, _: int) -> None:
    face.query("TABLE few")
    arm()
    assert face.query("TABLE few", into=tuple) == [(1,), (2,)]


def first_read(face: Face, arm: Arm, tag: int) -> None:
    face.query_val("SELECT 1")
    arm()
    assert face.query(f"SELECT n FROM few WHERE n < $1 /* {tag:06} */", 3, into=tuple) == [(1,), (2,)]


@pytest.fixture
def proxy(url: str) -> Iterator[Proxy]:
    with psycopg.connect(url, autocommit=True) as control:
        control.execute("CREATE TABLE written (tag int8)")
        control.execute("CREATE TABLE few AS VALUES (1), (2)")
        control.execute("ALTER TABLE few RENAME column1 TO n")
    with Proxy.before(url) as proxy:
        yield proxy


def wait_until_quiet(control: psycopg.Connection[Any]) -> None:
    """Wait until the backends whose connections were cut are done with what they had received."""
    until = time.monotonic() + 20
    while True:
        found = control.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND state <> 'idle'"
        ).fetchone()
        assert found is not None
        if found[0] == 0:
            return
        assert time.monotonic() < until, "a backend does not come to its end"
        time.sleep(0.01)


def cut_at_each_byte(
    call: Callable[[Face, Arm, int], None], face: Face, proxy: Proxy, direction: Direction, url: str
) -> Cuts:
    """Run the call once as it is, then once for each number of bytes after which it is cut."""
    link: Link | None = None
    before = (0, 0)

    def arm(count: int | None) -> Arm:
        def set_limit() -> None:
            nonlocal link, before
            link = proxy.last_session
            before = (link.bytes_to_backend, link.bytes_to_frontend)
            if count is not None:
                link.cut_in(direction, count)

        return set_limit

    call(face, arm(None), 1)
    assert link is not None
    total = link.bytes_so_far(direction) - before[DIRECTIONS.index(direction)]
    outcomes: list[Outcome] = []
    for count in range(total + 1):
        tag, error = 100 + count, None
        # Neither changes what can be known; both would take twice as long.
        proxy.cut_with = ENDINGS[count % 2]
        try:
            call(face, arm(count), tag)
        except OperationalError as caught:
            error = caught
        # Else the next call may be given the connection a moment before its end arrives.
        link.thread.join(10)
        sent, answered = link.bytes_to_backend - before[0], link.bytes_to_frontend - before[1]
        has_moved = proxy.last_session is not link
        outcomes.append(Outcome(tag, count, error, sent, answered, has_moved))
        assert face.pool_stats()["busy"] == 0
    assert face.query_val("SELECT 1") == 1
    with psycopg.connect(url, autocommit=True) as control:
        wait_until_quiet(control)
        written = dict[int, int](control.execute("SELECT tag, count(*) FROM written GROUP BY tag").fetchall())
    return Cuts(total, outcomes, written)


def must_be_honest(run: Cuts, direction: Direction) -> None:
    """Check what holds for every write."""
    for outcome in run.outcomes:
        times = run.written.get(outcome.tag, 0)
        assert times <= 1, f"executed {times} times: {outcome}"
        if outcome.error is None:
            assert times == 1, f"reported as done: {outcome}"
            assert outcome.has_moved or outcome.count == run.total, f"before the last byte: {outcome}"
        elif not isinstance(outcome.error, OutcomeUnknown):
            assert times == 0, f"failed, and was executed: {outcome}"
    if direction == "to_frontend":
        assert run.outcomes[-1].error is None, f"everything came: {run.outcomes[-1]}"


def must_be_lost_or_moved(outcomes: list[Outcome]) -> None:
    """Check that each failed without a doubt, or was done elsewhere."""
    for outcome in outcomes:
        assert isinstance(outcome.error, ConnectionLost) or (outcome.error is None and outcome.has_moved), (
            f"{outcome}"
        )


CALLS: Final = (
    insert,
    first_insert,
    insert_without_values,
    script,
    batch,
    commit,
    copy,
    copy_records,
    stream,
)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
def test_a_write_that_is_cut_is_executed_once_at_most_and_the_caller_knows_what_can_be_known(
    open_face: OpenFace,
    url: str,
    proxy: Proxy,
    call: Callable[[Face, Arm, int], None],
    direction: Direction,
) -> None:
    run = cut_at_each_byte(call, open_face(proxy.url(url), min_size=0), proxy, direction, url)
    must_be_honest(run, direction)
    assert any(isinstance(outcome.error, OutcomeUnknown) for outcome in run.outcomes)


def test_a_copy_that_is_cut_before_its_end_was_sent_is_known_not_to_have_run(
    open_face: OpenFace, url: str, proxy: Proxy
) -> None:
    run = cut_at_each_byte(copy, open_face(proxy.url(url), min_size=0), proxy, "to_frontend", url)
    must_be_honest(run, "to_frontend")
    # ParseComplete, BindComplete, CopyInResponse of one column: no data goes out before the last byte of it.
    must_be_lost_or_moved(run.outcomes[: 5 + 5 + 10])
    assert isinstance(run.outcomes[5 + 5 + 10 + 1].error, OutcomeUnknown)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_first_use_that_is_cut_before_its_values_were_sent_is_known_not_to_have_run(
    open_face: OpenFace, url: str, proxy: Proxy, direction: Direction
) -> None:
    # With no answer let through there are no values: this is all that goes both ways before them.
    first = cut_at_each_byte(
        first_insert, open_face(proxy.url(url), min_size=0), proxy, "to_frontend", url
    ).outcomes[0]
    with psycopg.connect(url, autocommit=True) as control:
        control.execute("TRUNCATE written")
    # A pool that knows none of the texts.
    run = cut_at_each_byte(first_insert, open_face(proxy.url(url), min_size=0), proxy, direction, url)
    must_be_honest(run, direction)
    size = first.sent if direction == "to_backend" else first.answered
    early = [outcome for outcome in run.outcomes if outcome.count < size]
    assert 10 < len(early) < len(run.outcomes)
    must_be_lost_or_moved(early)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_statement_of_a_block_that_is_cut_is_known_to_have_no_effect(
    open_face: OpenFace, url: str, proxy: Proxy, direction: Direction
) -> None:
    """As long as the COMMIT was not sent."""
    face = open_face(proxy.url(url), min_size=0)

    def statement(face: Face, arm: Arm, tag: int) -> None:
        # PT012: it is the whole block that raises.
        with pytest.raises(ZeroDivisionError) as caught, face.transaction():  # noqa: PT012
            face.execute(INSERT, tag)
            arm()
            try:
                face.execute(INSERT, tag)
            except OperationalError as error:
                raise ZeroDivisionError from error
            raise ZeroDivisionError
        if isinstance(caught.value.__cause__, OperationalError):
            raise caught.value.__cause__

    run = cut_at_each_byte(statement, face, proxy, direction, url)
    assert not any(run.written.get(outcome.tag) for outcome in run.outcomes)
    errors = {type(outcome.error) for outcome in run.outcomes if outcome.error is not None}
    assert errors == {ConnectionLost}


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("call", [read, first_read], ids=lambda call: call.__name__)
def test_a_read_that_is_cut_is_never_unknown(
    open_face: OpenFace,
    url: str,
    proxy: Proxy,
    call: Callable[[Face, Arm, int], None],
    direction: Direction,
) -> None:
    run = cut_at_each_byte(call, open_face(proxy.url(url), min_size=0), proxy, direction, url)
    must_be_lost_or_moved(run.outcomes[:-1])
