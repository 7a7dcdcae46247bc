"""What was decided of a scope's reads is kept, and no longer than it is true. Without a server: nothing is sent."""

from collections.abc import Callable

import pytest
from hyperdjango.multi_db._node import Node
from hyperdjango.multi_db._policy import LeastInFlight
from hyperdjango.multi_db._primary import PrimaryFace
from hyperdjango.multi_db._probe import Answer
from hyperdjango.multi_db._replica_set import BEHIND, PINNED, RECENT, REPLICA, ReplicaSet
from hyperdjango.multi_db._route import Route
from hyperdjango.multi_db._set_options import SetOptions
from hyperdjango.multi_db.lsn import Position
from hyperdjango.multi_db.scope import Scope

ALIAS = "a"


def answer(life: str = "first", lsn: int = 100, *, timeline: int = 1, in_recovery: bool = True) -> Answer:
    return Answer(in_recovery, lsn, timeline, life, "system", in_recovery)


def replica_set(replicas: int = 1, options: SetOptions | None = None) -> ReplicaSet:
    """A primary and its replicas, which have all answered; nothing listens where they are."""
    urls = [f"postgresql://nobody@127.0.0.1:{port}/none" for port in range(1, replicas + 2)]
    nodes = [Node(url, {}, alias=ALIAS) for url in urls]
    made = ReplicaSet(ALIAS, nodes, LeastInFlight(), options or SetOptions())
    PrimaryFace.of(made, urls[0], {})
    for node in nodes:
        node.learn(answer(in_recovery=node is not nodes[0]))
    return made


def routed(made: ReplicaSet, scope: Scope) -> Route:
    route = made.route(scope)
    assert route is not None
    return route


def pinned_for_a_moment(scope: Scope) -> None:
    scope.pin(ALIAS)
    scope.unpin(ALIAS)


CHANGES: dict[str, Callable[[Scope], object]] = {
    "a write": lambda scope: scope.note(ALIAS, Position(1, 50)),
    "a write that is in doubt": lambda scope: scope.doubt(ALIAS),
    "a write, by time": lambda scope: scope.note_time(ALIAS),
    "a pin": lambda scope: scope.pin(ALIAS),
    "the end of a pin": pinned_for_a_moment,
    "a token": lambda scope: scope.take_up(f"{ALIAS}=1-32"),
    "other servers": lambda scope: scope.forget({ALIAS}),
    "what the process has written": lambda scope: scope.begin_with(Scope()),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_decision_is_kept_until_its_scope_changes(change: Callable[[Scope], object]) -> None:
    made, scope = replica_set(), Scope()
    first = routed(made, scope)
    assert routed(made, scope) is first
    change(scope)
    assert made.route(scope) is not first


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_decision_that_was_begun_before_its_scope_changed_is_not_kept(
    change: Callable[[Scope], object],
) -> None:
    """As where another thread writes, while this one looks at the servers."""
    made, scope = replica_set(), Scope()
    begun = scope.state
    decided = routed(made, Scope())
    change(scope)
    scope.keep(ALIAS, decided, begun)
    assert scope.routes == {}


def test_a_write_in_a_scope_counts_in_those_around_it() -> None:
    made, outer = replica_set(), Scope()
    inner = Scope(outer)
    assert routed(made, outer).reason is REPLICA
    inner.note(ALIAS, Position(1, 101))
    assert made.route(outer) is None


def test_what_is_decided_is_what_would_be_decided_anew() -> None:
    made, scope = replica_set(), Scope()
    assert routed(made, scope).is_usual
    scope.pin(ALIAS)
    assert routed(made, scope).reason is PINNED
    scope.unpin(ALIAS)
    scope.note(ALIAS, Position(1, 100))
    assert routed(made, scope).node is made.nodes[1]
    scope.note(ALIAS, Position(1, 101))
    assert made.route(scope) is None
    made.nodes[1].learn(answer(lsn=101))
    assert routed(made, scope).node is made.nodes[1]


def test_only_replicas_that_have_the_own_write_share_its_reads() -> None:
    made, scope = replica_set(replicas=3), Scope()
    scope.note(ALIAS, Position(1, 200))
    for node in made.nodes[2:]:
        node.learn(answer(lsn=200))
    route = routed(made, scope)
    assert (route.nodes, route.node) == (made.nodes[2:], None)
    assert {made.pick(route) for _ in range(4)} == set(made.nodes[2:])


def test_that_an_own_write_is_recent_is_not_kept() -> None:
    made, scope = replica_set(options=SetOptions(read_your_writes=0.02)), Scope()
    scope.note_time(ALIAS)
    assert routed(made, scope).reason is RECENT
    assert scope.routes == {}


def test_a_decision_ends_with_what_was_known_of_a_server() -> None:
    made, scope = replica_set(replicas=2), Scope()
    changes: dict[str, Callable[[], object]] = {
        "it is another one": lambda: made.nodes[1].learn(answer("second")),
        "it does not answer": lambda: made.note_failure(made.nodes[1], OSError("gone")),
        "it is back": lambda: made.nodes[1].learn(answer("second")),
        "it was promoted": lambda: made.nodes[1].learn(answer("second", timeline=2, in_recovery=False)),
    }
    for words, change in changes.items():
        before = routed(made, scope)
        change()
        assert routed(made, scope) is not before, words
    assert made.primary is made.nodes[1]


def test_nothing_that_was_known_of_a_server_outlives_its_epoch() -> None:
    """Between the steps of `learn`, as another thread sees them: a decision of before is void, or its epoch is."""
    made, scope = replica_set(), Scope()
    scope.note(ALIAS, Position(1, 100))
    node = made.nodes[1]
    kept, epoch = routed(made, scope), node.epoch
    seen: list[tuple[bool, bool]] = []

    class Watched(set[str]):
        """What `learn` uses in the middle."""

        def add(self, life: str) -> None:
            seen.append((kept.known is made.known, node.epoch == epoch))
            super().add(life)

    node._lives = Watched(node._lives)
    node.learn(answer("second", lsn=1))
    assert seen == [(False, True)]
    assert node.epoch == epoch + 1
    assert made.route(scope) is None


def test_the_usual_reads_are_counted_by_server_and_the_others_by_reason() -> None:
    made = replica_set()
    made.nodes[1].reads += 3
    made.nodes[0].reads += 1
    made.routes[BEHIND] += 1
    assert made.figures()["routes"] == {REPLICA: 3, BEHIND: 1}
