"""Relations as a model's class body writes them: `author: ForeignKey[Author]`; and what they are on instances.

Each is a descriptor, typed so that checkers know `book.author` for an Author without a plugin. Reading one does
no I/O: what was not fetched raises NotLoaded, which names what fetches it.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

from hyperdjango.models._far_ends import held
from hyperdjango.models._meta import UNSET, Column, Relation
from hyperdjango.models._related_rows import M
from hyperdjango.models._related_set import RelatedSet
from hyperdjango.models._routing import check_origins
from hyperdjango.models.errors import NotLoaded
from hyperdjango.models.fields import FieldOptions

if TYPE_CHECKING:
    from hyperdjango.models._instance import Instance

T = TypeVar("T")


class RelationDescriptor(Generic[T]):
    """The attribute of a relation. On the class it is the Relation.

    In a class body it may also be a value, which then stands for `Field(init=False)`: `tags = ManyToMany[Tag]()`.
    """

    __slots__ = ("__orig_class__", "field", "getters", "relation")
    relation: Relation
    # Of what is held, of the key, and of the held instance's key, where that has one column and the target is known.
    getters: "tuple[Callable[[Any], Any], Callable[[Any], Any], Callable[[Any], Any]] | None"

    def __init__(self, *, init: Literal[False] = False, **options: Any) -> None:
        self.field = FieldOptions(init=init, **options)
        self.getters = None


def not_loaded(relation: Relation, instance: Any, fixes: str) -> NotLoaded:
    """Return the error of an attribute whose value was not fetched."""
    model, name = type(instance).__name__, relation.name
    if instance._origin is None:
        return NotLoaded(f"{model}.{name} has no value yet: none was given to this {model}")
    return NotLoaded(f"{model}.{name} is not loaded: use {fixes} or `await {model.lower()}.load({name!r})`")


def value_of(column: Column, instance: Any) -> Any:
    """Return the value of a column of an instance, or UNSET where it has none."""
    try:
        return column.slot.__get__(instance)
    except AttributeError:
        return UNSET


class ForeignKey(RelationDescriptor[T]):
    """A key of another model's row; `ForeignKey[Author | None]` where there may be none."""

    __slots__ = ()

    @overload
    def __get__(self, instance: None, owner: type) -> Relation: ...
    @overload
    def __get__(self, instance: "Instance", owner: type) -> T: ...
    def __get__(self, instance: "Instance | None", owner: type) -> Any:
        """Return the target's instance, None where the key is NULL.

        Raises:
            NotLoaded: It was not fetched, or the key was changed since.
        """
        if instance is None:
            return self.relation
        if self.getters is not None:
            held_of, key_of, their_key_of = self.getters
            try:
                found = held_of(instance)
                if found is not None and key_of(instance) == their_key_of(found):
                    return found
            except AttributeError:
                pass  # one of them is not loaded, or has no value yet
        return self._whole(instance)

    def _whole(self, instance: Any) -> Any:
        """Return the target's instance in every case that there is."""
        relation = self.relation
        if self.getters is None and len(relation.keys) == 1:
            slots = (relation.slot, relation.keys[0].slot, relation.remotes[0].slot)
            self.getters = (slots[0].__get__, slots[1].__get__, slots[2].__get__)
        found = held(instance, relation)
        if found is not UNSET:
            return found
        if None in [value_of(column, instance) for column in relation.keys]:
            return None
        raise not_loaded(
            relation, instance, f"select_related({relation.name!r}), prefetch_related({relation.name!r})"
        )

    def __set__(self, instance: "Instance", value: T) -> None:
        """Take an instance of the target and its key.

        Raises:
            TypeError: It is of another class, or None where that is not allowed.
        """
        relation = self.relation
        check_target(relation, value)
        if value is not None:
            near, far = instance._origin, value._origin  # type: ignore[attr-defined]  # T is a model
            if near is not far and near is not None and far is not None:
                check_origins(relation, near, far)
        if value is None:
            for column in relation.keys:
                setattr(instance, column.name, None)
        else:
            for column, remote in zip(relation.keys, relation.remotes, strict=True):
                key = value_of(remote, value)
                setattr(instance, column.name, None if key is UNSET else key)
                if key is UNSET:  # it is not saved yet; saving this one takes the key over
                    column.slot.__delete__(instance)
        relation.slot.__set__(instance, value)


