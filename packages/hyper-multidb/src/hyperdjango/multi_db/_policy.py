"""Which of several replicas serves a read, where all of them may."""

import itertools
import random
from collections.abc import Sequence
from typing import Protocol, cast

from hyperdjango.multi_db._node import Node
from hyperdjango.multi_db.errors import Misconfigured

_random = random.Random()  # noqa: S311 - nothing depends on nobody guessing it


class Policy(Protocol):
    """What chooses."""

    def pick(self, nodes: Sequence[Node]) -> Node:
        """Return one of several."""
        ...


class LeastInFlight:
    """The one with the fewest reads under way; in turn where these are equal."""

    def __init__(self) -> None:
        self._turns = itertools.count()

    def pick(self, nodes: Sequence[Node]) -> Node:
        """Return the least busy one."""
        count = len(nodes)
        first = next(self._turns) % count
        chosen = nodes[first]
        least = chosen.in_flight
        for step in range(1, count):
            node = nodes[(first + step) % count]
            if node.in_flight < least:
                chosen, least = node, node.in_flight
        return chosen


class RoundRobin:
    """One after the other."""

    def __init__(self) -> None:
        self._turns = itertools.count()

    def pick(self, nodes: Sequence[Node]) -> Node:
        """Return the next one."""
        return nodes[next(self._turns) % len(nodes)]


class Weighted:
    """By chance, the heavier ones more often."""

    def pick(self, nodes: Sequence[Node]) -> Node:
        """Return one of them."""
        total = 0.0
        for node in nodes:
            total += node.weight
        point = _random.random() * total
        for node in nodes:
            point -= node.weight
            if point < 0:
                return node
        return nodes[-1]


def policy_of(given: object, replicas: int, alias: str) -> tuple[Policy, tuple[float, ...]]:
    """Return what a policy's name, or weights, stand for, and the weight of each replica.

    Args:
        given: `"least_inflight"`, `"round_robin"`, or a weight for each replica.
        replicas: How many there are.
        alias: For the error.
    Raises:
        Misconfigured: It is none of these.
    """
    if given == "least_inflight":
        return LeastInFlight(), (1.0,) * replicas
    if given == "round_robin":
        return RoundRobin(), (1.0,) * replicas
    if isinstance(given, Sequence) and not isinstance(given, str):
        items = cast("Sequence[object]", given)
        weights = tuple(
            float(each) for each in items if isinstance(each, (int, float)) and 0 < each < float("inf")
        )
        if len(weights) == len(items) == replicas:
            return Weighted(), weights
        raise Misconfigured(
            f"alias {alias!r}: the weights of policy must be a number above 0 for each of the {replicas} replicas, "
            f"not {list(items)!r}"
        )
    raise Misconfigured(
        f"alias {alias!r}: policy must be 'least_inflight', 'round_robin' or a list of weights, not {given!r}"
    )


__all__ = ["LeastInFlight", "Policy", "RoundRobin", "Weighted", "policy_of"]
