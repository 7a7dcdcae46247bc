"""One alias that is open: its faces, and how it is opened and closed. `manager` holds them."""
# It is made of faces, which are one half of a Database:
# pyright: reportPrivateUsage=false

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from hyperdjango.database import Database
from hyperdjango.database.errors import DatabaseError
from hyperdjango.multi_db._config import Spec
from hyperdjango.multi_db._node import Node
from hyperdjango.multi_db._policy import policy_of
from hyperdjango.multi_db._primary import PrimaryFace
from hyperdjango.multi_db._probe import PLAIN_PROBE, Answer
from hyperdjango.multi_db._reader import ReaderFace
from hyperdjango.multi_db._replica_set import ReplicaSet
from hyperdjango.multi_db.across_errors import CapabilityMissing
from hyperdjango.multi_db.engines import probe
from hyperdjango.multi_db.errors import Misconfigured

# SQLSTATE classes of servers that have not got a function, or do not let it be used.
REFUSALS: Final = frozenset({"0A", "42", "55"})
WITHOUT_LSN: Final = (
    "reads after own writes and max_lag go by that. Say read_your_writes=2.0 (the seconds after a write in which "
    "reads go to the primary) and no max_lag; or give the endpoints for writes and for reads an alias each, with "
    "PrimaryReplicaRouter between them"
)


@dataclass(slots=True)
class Opened:
    """An alias.

    Attributes:
        face: What takes everything.
        reader: What takes reads; the same where there is one server.
        replica_set: None where there is one server.
    """

    face: Database
    reader: Database
    replica_set: ReplicaSet | None = None

    @property
    def host(self) -> str:
        """The server, where there is one."""
        host = self.face._pool.parameters.hosts[0]
        return f"{host.name or host.address or ''}:{host.port}"

    def figures(self) -> dict[str, Any]:
        """Return what `ConnectionManager.stats` says."""
        if self.replica_set is not None:
            return self.replica_set.figures()
        pool = self.face.pool_stats()
        return {"hosts": {self.host: {"in_use": pool["busy"], "waiting": pool["waiting"]}}}

    async def close(self) -> None:
        """Drain and close its pools."""
        databases = [self.face]
        if self.replica_set is not None:
            await asyncio.to_thread(self.replica_set.stop)
            databases += [node.database for node in self.replica_set.nodes]
        await asyncio.gather(*(each.disconnect() for each in databases))


async def open_alias(spec: Spec) -> Opened:
    """Open one alias.

    Raises:
        Misconfigured: Something in it cannot be used, or a server is not what it is said to be.
        ConnectionFailed: A server does not let us in.
    """
    try:
        return await (_open_one(spec) if spec.replicas is None else _open_set(spec))
    except Misconfigured:
        raise
    except (ValueError, TypeError) as error:
        # The frames below hold URLs and keywords; a traceback with locals would show them.
        raise Misconfigured(f"alias {spec.alias!r}: {error}") from error.with_traceback(None)
    except Exception as error:
        error.add_note(f"while opening the alias {spec.alias!r}")
        raise


async def _open_one(spec: Spec) -> Opened:
    database = Database(spec.urls[0], **spec.database)
    database.alias = spec.alias
    await database.connect()
    return Opened(database, database)


async def _open_set(spec: Spec) -> Opened:
    given = spec.replicas
    assert given is not None
    policy, weights = policy_of(given.policy, len(spec.urls) - 1, spec.alias)
    # The primary's own pool is the face's; its node has one for the day when it is a replica.
    nodes = [Node(spec.urls[0], {**spec.database, "min_size": 0}, alias=spec.alias)]
    nodes += [
        Node(url, spec.database, alias=spec.alias, weight=weight)
        for url, weight in zip(spec.urls[1:], weights, strict=True)
    ]
    replica_set = ReplicaSet(spec.alias, nodes, policy, given.options)
    face = PrimaryFace.of(replica_set, spec.urls[0], spec.database)
    opened = Opened(face, ReaderFace.of(face), replica_set)
    try:
        asked = await asyncio.gather(
            *(_ask(node, spec) for node in nodes),
            return_exceptions=True,  # none is to go on by itself once another has failed
        )
        answers = [_answer(each) for each in asked]
        _check(spec, nodes, answers)
        await asyncio.gather(face.connect(), *(node.database.connect() for node in nodes[1:]))
        replica_set.start()
    except BaseException:
        await opened.close()
        raise
    return opened


async def _ask(node: Node, spec: Spec) -> Answer:
    """Ask a server who it is, on a connection that its pool keeps. No local has a URL or its options.

    Raises:
        Misconfigured: It cannot say how far its log is: it is no PostgreSQL.
    """
    try:
        return await _answer_of(node)
    except BaseException as error:
        error.add_note(f"asking {node.name} who it is")
        if isinstance(error, DatabaseError) and (error.sqlstate or "")[:2] in REFUSALS:
            assert spec.replicas is not None
            if not spec.replicas.options.needs_lsn:
                node.question = PLAIN_PROBE
                return await _answer_of(node)
            # By a pool that does not greet its connections with the very question that was refused.
            async with _plain(node) as plain:
                found = await probe(plain)
            try:
                found.require("lsn", spec.alias, node.name, WITHOUT_LSN)
            except CapabilityMissing as missing:
                raise Misconfigured(f"alias {missing}") from error
        raise


def _plain(node: Node) -> Database:
    options: dict[str, Any] = {**node.options, "min_size": 0, "max_size": 1}
    return Database(node.url, **options)


async def _answer_of(node: Node) -> Answer:
    await node.database.connect()
    return Answer.of(await node.database.query_one(node.question, into=tuple))


def _answer(outcome: Answer | BaseException) -> Answer:
    """Return an answer, or raise what came instead."""
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def _check(spec: Spec, nodes: list[Node], answers: list[Answer]) -> None:
    """Refuse servers that are not what they are said to be."""
    alias = spec.alias
    primary, answer = nodes[0], answers[0]
    assert spec.replicas is not None
    if spec.replicas.finds_roles and any(not each.in_recovery for each in answers):
        primary, answer = max(
            ((node, each) for node, each in zip(nodes, answers, strict=True) if not each.in_recovery),
            key=lambda pair: pair[1].timeline,
        )
    if answer.in_recovery:
        other = next(
            (node.name for node, each in zip(nodes, answers, strict=True) if not each.in_recovery), None
        )
        raise Misconfigured(
            f"alias {alias!r}: the primary {primary.name} is in recovery: it is a standby and takes no writes. "
            + (
                f"{other} takes them: swap the two, or say roles='found' to look for the primary"
                if other is not None
                else "Name the server that takes writes as 'primary', and list this one under 'replicas'"
            )
        )
    if answer.is_read_only:
        raise Misconfigured(
            f"alias {alias!r}: the primary {primary.name} is read-only: its sessions begin with "
            "default_transaction_read_only = on; turn that off for this role or database, or name another primary"
        )
    for node, each in zip(nodes, answers, strict=True):
        if node is primary:
            continue
        if not each.in_recovery and not spec.replicas.finds_roles:
            raise Misconfigured(
                f"alias {alias!r}: the replica {node.name} is not in recovery: it is a primary of its own, and what is "
                "written here does not arrive there. Give it an alias of its own, or set it up as a standby"
            )
        if each.system != answer.system:
            raise Misconfigured(
                f"alias {alias!r}: the replica {node.name} is of another cluster than {primary.name}: their "
                "system identifiers differ. Make it anew from this primary, by pg_basebackup"
            )


__all__ = ["Opened", "open_alias"]
