"""`Model`: the base of every model, and what its instances can do without a database."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, overload

from hyperdjango.database._native import native
from hyperdjango.models import _dump, _json_schema, _validate, errors
from hyperdjango.models import _instances as instances
from hyperdjango.models._declare import ModelMeta
from hyperdjango.models._dump import Names
from hyperdjango.models._instance import Instance
from hyperdjango.models._loading import Loading
from hyperdjango.models._saving import Saving
from hyperdjango.models.expressions import Columns
from hyperdjango.models.fields import Field
from hyperdjango.models.manager import ManagerDescriptor
from typing_extensions import dataclass_transform

if TYPE_CHECKING:
    from hyperdjango.models._attributes import Attribute
    from hyperdjango.models._class_options import ClassOptions
    from hyperdjango.models._meta import Table


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
class Model(Loading, Saving, Instance, metaclass=ModelMeta):
    """A row of a table.

    A subclass is a table: its annotations are the columns. Instances have no `__dict__`; an attribute whose value
    was not fetched raises NotLoaded, and nothing but awaited methods does I/O.
    """

    __slots__ = ()

    # Without an annotation, which pyright would take for that of a manager declared in a subclass too.
    objects = ManagerDescriptor()
    c: ClassVar[ColumnsDescriptor] = ColumnsDescriptor()
    pk: ClassVar[_KeyDescriptor] = _KeyDescriptor()
    DoesNotExist: ClassVar[type[errors.ObjectDoesNotExist]] = errors.ObjectDoesNotExist
    MultipleObjectsReturned: ClassVar[type[errors.MultipleObjectsReturned]] = errors.MultipleObjectsReturned
    # How instances are filled; each model with a table has its own, from its first instance on.
    _plan: ClassVar[instances.Plan | None] = None
    if TYPE_CHECKING:
        _table: ClassVar[Table]
        _attributes: ClassVar[dict[str, Attribute]]
        _class_options: ClassVar[ClassOptions]
        _late: ClassVar[Any]
        _managers: ClassVar[dict[Any, Any]]
        # Of models that declare no key; one that does declares its type. Any, so that it may be another one.
        id: Any

    def __init__(self, **values: Any) -> None:
        """Make an instance that is not in the database yet.

        Args:
            values: Attributes by name; a relation takes an instance, or its key under `author_id`.
        Raises:
            TypeError: There is no such attribute, or an instance is of the wrong class.
        """
        model = type(self)
        # In place: many are made at once, and each call of ours would cost as much as the filling.
        plan = model._plan or instances.plan_of(model)
        unknown = native.construct(self, values, plan.setters, plan.defaults)
        if unknown is not None:
            raise instances.unknown_argument(model, unknown)

    @classmethod
    def ref(cls, key: Any) -> Self:
        """Return an instance that knows nothing but its key, for use where a row is to be named.

        Args:
            key: The primary key; a tuple where it has several columns.
        """
        return instances.reference(cls, key)

    def model_dump(
        self,
        *,
        mode: Literal["python", "json"] = "python",
        include: Names = None,
        exclude: Names = None,
        exclude_none: bool = False,
    ) -> dict[str, Any]:
        """Return the values that were fetched, by attribute; pydantic's name and arguments.

        Args:
            mode: "python" leaves values as they are, "json" turns them into what JSON has.
            include: Only these names; a relation is in it only when it is named here, and must be loaded. A dict goes
                on: `{"title": True, "author": {"name"}}`.
            exclude: Not these names.
            exclude_none: Leave out what is None.
        Raises:
            FieldError: A name is no field.
            NotLoaded: A relation was named that is not loaded.
        """
        return _dump.dump(self, mode=mode, include=include, exclude=exclude, exclude_none=exclude_none)

    def model_dump_json(
        self,
        *,
        indent: int | None = None,
        include: Names = None,
        exclude: Names = None,
        exclude_none: bool = False,
    ) -> str:
        """Return `model_dump(mode="json")` as JSON text."""
        return _dump.dump_json(
            self, indent=indent, include=include, exclude=exclude, exclude_none=exclude_none
        )

    @classmethod
    def model_validate(cls, data: Any, *, strict: bool = False) -> Self:
        """Return a new instance, not saved, from data of outside.

        Args:
            data: A dict of attributes, a relation's row as a dict in it; an instance is returned as it is.
            strict: Take values of the annotated class only; else strings and numbers as JSON has them are read.
        Raises:
            ValidationError: Something is missing, not known, or not what the annotations demand: all of it at once.
        """
        return _validate.validate(cls, data, strict=strict)

    @classmethod
    def model_validate_json(cls, text: str | bytes | bytearray, *, strict: bool = False) -> Self:
        """As model_validate, of JSON text."""
        return _validate.validate_json(cls, text, strict=strict)

    @classmethod
    def model_json_schema(cls, mode: Literal["validation", "serialization"] = "validation") -> dict[str, Any]:
        """Return the JSON Schema of what model_validate takes, or of what model_dump_json gives."""
        return _json_schema.json_schema(cls, mode)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        return _json_schema.core_schema(cls)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        return _json_schema.json_schema(cls, getattr(handler, "mode", "validation"))

    def _shape(self) -> tuple[Any, tuple[Any, ...]]:
        """What it is as a value in a query: its key."""
        return instances.shape_of(self)

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
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

    def _refused(self, name: str, error: AttributeError) -> AttributeError:
        """What is raised where an attribute cannot be set; the base in the extension asks."""
        return instances.refused(self, name, error)

    if not TYPE_CHECKING:  # a checker must not take every name for an attribute

        def __getattr__(self, name: str) -> Any:
            return instances.missing(self, name)


__all__ = ["Model"]
