"""Which Database a statement of models goes to, where that is not plain: relations, many instances, several tables.

All of it stands on `resolver.database_for`, which knows the precedence.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from hyperdjango.database.resolver import NOT_BOUND, Bound, database_for, get_resolver
from hyperdjango.models._bound import bound_in_row, bound_in_slots
from hyperdjango.models.errors import FieldError

if TYPE_CHECKING:
    from hyperdjango.database import Database
    from hyperdjango.models._meta import Column, Relation
    from hyperdjango.models.model import Model


class Own:
    """What a queryset has in place of `using()` where its rows belong to an instance: that one's own database."""

    __slots__ = ("database",)

    def __init__(self, database: "Database") -> None:
        self.database = database

    @property
    def alias(self) -> str | None:
        """Of that database."""
        return self.database.alias

    @property
    def role(self) -> str | None:
        """Of that database."""
        return self.database.role


def own_of(instance: Any) -> "Database | None":
    """Return the Database that an instance came from, None where nobody knows."""
    origin = instance._origin
    return origin.database if origin is not None else None


async def one_server(database: "Database") -> "Database":
    """Return a Database whose reads all go to the same server."""
    return cast("Database", await database._one_server())  # pyright: ignore[reportPrivateUsage]  # the seam of faces


# Relations


def database_at(
    relation: "Relation", database: "Database", keys: Iterable[Any], *, is_write: bool = False
) -> "Database":
    """Return the Database that has what is at the far end of a relation of rows.

    It is that of the rows, unless the target says another one, or is sharded otherwise.

    Args:
        relation: The way.
        database: Where the rows are from.
        keys: Theirs, that the far end is found by.
        is_write: It must be the primary.
    Raises:
        Exception: The keys are of another shard, or of several: as the resolver says.
    """
    target = relation.target
    resolver = get_resolver()
    shards = resolver.shards(target, is_write=is_write)
    if shards is None:
        if relation.model._table.database == target._table.database:
            return database
        return database_for(target, is_write=is_write)
    wanted = list(dict.fromkeys(keys))
    if not any(shard.alias == database.alias for shard in shards):
        return database_for(
            target,
            is_write=is_write,
            bound=partial(_bound_by, relation, wanted[0] if len(wanted) == 1 else None),
        )
    for key in wanted:
        resolver.check_shard(database, target, partial(_bound_by, relation, key))
    return database


def _bound_by(relation: "Relation", key: Any, field: str) -> object:
    """The value of a field of the target, by the key that leads there."""
    if key is None or relation.through is not None:
        return NOT_BOUND
    values = (key,) if len(relation.remotes) == 1 else key
    column = relation.target._table.column(field)
    for remote, value in zip(relation.remotes, values, strict=True):
        if remote is column:
            return cast("object", value)
    return NOT_BOUND


def own_at(relation: "Relation", database: "Database | None") -> Own | None:
    """Return what the queryset of a relation's far end uses: None where its own model says more than the instance."""
    if database is None:
        return None
    target = relation.target
    shards = get_resolver().shards(target, is_write=False)
    if shards is None:
        is_same = relation.model._table.database == target._table.database
    else:
        is_same = any(shard.alias == database.alias for shard in shards)
    return Own(database) if is_same else None


def check_origins(relation: "Relation", near: Any, far: Any) -> None:
    """Refuse that an instance points to one of another database.

    Args:
        relation: The way.
        near: Where the one came from.
        far: Where the other did.
    Raises:
        FieldError: They are of different aliases, and no router allows it.
    """
    here, there = near.database, far.database
    if here is there or here is None or there is None:
        return
    check_aliases(relation, here.alias, there.alias)


def check_aliases(relation: "Relation", here: str | None, there: str | None) -> None:
    """As `check_origins`; what has no alias may be anywhere."""
    if here == there or here is None or there is None:
        return
    model, target = relation.model, relation.target
    if not get_resolver().allows_relation(model, here, target, there):
        raise FieldError(
            f"{model.__name__}.{relation.name}: this {model.__name__} is of the database {here!r} and this "
            f"{target.__name__} of {there!r}; fetch both from one, or have a router's allow_relation() say that both "
            "are the same rows"
        )


def check_objects(relation: "Relation", instance: Any, objects: Iterable[Any]) -> None:
    """As `check_origins`, for instances that are to belong to one."""
    near = instance._origin
    if near is None or near.database is None or near.database.alias is None:
        return
    for one in objects:
        far = getattr(one, "_origin", None)
        if far is not None and far is not near:
            check_origins(relation, near, far)


def check_held(instance: Any, database: "Database") -> None:
    """As `check_origins`, for a new instance: it is of the database that it is saved in."""
    if database.alias is None:
        return
    for relation in instance._table.relations.values():
        if not relation.is_forward:
            continue
        try:
            held = relation.slot.__get__(instance)
        except AttributeError:
            continue
        far = own_of(held) if held is not None else None
        if far is not None:
            check_aliases(relation, database.alias, far.alias)


# Shards


def check_written(instance: Any, database: "Database") -> None:
    """Check that an instance is written to the shard that its key says now."""
    get_resolver().check_shard(database, instance.__class__, partial(bound_in_slots, instance))


def check_assigned(
    model: "type[Model]", database: "Database", assigned: "Callable[[], dict[Column, Any]]"
) -> None:
    """Check that an UPDATE leaves rows in their shard.

    Args:
        model: Whose rows.
        database: Where they are.
        assigned: Asked for the new values, where the model is sharded.
    Raises:
        FieldError: The key is to be calculated.
    """

    def bound(field: str) -> object:
        column, values = model._table.column(field), assigned()
        if column not in values:
            return NOT_BOUND
        value: object = values[column]
        if hasattr(value.__class__, "resolve"):
            raise FieldError(
                f"update() of {model.__name__}: {column.name} says which shard a row is in, and is not calculated"
            )
        return value

    get_resolver().check_shard(database, model, bound)


def database_of_many(
    model: "type[Model]", using: "str | Database | Own | None", instances: Sequence[Any], method: str
) -> "Database":
    """Return the Database that one statement about many instances goes to.

    Raises:
        FieldError: They belong to several shards.
    """
    own: Database | None = None
    if isinstance(using, Own):
        own, using = using.database, None
    if using is not None or not instances or get_resolver().shards(model, is_write=True) is None:
        return database_for(model, using, own, is_write=True)
    instances = [one for one in instances if type(one) is model]  # what is none is refused later
    found: dict[int, Database] = {}
    for instance in instances:
        bound: Bound = partial(bound_in_row, instance)
        database = database_for(model, None, own_of(instance), is_write=True, bound=bound)
        found[id(database)] = database
        check_written(instance, database)
    if len(found) > 1:
        names = ", ".join(sorted(repr(database.alias) for database in found.values()))
        raise FieldError(
            f"{method} of {model.__name__}: the instances belong to the shards {names}, and no transaction reaches "
            "several; call it once for the instances of each"
        )
    return next(iter(found.values())) if found else database_for(model, is_write=True)


__all__ = [
    "Own",
    "check_assigned",
    "check_held",
    "check_objects",
    "check_origins",
    "check_written",
    "database_at",
    "database_of_many",
    "one_server",
    "own_at",
    "own_of",
]
