"""Reads `class Meta` of a model."""

from typing import Any, Final, cast

from hyperdjango.models._nearest import nearest
from hyperdjango.models.errors import ModelDeclarationError

_TEXTS: Final = ("table", "schema", "database", "comment")
_LISTS: Final = ("ordering", "indexes", "constraints", "primary_key")
_FLAGS: Final = ("abstract", "managed", "is_automatic")
# Django's words for what has another name here, and what it has that is not wanted.
_DJANGO: Final = {
    "db_table": "write table",
    "db_table_comment": "write comment",
    "unique_together": "write constraints = [UniqueConstraint(…)]",
    "index_together": "write indexes = [Index(…)]",
    "proxy": "there are no proxy models: write functions, or a manager",
    "app_label": "models are found by their module",
}


class ClassOptions:
    """The options of a model, as given or inherited."""

    def __init__(self) -> None:
        self.table: str | None = None
        self.schema: str | None = None
        self.database: str | None = None
        self.comment: str | None = None
        self.ordering: tuple[Any, ...] = ()
        self.indexes: tuple[Any, ...] = ()
        self.constraints: tuple[Any, ...] = ()
        self.primary_key: tuple[str, ...] = ()
        self.global_filters: dict[str, Any] = {}
        self.abstract = False
        self.managed = True
        self.is_automatic = False


def read_class_options(name: str, meta: Any, bases: list[Any]) -> ClassOptions:
    """Return the options of one model; the rest comes from its abstract bases.

    Raises:
        ModelDeclarationError: There is no such option, or its value is of the wrong kind.
    """
    options = ClassOptions()
    for base in reversed(bases):
        inherited: ClassOptions | None = base.__dict__.get("_class_options")
        if inherited is not None:
            given = {key: value for key, value in vars(inherited).items() if value not in (None, (), {})}
            options.__dict__.update(given)
    options.table, options.abstract = None, False
    for key, value in _given(meta).items():
        if key not in options.__dict__:
            known = [word for word in vars(options) if word != "is_automatic"]
            advice = f"; {_DJANGO[key]}" if key in _DJANGO else nearest(key, known)
            raise ModelDeclarationError(f"{name}.Meta has no option {key!r}{advice}")
        setattr(options, key, _checked(name, key, value))
    return options


def _given(meta: Any) -> dict[str, Any]:
    """Return what a Meta class and its bases say."""
    if meta is None:
        return {}
    given: dict[str, Any] = {}
    classes: list[type] = list(meta.__mro__[:-1])
    for one in reversed(classes):
        given.update({key: value for key, value in vars(one).items() if not key.startswith("_")})
    return given


def _checked(name: str, key: str, value: Any) -> Any:
    if key in _TEXTS:
        if value is not None and (not isinstance(value, str) or not value):
            raise ModelDeclarationError(f"{name}.Meta.{key} must be a str, not {value!r}")
        return value
    if key in _FLAGS:
        return bool(value)
    if key in _LISTS:
        if isinstance(value, str) and key == "primary_key":
            return (value,)
        if not isinstance(value, list | tuple):
            raise ModelDeclarationError(
                f"{name}.Meta.{key} must be a list or tuple, not {type(value).__name__}"
            )
        return tuple(cast("list[Any]", value))
    if not isinstance(value, dict):
        raise ModelDeclarationError(f"{name}.Meta.{key} must be a dict of Q objects by name")
    return dict(cast("dict[str, Any]", value))
