"""Makes models of class bodies: the metaclass of `Model`.

`_attributes` reads the annotations; here they become columns, relations, slots and a Table. An abstract class
keeps what it declares for those below it, and has neither slots nor a table, so that several can be combined.
"""

from typing import TYPE_CHECKING, Any

from hyperdjango.models import _advice, _in_place
from hyperdjango.models._annotations import Scope, annotations_of, declaring_frame
from hyperdjango.models._attributes import Attribute, read_attributes
from hyperdjango.models._class_options import ClassOptions, read_class_options
from hyperdjango.models._links import link_model
from hyperdjango.models._meta import Table
from hyperdjango.models._nearest import nearest
from hyperdjango.models._registry import registry
from hyperdjango.models._table import fill_table, hidden_name
from hyperdjango.models._types import snake_case
from hyperdjango.models.errors import ModelDeclarationError, MultipleObjectsReturned, ObjectDoesNotExist
from hyperdjango.models.relations import RelationDescriptor


class ModelMeta(type):
    """The class of models."""

    _table: Table
    _attributes: dict[str, Attribute]

    if not TYPE_CHECKING:  # a checker must not take every name for an attribute

        def __getattr__(cls, name: str) -> Any:
            """Say which attribute of the class was meant."""
            table: Table | None = None if name.startswith("_") else cls.__dict__.get("_table")
            if table is None:
                raise AttributeError(
                    f"type object {cls.__name__!r} has no attribute {name!r}", name=name, obj=cls
                )
            near = nearest(name, [*table.by_name, *table.relations, "objects", "c", "pk"])
            raise AttributeError(f"{cls.__name__} has no attribute {name!r}{near}", name=name, obj=cls)

    def __new__(
        mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **keywords: Any
    ) -> "ModelMeta":
        """Declare a model.

        Raises:
            ModelDeclarationError: It cannot be one; the text names the model, the word, and what to write.
        """
        models = [base for base in bases if isinstance(base, ModelMeta)]
        if not models:
            return super().__new__(mcls, name, bases, {"__slots__": (), **namespace}, **keywords)
        for base in models:
            if not _is_abstract(base):
                raise ModelDeclarationError(
                    f"{name} inherits from {base.__name__}, which has a table: inherit from an abstract model"
                    f" (class Meta: abstract = True), or point at it with OneToOne[{base.__name__}]"
                )
        options = read_class_options(name, namespace.pop("Meta", None), models)
        own = annotations_of(namespace)
        frame = declaring_frame(namespace.get("__module__", ""))
        scope = Scope(name, namespace, set(own), frame)
        del frame  # it holds every local variable of the caller
        attributes = _inherited(models, namespace)
        attributes.update(read_attributes(name, own, namespace, scope))
        if options.abstract:
            return _make_abstract(mcls, name, bases, namespace, attributes, options, keywords)
        return _make_concrete(mcls, name, bases, namespace, attributes, options, keywords)


def _is_abstract(base: "ModelMeta") -> bool:
    table = base.__dict__.get("_table")
    return table is None or table.is_abstract


def _inherited(models: list["ModelMeta"], namespace: dict[str, Any]) -> dict[str, Attribute]:
    """Gather what the abstract bases declare; `name = None` takes one of it away."""
    attributes: dict[str, Attribute] = {}
    for base in reversed(models):
        attributes.update(base.__dict__.get("_attributes", {}))
    for name in [name for name in attributes if name in namespace and namespace[name] is None]:
        if name not in annotations_of(namespace):
            del attributes[name], namespace[name]
    return attributes


def _make_abstract(
    mcls: type[ModelMeta],
    name: str,
    bases: tuple[type, ...],
    namespace: dict[str, Any],
    attributes: dict[str, Attribute],
    options: ClassOptions,
    keywords: dict[str, Any],
) -> ModelMeta:
    model = type.__new__(mcls, name, bases, {**namespace, "__slots__": ()}, **keywords)
    model._attributes = attributes
    table = Table(model, options.table or snake_case(name))  # type: ignore[arg-type]
    table.is_abstract = True
    model._table = table
    model._class_options = options  # type: ignore[attr-defined]
    return model


def _make_concrete(
    mcls: type[ModelMeta],
    name: str,
    bases: tuple[type, ...],
    namespace: dict[str, Any],
    attributes: dict[str, Attribute],
    options: ClassOptions,
    keywords: dict[str, Any],
) -> ModelMeta:
    table, descriptors = fill_table(name, attributes, options)
    hidden = [hidden_name(relation) for relation in table.relations]
    # The type of a foreign key's column is not known yet; it is none of these.
    mutable = [
        column for column in table.columns if column._type is not None and column.type.kind in _in_place.KINDS
    ]
    extra = (_in_place.SLOT,) if mutable else ()
    body = {
        **namespace,
        **descriptors,
        "__slots__": (*table.by_name, *hidden, "_late", *extra),
        "_attributes": attributes,
        "_class_options": options,
        "_managers": {},
        "_table": table,
    }
    _refuse_shadows(name, bases, body)
    model: Any = type.__new__(mcls, name, bases, body, **keywords)
    table.model = model
    for column in table.columns:
        column.model = model
        column.slot = model.__dict__[column.name]
    for column in mutable:
        setattr(
            model, column.name, _in_place.SeenColumn(column.name, column.slot, model.__dict__[_in_place.SLOT])
        )
    for relation in table.relations.values():
        relation.model = model
        relation.slot = model.__dict__[hidden_name(relation.name)]
    for kind in (ObjectDoesNotExist, MultipleObjectsReturned):
        word = "DoesNotExist" if kind is ObjectDoesNotExist else "MultipleObjectsReturned"
        error = type(
            word, (kind,), {"__module__": model.__module__, "__qualname__": f"{model.__qualname__}.{word}"}
        )
        setattr(model, word, error)
    registry.add(model)
    _advice.give()
    link_model(model)
    return model  # type: ignore[no-any-return]


def _refuse_shadows(name: str, bases: tuple[type, ...], body: dict[str, Any]) -> None:
    """Refuse a method or property of a base that a field would hide."""
    for slot in body["_table"].names():
        for base in bases:
            for one in base.__mro__:
                if (
                    slot in one.__dict__
                    and slot != "pk"
                    and not isinstance(one.__dict__[slot], RelationDescriptor)
                ):
                    raise ModelDeclarationError(
                        f"{name}.{slot} hides {one.__name__}.{slot}, which is no field; give one of them another name"
                    )
