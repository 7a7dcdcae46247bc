"""What instances of models do: being made, compared, shown, copied and pickled. `model.Model`'s methods come here.

Values are written into slots directly, which marks nothing as changed; only attributes that the application sets
are.
"""

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from hyperdjango.models._in_place import changed_in_place
from hyperdjango.models._meta import UNSET, Column, Relation
from hyperdjango.models._nearest import nearest
from hyperdjango.models._origin import UNKNOWN_ORIGIN
from hyperdjango.models._shapes import InstanceKind
from hyperdjango.models.errors import FieldError, ModelDeclarationError, NotLoaded
from hyperdjango.models.relations import check_target, value_of

if TYPE_CHECKING:
    from hyperdjango.models.model import Model

M = TypeVar("M", bound="Model")


class Plan:
    """How instances of one model are filled.

    Attributes:
        setters: Name to a slot, or to a function of the instance and the value.
        defaults: Name, the relation that gives it too, the slot, the value, and the function that makes one or None.
    """

    __slots__ = ("defaults", "setters")

    def __init__(self, model: "type[Model]") -> None:
        table = model._table
        self.setters: dict[str, Any] = {}
        defaults: list[tuple[str, str | None, Any, Any, Callable[[], Any] | None]] = []
        for column in table.columns:
            name = column.name
            self.setters[name] = (
                _refuser(model, name, "is made by the database")
                if column.generated is not None
                else column.slot
            )
            is_optional = column.is_nullable and not column.is_database_made
            if column.default is not UNSET or column.default_factory or is_optional:
                default = None if column.default is UNSET else column.default
                given_by = column.relation.name if column.relation else None
                defaults.append((name, given_by, column.slot, default, column.default_factory))
        self.defaults = tuple(defaults)
        for name, relation in table.relations.items():
            if relation.is_forward:
                self.setters[name] = _relation_setter(relation)
        self.setters["pk"] = set_key_slots


def _refuser(model: "type[Model]", name: str, why: str) -> Callable[[Any, Any], None]:
    def refuse(_instance: Any, _value: Any) -> None:
        raise TypeError(f"{model.__name__}() takes no {name!r}: it {why}")

    return refuse


def _relation_setter(relation: Relation) -> Callable[[Any, Any], None]:
    """Return what takes a relation's instance: into the hidden slot, and its key into the columns."""

    def set_relation(instance: Any, value: Any) -> None:
        check_target(relation, value)
        for column, remote in zip(relation.keys, relation.remotes, strict=True):
            key = None if value is None else value_of(remote, value)
            if key is not UNSET:
                column.slot.__set__(instance, key)
        relation.slot.__set__(instance, value)

    return set_relation


def plan_of(model: "type[Model]") -> Plan:
    """Return the plan of a model, made when its first instance is."""
    plan = model.__dict__.get("_plan")
    if plan is None:
        if model._table.is_abstract:
            raise ModelDeclarationError(
                f"{model.__name__} is abstract: make instances of a model that inherits from it"
            )
        plan = Plan(model)
        model._plan = plan
    return plan


def unknown_argument(model: "type[Model]", name: str) -> TypeError:
    """The error for a keyword that the constructor does not know; the text names the nearest."""
    relation = model._table.relations.get(name)
    if relation is not None:
        word = model.__name__.lower()
        how = (
            f"set {relation.target.__name__}'s side"
            if not relation.is_many
            else f"save it, then `await {word}.{name}.add(…)`"
        )
        return TypeError(f"{model.__name__}() takes no {name!r}: {how}")
    known = [*plan_of(model).setters]
    return TypeError(f"{model.__name__}() has no attribute {name!r}{nearest(name, known)}")


def made_empty(model: "type[M]") -> M:
    """Return an instance that holds nothing, as results are made."""
    return model.__new__(model)


def reference(model: "type[M]", key: Any) -> M:
    """Return an instance that knows its key alone; see `Model.ref`."""
    plan_of(model)
    instance = made_empty(model)
    set_key_slots(instance, key)
    instance._origin = UNKNOWN_ORIGIN
    return instance


def key_of(instance: Any) -> Any:
    """Return the primary key, None where there is none yet."""
    keys = instance._table.primary_key
    if len(keys) == 1:
        try:
            return keys[0].slot.__get__(instance)
        except AttributeError:
            return None
    values = tuple(value_of(column, instance) for column in keys)
    return None if UNSET in values or None in values else values


def _key_parts(instance: Any, key: Any) -> list[tuple[Column, Any]]:
    columns = instance._table.primary_key
    if len(columns) == 1:
        return [(columns[0], key)]
    parts = cast("tuple[object, ...]", key) if isinstance(key, tuple) else ()
    if len(parts) != len(columns):
        names = ", ".join(column.name for column in columns)
        raise TypeError(f"the key of {type(instance).__name__} is a tuple of {names}")
    return list(zip(columns, parts, strict=True))


def set_key(instance: Any, key: Any) -> None:
    """Set the attributes of the primary key, as the application does."""
    for column, value in _key_parts(instance, key):
        setattr(instance, column.name, value)


def set_key_slots(instance: Any, key: Any) -> None:
    """Write the primary key into its slots."""
    for column, value in _key_parts(instance, key):
        column.slot.__set__(instance, value)


def are_equal(one: Any, other: Any) -> bool:
    """Whether both, of one model, are the same row. Without a key an instance equals itself alone."""
    if one is other:
        return True
    key: Any = key_of(one)
    return key is not None and bool(key == key_of(other))


