"""`Model`: the base of every model, and what its instances can do without a database."""

from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, overload

from hyperdjango.models import _instances as instances
from hyperdjango.models._declare import ModelMeta
from hyperdjango.models._instance import Instance
from hyperdjango.models.errors import ModelDeclarationError, MultipleObjectsReturned, ObjectDoesNotExist
from hyperdjango.models.expressions import Columns
from hyperdjango.models.fields import Field
from typing_extensions import dataclass_transform

if TYPE_CHECKING:
    from hyperdjango.models._attributes import Attribute
    from hyperdjango.models._class_options import ClassOptions
    from hyperdjango.models._meta import Table
    from hyperdjango.models.manager import Manager

M = TypeVar("M", bound="Model")


class ManagerDescriptor:
    """`Author.objects` where a model declares no manager of its own; the base of Manager."""

    __slots__ = ()

    def __get__(self, instance: None, owner: type[M]) -> "Manager[M]":
        """Return the manager of a model.

        Raises:
            ModelDeclarationError: The model is abstract.
            AttributeError: It was asked of an instance.
        """
        refuse_instance(instance, owner)
        from hyperdjango.models.manager import Manager  # noqa: PLC0415 - managers need models first

        return Manager._of(owner)


def refuse_instance(instance: object, owner: "type[Model]") -> None:
    """Refuse a manager to an instance, and to a model without a table."""
    if instance is not None:
        raise AttributeError(f"objects belongs to the class: {owner.__name__}.objects")
    if owner._table.is_abstract:
        raise ModelDeclarationError(
            f"{owner.__name__} is abstract: it has no table to query; use a model that inherits from it"
        )


class _KeyDescriptor:
    """`instance.pk`: the primary key, a tuple where it has several columns, None where there is none yet."""

    __slots__ = ()

    @overload
    def __get__(self, instance: None, owner: type) -> Any: ...
    @overload
    def __get__(self, instance: "Model", owner: type) -> Any: ...
    def __get__(self, instance: "Model | None", owner: Any) -> Any:
        """Return the key; of the class its column."""
        if instance is None:
            return owner._table.primary_key
        return instances.key_of(instance)

    def __set__(self, instance: "Model", value: Any) -> None:
        """Set the column or, of a tuple, the columns of the key."""
        instances.set_key(instance, value)


class ColumnsDescriptor:
    """`Book.c`: the fields of a model as expressions."""

    __slots__ = ()

    def __get__(self, instance: "Model | None", owner: "type[Model]") -> Columns:
        """Return them."""
        return Columns(owner)


@dataclass_transform(kw_only_default=True, eq_default=False, field_specifiers=(Field,))
class Model(Instance, metaclass=ModelMeta):
    """A row of a table.

    A subclass is a table: its annotations are the columns. Instances have no `__dict__`; an attribute whose value
    was not fetched raises NotLoaded, and nothing but awaited methods does I/O.
    """

    __slots__ = ()

    objects: ClassVar[ManagerDescriptor] = ManagerDescriptor()
    c: ClassVar[ColumnsDescriptor] = ColumnsDescriptor()
    pk: ClassVar[_KeyDescriptor] = _KeyDescriptor()
    DoesNotExist: ClassVar[type[ObjectDoesNotExist]] = ObjectDoesNotExist
    MultipleObjectsReturned: ClassVar[type[MultipleObjectsReturned]] = MultipleObjectsReturned
    if TYPE_CHECKING:
        _table: ClassVar[Table]
        _attributes: ClassVar[dict[str, Attribute]]
        _class_options: ClassVar[ClassOptions]
        _late: ClassVar[Any]
        # Of models that declare no key; one that does declares its type. Any, so that it may be another one.
        id: Any

    def __init__(self, **values: Any) -> None:
        """Make an instance that is not in the database yet.

        Args:
            values: Attributes by name; a relation takes an instance, or its key under `author_id`.
        Raises:
            TypeError: There is no such attribute, or an instance is of the wrong class.
        """
        instances.fill(self, values)

    @classmethod
    def ref(cls, key: Any) -> Self:
        """Return an instance that knows nothing but its key, for use where a row is to be named.

        Args:
            key: The primary key; a tuple where it has several columns.
        """
        return instances.reference(cls, key)

    def _shape(self) -> tuple[Any, tuple[Any, ...]]:
        """What it is as a value in a query: its key."""
        return instances.shape_of(self)

    def __eq__(self, other: object) -> bool:
        return instances.are_equal(self, other)

    def __hash__(self) -> int:
        return instances.hash_of(self)

    def __repr__(self) -> str:
        return instances.shown(self)

    def __copy__(self) -> Self:
        return instances.copied(self, {})

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return instances.copied(self, memo, is_deep=True)

    def __reduce_ex__(self, _protocol: Any) -> tuple[Any, ...]:
        return (instances.made_empty, (type(self),), instances.state_of(self))

    def __setstate__(self, state: dict[str, Any]) -> None:
        instances.set_state(self, state)

    if not TYPE_CHECKING:  # a checker must not take every name for an attribute

        def __getattr__(self, name: str) -> Any:
            return instances.missing(self, name)


__all__ = ["ManagerDescriptor", "Model"]
