"""Reads the annotations of one class body into attributes: columns and relations that have no class yet."""

from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Final, NamedTuple, Union, cast, get_args, get_origin

from hyperdjango.models._annotations import Scope, Unknown
from hyperdjango.models._meta import UNSET
from hyperdjango.models._types import Parsed, UnfitRule, UnsupportedAnnotation, is_scalar, parse, unwrap
from hyperdjango.models.errors import ModelDeclarationError
from hyperdjango.models.fields import FieldOptions
from hyperdjango.models.relations import KINDS, RelationDescriptor

_COLUMN_ONLY: Final = ("db_default", "generated", "identity", "check", "version")
_FORWARD_ONLY: Final = ("on_delete", "on_update", "to_field", "columns", "constraint", "deferrable")
_MANY_ONLY: Final = ("through", "through_fields", "table")


class Attribute(NamedTuple):
    """What one annotated name of a class body says.

    Attributes:
        name: The name.
        options: `Field(…)`, or what stands for it.
        parsed: Of a column: its type.
        kind: Of a relation: "ForeignKey" and so on, else "".
        wanted: Of a relation: the target as written.
        is_nullable: Whether None is allowed.
    """

    name: str
    options: FieldOptions
    parsed: Parsed | None
    kind: str
    wanted: Any
    is_nullable: bool


def read_attributes(
    model: str, annotations: dict[str, Any], namespace: dict[str, Any], scope: Scope
) -> dict[str, Attribute]:
    """Read a class body, and take the values of its fields out of `namespace`.

    Raises:
        ModelDeclarationError: A name is reserved, an annotation has no column type, an option does not fit.
    """
    attributes: dict[str, Attribute] = {}
    for name, written in annotations.items():
        annotation = _resolved(model, name, written, scope)
        if get_origin(annotation) is ClassVar or annotation is ClassVar:
            within = get_args(annotation)
            if not within or not _is_relation(_resolved(model, name, within[0], scope)):
                continue
            annotation = _resolved(model, name, within[0], scope)
        refuse_name(model, name)
        options = _options(model, name, namespace.pop(name, UNSET))
        attributes[name] = _read(model, name, annotation, options, scope)
    for name, value in list(namespace.items()):
        if isinstance(value, FieldOptions):
            raise ModelDeclarationError(
                f"{model}.{name} = Field(…) has no annotation: write {name}: int = Field(…)"
            )
        if isinstance(value, RelationDescriptor):
            refuse_name(model, name)
            del namespace[name]
            descriptor = cast("RelationDescriptor[object]", value)
            said: Any = getattr(descriptor, "__orig_class__", type(descriptor))
            attributes[name] = _read(model, name, said, descriptor.field, scope)
        elif name not in annotations and _is_meant_as_annotation(name, value):
            said = _spelt(value)
            raise ModelDeclarationError(f"{model}.{name} = {said} declares nothing: write {name}: {said}")
    return attributes


def _is_meant_as_annotation(name: str, value: object) -> bool:
    """Whether a value of a class body is a type where a field's name stands; aliases begin with a capital."""
    if (
        not name[0].islower() or getattr(value, "__name__", None) == name
    ):  # `from datetime import date` in the body
        return False
    origin = get_origin(value)
    if origin in {Union, UnionType}:
        parts = [one for one in get_args(value) if one is not NoneType]
        return all(_is_meant_as_annotation(name, one) for one in parts)
    if isinstance(value, type) and origin is None:
        return value in KINDS or is_scalar(value)
    return origin in {Annotated, list} or origin in KINDS


def _spelt(annotation: Any) -> str:
    """An annotation as somebody would write it, without modules."""
    inner, args = get_origin(annotation), get_args(annotation)
    if inner in {Union, UnionType}:
        return " | ".join(map(_spelt, args))
    if inner is Annotated:
        return f"Annotated[{_spelt(args[0])}, …]"
    if args:
        return f"{inner.__name__}[{', '.join(map(_spelt, args))}]"
    if annotation is NoneType:
        return "None"
    said: str | None = getattr(annotation, "__name__", None) or getattr(annotation, "__forward_arg__", None)
    return said or str(annotation)


def refuse_name(model: str, name: str) -> None:
    """Refuse a name that models need for themselves, or that lookups could not say."""
    from hyperdjango.models.model import Model

    if name.startswith("_") or name.endswith("_") or "__" in name:
        raise ModelDeclarationError(
            f"{model}.{name}: a field's name has no underscore at its ends and no double one, which lookups need"
        )
    if hasattr(Model, name) or name in {"pk", "c", "objects"}:
        raise ModelDeclarationError(
            f"{model}.{name}: every model has a {name!r} of its own; name the field otherwise, and the column by"
            f" Field(column={name!r})"
        )


def _resolved(model: str, name: str, annotation: Any, scope: Scope) -> Any:
    try:
        return scope.resolve(annotation)
    except Exception as error:
        raise ModelDeclarationError(
            f"{model}.{name}: the annotation {annotation!r} means nothing: {error}"
        ) from error