def hash_of(instance: "Model") -> int:
    """Return the hash of model and key.

    Raises:
        TypeError: There is no key yet, and a hash must not change.
    """
    key = key_of(instance)
    if key is None:
        raise TypeError(f"unhashable {type(instance).__name__}: it has no primary key before it is saved")
    return hash((type(instance), key))


SHOWN_CHARACTERS_MAX = 60


def shown(instance: Any) -> str:
    """Return the key and, where it is loaded, the first column of text: enough to tell instances apart."""
    table = instance._table
    parts = [f"{column.name}={_value_shown(value_of(column, instance))}" for column in table.primary_key]
    for column in table.columns:
        if column._type is not None and column.type.kind == "text" and not column.is_primary_key:
            value = value_of(column, instance)
            if value is not UNSET:
                parts.append(f"{column.name}={_value_shown(value)}")
            break
    return f"<{type(instance).__name__} {' '.join(parts)}>"


def _value_shown(value: Any) -> str:
    text = "?" if value is UNSET else repr(value)
    return text if len(text) <= SHOWN_CHARACTERS_MAX else f"{text[: SHOWN_CHARACTERS_MAX - 1]}…"


def refused(instance: Any, name: str, error: AttributeError) -> AttributeError:
    """Return the error for an attribute that cannot be set: one that names the nearest where there is none."""
    model = cast("type[Model]", type(instance))
    if any(name in one.__dict__ for one in model.__mro__):
        return error  # it is there, and has refused by itself
    known = [*model._table.by_name, *model._table.relations]
    return AttributeError(
        f"{model.__name__} has no attribute {name!r}{nearest(name, known)}", name=name, obj=instance
    )


def missing(instance: Any, name: str) -> Any:
    """Return the value of `annotate()`, or raise what an attribute without a value is: `Model.__getattr__`.

    Raises:
        NotLoaded: A column that was not fetched, or has no value yet.
        AttributeError: There is no such attribute.
    """
    if name.startswith("__"):  # asked for by copy, pickle and inspect, again and again
        raise AttributeError(name)
    extra = instance._extra
    if extra is not None and name in extra:
        return extra[name]
    model = cast("type[Model]", type(instance))
    column = model._table.by_name.get(name)
    if column is None:
        if any(name in one.__dict__ for one in model.__mro__):
            return object.__getattribute__(
                instance, name
            )  # it is there, and raised; its own error is the right one
        known = [*model._table.by_name, *model._table.relations, *(extra or ())]
        raise AttributeError(
            f"{model.__name__} has no attribute {name!r}{nearest(name, known)}", name=name, obj=instance
        )
    if instance._origin is not None:
        raise NotLoaded(
            f"{model.__name__}.{name} is not loaded: fetch it with the others, or"
            f" `await {model.__name__.lower()}.load({name!r})`"
        )
    if column.is_database_made:
        raise NotLoaded(
            f"{model.__name__}.{name} has no value yet: the database gives it when the instance is saved"
        )
    raise NotLoaded(f"{model.__name__}.{name} has no value yet: none was given to this {model.__name__}")


def slots_of(model: "type[Model]") -> dict[str, Any]:
    """Return every slot of a model by name: columns, and what relations hold."""
    table = model._table
    slots = {column.name: column.slot for column in table.columns}
    slots.update({f"_{relation.name}": relation.slot for relation in table.relations.values()})
    return slots


def state_of(instance: Any) -> dict[str, Any]:
    """Return all that an instance holds, by slot; what is not loaded is left out."""
    state: dict[str, Any] = {}
    for name, slot in slots_of(instance.__class__).items():
        try:
            state[name] = slot.__get__(instance)
        except AttributeError:
            continue
    # What was changed in place is known to this object alone.
    changed: set[str] = set(instance._changed or ()) | set(changed_in_place(instance))
    extra: dict[str, Any] | None = instance._extra
    state["_changed"] = changed or None
    state["_extra"] = dict(extra) if extra else None
    # Where it came from has sockets, which go nowhere; that it came from somewhere matters.
    state["_is_saved"] = instance._origin is not None
    return state


def set_state(instance: Any, state: dict[str, Any]) -> None:
    """Write what `state_of` returned; what the model has no slot for any more is dropped."""
    slots = slots_of(instance.__class__)
    for name, value in state.items():
        if name in slots:
            slots[name].__set__(instance, value)
    instance._changed, instance._extra = state["_changed"], state["_extra"]
    instance._origin = UNKNOWN_ORIGIN if state["_is_saved"] else None


def copied(instance: M, memo: dict[int, Any], *, is_deep: bool = False) -> M:
    """Return a copy: the same row as far as equality goes, from the same result."""
    made: M = made_empty(type(instance))
    memo[id(instance)] = made
    state = state_of(instance)
    set_state(made, copy.deepcopy(state, memo) if is_deep else state)
    made._origin = instance._origin
    return made


def shape_of(instance: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return an instance's kind as a value in a query, and its key as the parameters.

    Raises:
        FieldError: It has no key yet.
    """
    key = key_of(instance)
    model = cast("type[Model]", type(instance))
    if key is None:
        raise FieldError(f"this {model.__name__} has no key yet: save it before it is used in a query")
    keys = cast("tuple[object, ...]", key) if isinstance(key, tuple) else (key,)
    return InstanceKind(model), keys
