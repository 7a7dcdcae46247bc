"""`ShardRouter`: which database has the rows of a key, for models whose rows are spread over several.

By the hash of the key, by ranges, or by a table or function of one's own. Whoever resolves models' databases asks
`shard_for` for each statement on such a model; it is plain Python without I/O, for applications as well.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final, Literal, Protocol, cast

from hyperdjango.multi_db._shard_keys import Key, NoKey, Rendezvous, key_bytes, plain_key
from hyperdjango.multi_db.errors import Misconfigured, RoutingError
from hyperdjango.multi_db.routers import DatabaseRouter

Bounds = tuple[Any, Any]


class Rule(Protocol):
    """How a key leads to an alias."""

    def aliases(self) -> "tuple[str, ...] | None":
        """Return those it names itself, or None where it takes any."""
        ...

    def choose(self, key: Key) -> str | None:
        """Return the alias of a key as `plain_key` gives it; None where there is none.

        Raises:
            NoKey: A key of this class has no place.
        """
        ...


class ByHash:
    """The shard whose SHA-256 over alias, a zero byte and the key is the highest: rendezvous hashing.

    Where a shard is added to n others, one row of n + 1 moves, and all of them to the new one.
    """

    __slots__ = ("_rendezvous",)

    def __init__(self, aliases: Sequence[str]) -> None:
        self._rendezvous = Rendezvous(aliases)

    def aliases(self) -> None:
        """None: any."""

    def choose(self, key: Key) -> str:
        """Return the alias."""
        return self._rendezvous.choose(key_bytes(key))


class ByRange:
    """Each shard has keys from a lower bound up to an upper one, which belongs to the next.

    Args:
        ranges: Alias to (lower, upper), or to several of them; None is open. Together they have every key once.
    Raises:
        Misconfigured: There is a gap or an overlap, or bounds are not of one class.
    """

    __slots__ = ("_aliases", "_class", "_lowers", "_names")

    def __init__(self, ranges: "Mapping[str, Bounds | Sequence[Bounds]]") -> None:
        pieces: list[tuple[Any, Any, str]] = []
        for alias, given in ranges.items():
            for one in _listed(given):
                if not isinstance(one, tuple) or len(cast("tuple[object, ...]", one)) != PAIR:
                    raise Misconfigured(f"ByRange: {alias!r} takes (lower, upper), or a list of them")
                lower, upper = cast("tuple[object, object]", one)
                pieces.append((_bound(lower, alias), _bound(upper, alias), alias))
        if not pieces:
            raise Misconfigured("ByRange takes a range for each alias, and there is none")
        self._class = _one_class(pieces)
        pieces.sort(key=lambda piece: (False,) if piece[0] is None else (True, piece[0]))
        _check_cover(pieces)
        self._aliases = tuple(ranges)
        self._lowers = [piece[0] for piece in pieces[1:]]
        self._names = [piece[2] for piece in pieces]

    def aliases(self) -> tuple[str, ...]:
        """Return all of them."""
        return self._aliases

    def choose(self, key: Key) -> str:
        """Return the alias.

        Raises:
            NoKey: The key is of another class than the bounds.
        """
        if self._class is not None and _kind(key) is not self._class:
            raise NoKey(f"the ranges are of {self._class.__name__}, not of {type(key).__name__}")
        return self._names[bisect_right(self._lowers, key)]


PAIR: Final = 2


def _listed(given: object) -> Sequence[object]:
    """Return the ranges of one alias: one of them may stand alone."""
    if isinstance(given, list):
        return cast("list[object]", given)
    if isinstance(given, tuple):
        parts = cast("tuple[object, ...]", given)
        if parts and isinstance(parts[0], tuple):
            return parts
        return (parts,)
    return (given,)


def _bound(value: object, alias: str) -> Key | None:
    try:
        return None if value is None else plain_key(value)
    except NoKey as error:
        raise Misconfigured(f"ByRange: a bound of {alias!r}: {error}") from None


def _kind(key: Key) -> type:
    """The class whose values a key can be compared with: all numbers are of one."""
    return int if isinstance(key, Decimal) else type(key)


def _one_class(pieces: list[tuple[Any, Any, str]]) -> type | None:
    kinds = {_kind(bound) for lower, upper, _ in pieces for bound in (lower, upper) if bound is not None}
    if len(kinds) > 1:
        names = " and ".join(sorted(kind.__name__ for kind in kinds))
        raise Misconfigured(f"ByRange: bounds are of one class, not of {names}")
    return kinds.pop() if kinds else None


def _check_cover(pieces: list[tuple[Any, Any, str]]) -> None:
    """Check that sorted ranges have every key once."""
    if pieces[0][0] is not None:
        raise Misconfigured(
            f"ByRange: no shard has the keys below {pieces[0][0]!r}: (None, {pieces[0][0]!r})"
        )
    for (lower, upper, alias), (following, _, other) in pairwise(pieces):
        if lower is not None and upper is not None and lower >= upper:
            raise Misconfigured(f"ByRange: {alias!r} has no key between {lower!r} and {upper!r}")
        if following is None or upper is None or following < upper:
            raise Misconfigured(f"ByRange: {alias!r} and {other!r} overlap, at {following!r}")
        if following > upper:
            raise Misconfigured(f"ByRange: no shard has the keys from {upper!r} to {following!r}")
    lower, upper, alias = pieces[-1]
    if upper is not None:
        if lower is not None and lower >= upper:
            raise Misconfigured(f"ByRange: {alias!r} has no key between {lower!r} and {upper!r}")
        raise Misconfigured(f"ByRange: no shard has the keys from {upper!r} on: ({upper!r}, None)")


class ByLookup:
    """Each key's shard is written down: in a mapping, or what a synchronous function knows.

    Args:
        shards: Key to alias; or a function of the key that returns the alias, None for a key that it does not know.
        default: The alias of keys that are not there; None: these are an error.
    """

    __slots__ = ("_default", "_find", "_named")

    def __init__(
        self, shards: Mapping[Any, str] | Callable[[Any], str | None], default: str | None = None
    ) -> None:
        self._default = default
        self._named: tuple[str, ...] | None = None
        self._find: Callable[[Any], str | None]
        if isinstance(shards, Mapping):
            table = _plain_table(shards)
            self._find = table.get
            self._named = tuple(dict.fromkeys((*table.values(), *((default,) if default else ()))))
        elif callable(shards):
            self._find = shards
        else:
            raise Misconfigured(f"ByLookup takes a mapping or a function, not {type(shards).__name__}")

    def aliases(self) -> tuple[str, ...] | None:
        """Return those of the mapping; None of a function."""
        return self._named

    def choose(self, key: Key) -> str | None:
        """Return the alias, or None."""
        found = self._find(key)
        return self._default if found is None else found


def _plain_table(shards: Any) -> dict[Key, str]:
    try:
        return {plain_key(key): alias for key, alias in shards.items()}
    except NoKey as error:
        raise Misconfigured(f"ByLookup: {error}") from None


class ShardRouter(DatabaseRouter):
    """Models whose rows are spread over several databases, by the value of one field.

    Args:
        aliases: The shards. They are configured as any other alias.
        models: Model to the name of the field; the model's class, its name, or its name with the module in
            front. Subclasses of it are sharded as well, so an abstract model may stand for many.
        by: "hash", a `ByRange`, a `ByLookup`, or a function of the key that returns an alias.
    Raises:
        Misconfigured: Something does not fit together.
    """

    def __init__(
        self,
        aliases: Sequence[str],
        models: Mapping[Any, str],
        *,
        by: 'Literal["hash"] | Rule | Callable[[Any], str | None]' = "hash",
    ) -> None:
        given = cast("object", aliases)
        if isinstance(given, str) or not isinstance(given, Sequence) or not given:
            raise Misconfigured(f"ShardRouter takes a list of aliases, not {given!r}")
        for alias in cast("Sequence[object]", given):
            if not isinstance(alias, str) or not alias or "\0" in alias:
                raise Misconfigured(f"ShardRouter: {alias!r} is no alias")
        if len(set(aliases)) < len(aliases):
            raise Misconfigured("ShardRouter: an alias is there twice")
        if not models:
            raise Misconfigured('ShardRouter takes models: {"Order": "customer_id"}')
        self.aliases = tuple(aliases)
        self._fields: dict[Any, str] = {}
        for model, field in models.items():
            if not isinstance(model, str | type):
                raise Misconfigured(f"ShardRouter: models are classes or their names, not {model!r}")
            if not isinstance(cast("object", field), str) or not field.isidentifier() or "__" in field:
                raise Misconfigured(
                    f"ShardRouter: {_name(model)} is sharded by one of its own fields, not by {field!r}"
                )
            self._fields[model] = field
        self._rule: Rule = self._rule_of(by)
        self._known: dict[type[Any], str | None] = {}

    def _rule_of(self, by: Any) -> Rule:
        if by == "hash":
            return ByHash(self.aliases)
        if isinstance(by, type | str):
            raise Misconfigured(f"ShardRouter: by is 'hash', a ByRange, a ByLookup or a function, not {by!r}")
        is_rule = hasattr(cast("object", by), "choose")
        rule: Rule = by if is_rule else ByLookup(by)
        named = rule.aliases()
        for alias in named or ():
            if alias not in self.aliases:
                raise Misconfigured(
                    f"ShardRouter: {alias!r} is none of the shards {', '.join(map(repr, self.aliases))}"
                )
        if isinstance(rule, ByRange):
            for alias in self.aliases:
                if alias not in rule.aliases():
                    raise Misconfigured(f"ShardRouter: the shard {alias!r} has no range")
        return rule

    # What an application, or whoever resolves models' databases, asks

    def key_of(self, model: type[Any]) -> str | None:
        """Return the field that a model is sharded by; None where it is not sharded."""
        try:
            return self._known[model]
        except KeyError:
            return self._known.setdefault(model, self._looked_up(model))

    def _looked_up(self, model: type[Any]) -> str | None:
        for base in model.__mro__:
            for name in (base, f"{base.__module__}.{base.__qualname__}", base.__qualname__, base.__name__):
                field = self._fields.get(name)
                if field is not None:
                    return field
        return None

    def aliases_of(self, model: type[Any]) -> tuple[str, ...] | None:
        """Return the aliases of a model's shards, in order; None where it is not sharded."""
        return None if self.key_of(model) is None else self.aliases

    def shard_for(self, model: type[Any], key: object) -> str | None:
        """Return the alias of the shard that has the rows of a key; None where the model is not sharded.

        Args:
            model: The class.
            key: A value of the field. Equal numbers are one key, whether int or Decimal; "1" is another one.
        Raises:
            RoutingError: There is no such key, or no shard for it; the text does not show it.
        """
        field = self.key_of(model)
        if field is None:
            return None
        try:
            alias = self._rule.choose(plain_key(key))
        except NoKey as error:
            raise RoutingError(f"{_name(model)}.{field} says which shard a row is in: {error}") from None
        if alias is None:
            raise RoutingError(
                f"{_name(model)}.{field}: no shard is known for this {type(key).__name__}; add it to the lookup, or "
                "give that a default"
            )
        if alias not in self.aliases:
            raise RoutingError(
                f"{_name(model)}.{field}: the lookup says {alias!r}, which is none of the shards "
                f"{', '.join(map(repr, self.aliases))}"
            )
        return alias

    # What it says as one of several routers

    def allow_relation(
        self, near: type[Any], near_alias: str, far: type[Any], far_alias: str, **hints: Any
    ) -> bool | None:
        """Between a sharded model and one that is not: they are in different databases, and keys are all there is."""
        if (self.key_of(near) is None) != (self.key_of(far) is None):
            return True
        return None

    def allow_migrate(self, alias: str, model: type[Any], **hints: Any) -> bool | None:
        """Of a sharded model in each shard, and nowhere else."""
        return None if self.key_of(model) is None else alias in self.aliases

    def __repr__(self) -> str:
        return f"<ShardRouter over {', '.join(self.aliases)}>"


def _name(model: object) -> str:
    return model.__name__ if isinstance(model, type) else str(model)


__all__ = ["ByHash", "ByLookup", "ByRange", "Rule", "ShardRouter"]