def _is_relation(annotation: Any) -> bool:
    inner, _, _ = unwrap(annotation)
    return inner in KINDS or get_origin(inner) in KINDS


def _options(model: str, name: str, value: Any) -> FieldOptions:
    """Return what stands behind the annotation as options."""
    if isinstance(value, FieldOptions):
        options = value
    elif isinstance(value, RelationDescriptor):
        options = value.field
    elif value is UNSET:
        options = FieldOptions()
    else:
        options = FieldOptions(default=value)
    kind: str = type(options.default).__name__
    if kind in {"list", "dict", "set", "bytearray"}:
        raise ModelDeclarationError(
            f"{model}.{name}: all instances would share this {kind}: write Field(default_factory={kind})"
        )
    if options.default is not UNSET and options.default_factory is not None:
        raise ModelDeclarationError(
            f"{model}.{name} has both default and default_factory; one of them is enough"
        )
    return options


def _read(model: str, name: str, annotation: Any, options: FieldOptions, scope: Scope) -> Attribute:
    def resolve(one: Any) -> Any:
        return _resolved(model, name, one, scope)

    inner, _, is_nullable = unwrap(annotation, resolve)
    kind = KINDS.get(get_origin(inner) or inner)
    if kind is not None:
        return _relation(model, name, kind, inner, options, scope, is_nullable=is_nullable)
    _refuse_options(model, name, options, (*_FORWARD_ONLY, *_MANY_ONLY, "related_name"), "a relation")
    if isinstance(inner, Unknown):
        raise ModelDeclarationError(
            f"{model}.{name}: the name {inner.name!r} is not defined where {model} is declared; if it is a model,"
            f" write ForeignKey[{inner.name}]"
        )
    if isinstance(inner, type) and hasattr(inner, "_table"):
        raise ModelDeclarationError(
            f"{model}.{name}: {inner.__name__} is a model: write ForeignKey[{inner.__name__}]"
        )
    try:
        parsed = parse(annotation, resolve)
    except UnfitRule as error:
        raise ModelDeclarationError(f"{model}.{name}: {error}") from None
    except UnsupportedAnnotation as error:
        raise ModelDeclarationError(
            f"{model}.{name}: {_shown(inner)} has no column type; write {error}"
        ) from None
    return Attribute(name, options, parsed, "", None, parsed.is_nullable)


def _shown(annotation: Any) -> str:
    return (
        annotation.__name__ if isinstance(annotation, type) and not get_args(annotation) else str(annotation)
    )


def _relation(
    model: str, name: str, kind: str, inner: Any, options: FieldOptions, scope: Scope, *, is_nullable: bool
) -> Attribute:
    args = get_args(inner)
    if not args:
        raise ModelDeclarationError(
            f"{model}.{name}: {kind} of which model? Write {kind}[Author], or {kind}['Author']"
        )
    wanted, _, may_be_none = unwrap(args[0], lambda one: _resolved(model, name, one, scope))
    if may_be_none and kind in {"ManyToMany", "Related"}:
        raise ModelDeclarationError(
            f"{model}.{name}: {kind}[…] has no None: it is empty where there are none"
        )
    if getattr(wanted, "__name__", None) == "Self" and not isinstance(wanted, type):
        wanted = "self"
    if not isinstance(wanted, Unknown | str) and not (isinstance(wanted, type) and hasattr(wanted, "_table")):
        raise ModelDeclarationError(f"{model}.{name}: {kind}[{_shown(wanted)}] points at no model")
    target: Any = wanted
    if isinstance(wanted, type) and target._table.is_abstract:
        raise ModelDeclarationError(
            f"{model}.{name} points at {wanted.__name__}, which is abstract: it has no table; point at a model below it"
        )
    if kind == "ManyToMany":
        _refuse_options(
            model, name, options, (*_COLUMN_ONLY, *_FORWARD_ONLY, "primary_key", "unique"), "a column"
        )
    elif kind in {"Related", "RelatedOne"}:
        others = (
            *_COLUMN_ONLY,
            *_FORWARD_ONLY,
            *_MANY_ONLY,
            "primary_key",
            "unique",
            "related_name",
            "column",
        )
        _refuse_options(model, name, options, others, "the forward relation")
    else:
        _refuse_options(
            model, name, options, (*_COLUMN_ONLY, *_MANY_ONLY), "a column or many-to-many relation"
        )
    return Attribute(name, options, None, kind, wanted, is_nullable or may_be_none)


def _refuse_options(model: str, name: str, options: FieldOptions, wrong: tuple[str, ...], of: str) -> None:
    for option in wrong:
        if option in options.given:
            raise ModelDeclarationError(f"{model}.{name}: {option}= is an option of {of}, which this is not")


__all__ = ["Attribute", "read_attributes", "refuse_name"]