def check_target(relation: Relation, value: Any) -> None:
    """Refuse what cannot be at the far end of a to-one relation."""
    where = f"{relation.model.__name__}.{relation.name}"
    if value is None:
        if not relation.is_nullable:
            raise TypeError(f"{where} must not be None: it is declared without `| None`")
    elif not isinstance(value, relation.target):
        raise TypeError(
            f"{where} must be {_article(relation.target.__name__)}, not {_article(type(value).__name__)}"
        )


def _article(name: str) -> str:
    return f"{'an' if name[:1] in 'AEIOUaeiou' else 'a'} {name}"


class OneToOne(ForeignKey[T]):
    """A foreign key that no two rows share."""

    __slots__ = ()


class _ToMany(RelationDescriptor[M]):
    __slots__ = ()

    @overload
    def __get__(self, instance: None, owner: type) -> Relation: ...
    @overload
    def __get__(self, instance: "Instance", owner: type) -> RelatedSet[M]: ...
    def __get__(self, instance: "Instance | None", owner: type) -> Any:
        """Return the set of those at the far end; reading it needs them loaded."""
        if instance is None:
            return self.relation
        related: RelatedSet[Any] = RelatedSet(instance, self.relation)
        return related

    def __set__(self, instance: "Instance", value: Any) -> None:
        """Refuse: the far end is changed by the set's own methods."""
        model, name = type(instance).__name__, self.relation.name
        raise AttributeError(f"{model}.{name} cannot be set: use `await {model.lower()}.{name}.set(…)`")


class ManyToMany(_ToMany[M]):
    """Any number of another model's rows, through a table between."""

    __slots__ = ()


class Related(_ToMany[M]):
    """The way back of a foreign key, or of a many-to-many relation."""

    __slots__ = ()


class RelatedOne(RelationDescriptor[T]):
    """The way back of a one-to-one relation: the instance, or None."""

    __slots__ = ()

    @overload
    def __get__(self, instance: None, owner: type) -> Relation: ...
    @overload
    def __get__(self, instance: "Instance", owner: type) -> T | None: ...
    def __get__(self, instance: "Instance | None", owner: type) -> Any:
        """Return the instance at the far end, None where there is none.

        Raises:
            NotLoaded: It was not fetched.
        """
        relation = self.relation
        if instance is None:
            return relation
        try:
            return relation.slot.__get__(instance)
        except AttributeError:
            name = relation.name
        raise not_loaded(relation, instance, f"select_related({name!r}), prefetch_related({name!r})")

    def __set__(self, instance: "Instance", value: Any) -> None:
        """Refuse: the key lies at the far end."""
        model, relation = type(instance).__name__, self.relation
        back = relation.reverse
        raise AttributeError(
            f"{model}.{relation.name} cannot be set: set {relation.target.__name__}.{back.name if back else '…'}"
        )


class LateSlot:
    """The place of a reverse relation that its model does not declare (`related_name` of the far side alone).

    A class has its slots for good when it is made, so what is declared later shares one: a dict in `_late`.
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """Return what is held.

        Raises:
            AttributeError: Nothing is; AttributeError too where the slot itself is empty.
        """
        try:
            return instance.__class__._late.__get__(instance)[self.name]
        except (AttributeError, KeyError):
            raise AttributeError(self.name) from None

    def __set__(self, instance: Any, value: Any) -> None:
        """Hold a value."""
        place = instance.__class__._late
        try:
            place.__get__(instance)[self.name] = value
        except AttributeError:
            place.__set__(instance, {self.name: value})

    def __delete__(self, instance: Any) -> None:
        """Hold nothing any more.

        Raises:
            AttributeError: Nothing was held.
        """
        try:
            del instance.__class__._late.__get__(instance)[self.name]
        except (AttributeError, KeyError):
            raise AttributeError(self.name) from None


KINDS: dict[Any, str] = {
    ForeignKey: "ForeignKey",
    OneToOne: "OneToOne",
    ManyToMany: "ManyToMany",
    Related: "Related",
    RelatedOne: "RelatedOne",
}

__all__ = ["ForeignKey", "ManyToMany", "OneToOne", "Related", "RelatedOne", "RelatedSet"]
