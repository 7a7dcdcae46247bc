"""Changes what belongs to an instance: `author.books.add(…)` and its like. `RelatedSet`'s methods come here.

The rows are changed by one statement of arrays; then the lists and keys that instances at hand have loaded.
Of a foreign key the far rows are updated; of a many-to-many relation rows of the table between come and go.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from hyperdjango.database._native import native
from hyperdjango.models._far_ends import keys_of, put_all, value_in
from hyperdjango.models._keyed import among, of_one
from hyperdjango.models._nearest import nearest
from hyperdjango.models._routing import check_objects, database_at
from hyperdjango.models.errors import FieldError
from hyperdjango.models.signals import m2m_changed

if TYPE_CHECKING:
    from hyperdjango.database import Database
    from hyperdjango.models._meta import Relation


def loaded(instance: Any, relation: "Relation") -> list[Any] | None:
    """Return the list that an instance has loaded, or None."""
    try:
        found: list[Any] | None = relation.slot.__get__(instance, type(instance))
    except AttributeError:
        return None
    return found


async def create(instance: Any, relation: "Relation", values: dict[str, Any]) -> Any:
    """See `RelatedSet.create`."""
    database = _database(instance, relation)
    objects = relation.target.objects.using(database)
    if relation.through is None:
        back = _back(relation)
        _refuse(relation, values, "create")
        made: Any = await objects.create(**{back.name: instance}, **values)
        _joined(instance, relation, [made])
        return made
    async with database.transaction():
        made = await objects.create(**values)
        await add(instance, relation, (made,), None)
    return made


async def get_or_create(
    instance: Any, relation: "Relation", defaults: dict[str, Any] | None, lookups: dict[str, Any]
) -> tuple[Any, bool]:
    """See `RelatedSet.get_or_create`."""
    database = _database(instance, relation)
    objects: Any = relation.target.objects.using(database)
    if relation.through is None:
        _refuse(relation, lookups, "get_or_create")
        found, is_new = await objects.get_or_create(defaults, **{_back(relation).name: instance}, **lookups)
        if is_new:
            _joined(instance, relation, [found])
        return found, is_new
    async with database.transaction():
        known = await _of(instance, relation, objects).get_or_none(**lookups)
        if known is not None:
            return known, False
        found, is_new = await objects.get_or_create(defaults, **lookups)
        await add(instance, relation, (found,), None)
    return found, is_new


def _refuse(relation: "Relation", values: dict[str, Any], method: str) -> None:
    back = _back(relation)
    for name in (back.name, *(column.name for column in back.locals)):
        if name in values:
            raise FieldError(
                f"{relation.model.__name__}.{relation.name}.{method}() gives {name!r} by itself; leave it out"
            )


async def add(
    instance: Any, relation: "Relation", objects: tuple[Any, ...], defaults: dict[str, Any] | None
) -> None:
    """See `RelatedSet.add`."""
    keys = _keys(relation, objects)
    if defaults and relation.through is None:
        raise FieldError(f"{_said(relation)}: there is no table between, so no through_defaults")
    if not objects:
        return
    check_objects(relation, instance, objects)
    database = _database(instance, relation)
    if relation.through is None:
        back = _back(relation)
        rows = among(_plain(relation.target, database), relation.target._table.primary_key, keys)
        await rows.update(**{back.name: instance})
        _take_over(instance, relation, objects)
    else:
        await _tell(instance, relation, "pre_add", keys, database)
        await _insert(instance, relation, keys, defaults, database)
        await _tell(instance, relation, "post_add", keys, database)
    _joined(instance, relation, objects)


async def _insert(
    instance: Any,
    relation: "Relation",
    keys: list[Any],
    defaults: dict[str, Any] | None,
    database: "Database",
) -> None:
    """Insert rows of the table between, without those that are there."""
    through, near, far = _between(relation)
    _check_defaults(relation, defaults or {})
    far_keys = [column.name for column in far.locals]
    unique = {*near.locals, *far.locals} >= set(through._table.primary_key)

    async def insert(wanted: Iterable[Any]) -> None:
        rows: list[Any] = []
        for key in wanted:
            values = dict(zip(far_keys, (key,) if len(far_keys) == 1 else key, strict=True))
            given = {name: value() if callable(value) else value for name, value in (defaults or {}).items()}
            rows.append(through(**{near.name: instance}, **values, **given))
        if rows:
            await through.objects.using(database).bulk_create(rows, ignore_conflicts=True)

    wanted = dict.fromkeys(keys)
    if unique:
        await insert(wanted)
        return
    # No constraint of the table says that a pair is there once.
    async with database.transaction():
        known = await _pairs(instance, relation, database)
        await insert(key for key in wanted if key not in known)


async def _pairs(instance: Any, relation: "Relation", database: "Database") -> dict[Any, None]:
    """The keys of all that belong to an instance by a many-to-many relation."""
    through, near, far = _between(relation)
    rows: Any = among(_plain(through, database), near.locals, _own_keys(instance, near))
    found = await rows.values_list(*[column.name for column in far.locals])
    return dict.fromkeys(row[0] if len(far.locals) == 1 else row for row in found)


def _check_defaults(relation: "Relation", defaults: dict[str, Any]) -> None:
    through, near, far = _between(relation)
    table = through._table
    ends = {near.name, far.name, *(column.name for column in (*near.locals, *far.locals))}
    for name in defaults:
        if name in ends:
            raise FieldError(
                f"{_said(relation)}: through_defaults cannot set {name!r}, which is one of the two ends"
            )
        if name not in table.by_name and not (name in table.relations and table.relations[name].is_forward):
            known = [one for one in table.names() if one not in ends]
            raise FieldError(
                f"{_said(relation)}: {through.__name__} has no field {name!r}{nearest(name, known)}"
            )


async def remove(instance: Any, relation: "Relation", objects: tuple[Any, ...]) -> None:
    """See `RelatedSet.remove`."""
    keys = _keys(relation, objects)
    if objects:
        await _remove(instance, relation, keys, _database(instance, relation))
        _left(instance, relation, keys, objects)


async def _remove(instance: Any, relation: "Relation", keys: list[Any], database: "Database") -> None:
    if relation.through is None:
        back = _nullable_back(relation)
        rows = _of(instance, relation, _plain(relation.target, database))
        await among(rows, relation.target._table.primary_key, keys).update(**{back.name: None})
        return
    through, near, far = _between(relation)
    own = _own_keys(instance, near)[0]
    one = (own,) if len(near.locals) == 1 else own
    pairs = [(*one, *((key,) if len(far.locals) == 1 else key)) for key in keys]
    await _tell(instance, relation, "pre_remove", keys, database)
    await among(_plain(through, database), (*near.locals, *far.locals), pairs).delete()
    await _tell(instance, relation, "post_remove", keys, database)


async def clear(instance: Any, relation: "Relation") -> None:
    """See `RelatedSet.clear`."""
    database = _database(instance, relation)
    if relation.through is None:
        back = _nullable_back(relation)
        await _of(instance, relation, _plain(relation.target, database)).update(**{back.name: None})
    else:
        through, near, _ = _between(relation)
        await _tell(instance, relation, "pre_clear", None, database)
        await among(_plain(through, database), near.locals, _own_keys(instance, near)).delete()
        await _tell(instance, relation, "post_clear", None, database)
    before = loaded(instance, relation)
    if before is not None:
        _left(instance, relation, _keys(relation, before), before)


async def replace(
    instance: Any, relation: "Relation", objects: tuple[Any, ...], defaults: dict[str, Any] | None
) -> None:
    """See `RelatedSet.set`."""
    keys = _keys(relation, objects)
    check_objects(relation, instance, objects)
    database = _database(instance, relation)
    async with database.transaction():
        if relation.through is None:
            rows: Any = _of(instance, relation, _plain(relation.target, database))
            primary = relation.target._table.primary_key
            found = await rows.values_list(*[column.name for column in primary])
            known = dict.fromkeys(row[0] if len(primary) == 1 else row for row in found)
        else:
            known = await _pairs(instance, relation, database)
        wanted = set(keys)
        superfluous = [key for key in known if key not in wanted]
        if superfluous:
            await _remove(instance, relation, superfluous, database)
        fresh = tuple(one for one, key in zip(objects, keys, strict=True) if key not in known)
        if fresh:
            await add(instance, relation, fresh, defaults)
    before = loaded(instance, relation)
    if before is not None:
        gone = [one for one in before if _key(relation, one) not in wanted]
        _left(instance, relation, _keys(relation, gone), gone)
        held = {_key(relation, one) for one in before}
        _joined(instance, relation, [one for one, key in zip(objects, keys, strict=True) if key not in held])


async def _tell(
    instance: Any, relation: "Relation", action: str, keys: list[Any] | None, database: "Database"
) -> None:
    """Send m2m_changed, with the keys that were given: whether each was new is known to the database alone."""
    if not m2m_changed.has_listeners(relation.through):
        return
    await m2m_changed.send(
        relation.through,
        instance=instance,
        action=action,
        reverse=relation.kind != "ManyToMany",
        model=relation.target,
        pk_set=None if keys is None else set(keys),
        using=database,
    )


# Ends


def _between(relation: "Relation") -> "tuple[Any, Relation, Relation]":
    assert relation.through is not None
    assert relation.through_near is not None
    assert relation.through_far is not None
    return relation.through, relation.through_near, relation.through_far


def _back(relation: "Relation") -> "Relation":
    assert relation.reverse is not None, "a foreign key's way back has the key for its own way back"
    return relation.reverse


def _nullable_back(relation: "Relation") -> "Relation":
    back = _back(relation)
    if not back.is_nullable:
        raise FieldError(
            f"{_said(relation)}: {back.model.__name__}.{back.name} is never NULL; delete the rows, or add them to "
            f"another {relation.model.__name__}"
        )
    return back


def _said(relation: "Relation") -> str:
    return f"{relation.model.__name__}.{relation.name}"


def _database(instance: Any, relation: "Relation") -> "Database":
    """Where the rows are that a change of a relation is about."""
    from hyperdjango.models._loading import database_of

    database = database_of(instance, is_write=True)
    if relation.through is not None:
        return database  # the table between is where the instance is
    return database_at(relation, database, keys_of([instance], relation.locals), is_write=True)


def _plain(model: Any, database: "Database") -> Any:
    """All rows of a table, whatever its manager or its filters leave out."""
    from hyperdjango.models.queryset import QuerySet

    queryset: QuerySet[Any, Any] = QuerySet(model)
    return queryset.unscoped().using(database)


def _own_keys(instance: Any, near: "Relation") -> list[Any]:
    """The instance's key, as the table between has it, in a list.

    Raises:
        NotLoaded: It has none yet.
    """
    return keys_of([instance], near.remotes)


def _of(instance: Any, relation: "Relation", queryset: Any) -> Any:
    """The rows of a queryset that belong to an instance."""
    new = queryset.all()
    key = keys_of([instance], relation.locals)[0]
    new._state = of_one(new._state, relation)
    new._params += (key,) if len(relation.locals) == 1 else key
    return new


def _keys(relation: "Relation", objects: Iterable[Any]) -> list[Any]:
    return [_key(relation, one) for one in objects]


def _key(relation: "Relation", one: Any) -> Any:
    """The key of what is to belong to an instance.

    Raises:
        FieldError: It is of another model, or is not saved.
    """
    target = relation.target
    if isinstance(one, target):
        # Of many to many the table between says which columns name the row.
        columns = (
            relation.through_far.remotes if relation.through_far is not None else target._table.primary_key
        )
        if one.pk is None or (one._origin is None and relation.through is None):
            raise FieldError(
                f"{_said(relation)}: this {target.__name__} is not saved; save it first, or use create()"
            )
        return keys_of([one], columns)[0]
    if relation.through is None or hasattr(one, "_table") or one is None:
        raise FieldError(f"{_said(relation)} takes instances of {target.__name__}, not {type(one).__name__}")
    assert relation.through_far is not None
    remotes = relation.through_far.remotes
    if len(remotes) == 1 and isinstance(remotes[0].type.python, type):
        wanted = remotes[0].type.python
        if not isinstance(one, wanted):
            raise FieldError(
                f"{_said(relation)} takes instances of {target.__name__}, or their keys of {wanted.__name__}, "
                f"not {type(one).__name__}"
            )
    return one


# What is loaded


def _take_over(instance: Any, relation: "Relation", objects: tuple[Any, ...]) -> None:
    """Give instances that belong to another one now the new key."""
    back = _back(relation)
    for column, remote in zip(back.locals, back.remotes, strict=True):
        value = getattr(instance, remote.name)
        for one in objects:
            native.set_slot(one, column.slot, value)
            if one._changed:
                one._changed.discard(column.name)
    put_all(objects, back.slot, [instance] * len(objects))


def _joined(instance: Any, relation: "Relation", objects: Iterable[Any]) -> None:
    """Put instances into the lists that are loaded; where only a key is known, the list is forgotten."""
    here = loaded(instance, relation)
    back = relation.reverse
    for one in objects:
        is_instance = isinstance(one, relation.target)
        if here is not None and not is_instance:
            relation.slot.__delete__(instance)
            here = None
        elif here is not None and one not in here:
            here.append(one)
        if back is not None and back.is_many and is_instance:
            there = loaded(one, back)
            if there is not None and instance not in there:
                there.append(instance)


def _left(instance: Any, relation: "Relation", keys: list[Any], objects: Iterable[Any]) -> None:
    """Take instances out of the lists that are loaded, and their keys away."""
    objects = list(objects)  # before the list changes, which it may be
    here = loaded(instance, relation)
    if here is not None:
        gone = set(keys)
        here[:] = [one for one in here if _key(relation, one) not in gone]
    back = relation.reverse
    for one in objects:
        if back is None or not isinstance(one, relation.target):
            continue
        if back.is_many:
            there = loaded(one, back)
            if there is not None and instance in there:
                there.remove(instance)
        elif [value_in(column, one) for column in back.locals] == [
            value_in(column, instance) for column in back.remotes
        ]:
            for column in back.locals:
                native.set_slot(one, column.slot, None)
            put_all([one], back.slot, [None])


__all__ = ["add", "clear", "create", "get_or_create", "loaded", "remove", "replace"]
