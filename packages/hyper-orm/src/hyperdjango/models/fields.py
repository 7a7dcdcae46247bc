"""`Field(…)`: what an annotation does not say about an attribute of a model. `_declare` reads it."""

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

from hyperdjango.models._meta import UNSET, OnDelete


class FieldOptions:
    """The options of one attribute, as given; what was not given is UNSET, None or False."""

    __slots__ = (
        "check",
        "column",
        "columns",
        "comment",
        "constraint",
        "db_default",
        "default",
        "default_factory",
        "deferrable",
        "generated",
        "given",
        "identity",
        "index",
        "init",
        "on_delete",
        "on_update",
        "primary_key",
        "related_name",
        "table",
        "through",
        "through_fields",
        "to_field",
        "unique",
        "version",
    )  # fmt: skip

    def __init__(self, **given: Any) -> None:
        self.given = frozenset(given)
        self.default: Any = given.get("default", UNSET)
        self.default_factory: Callable[[], Any] | None = given.get("default_factory")
        self.init: bool = given.get("init", True)
        self.primary_key: bool = given.get("primary_key", False)
        self.unique: bool = given.get("unique", False)
        self.index: bool | None = given.get("index")
        self.column: str | None = given.get("column")
        self.db_default: Any = given.get("db_default")
        self.generated: Any = given.get("generated")
        self.identity: str | None = given.get("identity")
        self.comment: str | None = given.get("comment")
        self.check: Callable[[Any], Any] | None = given.get("check")
        self.version: bool = given.get("version", False)
        self.on_delete: OnDelete = given.get("on_delete", OnDelete.NO_ACTION)
        self.on_update: OnDelete = given.get("on_update", OnDelete.NO_ACTION)
        self.related_name: str | None = given.get("related_name")
        self.to_field: str | None = given.get("to_field")
        self.columns: tuple[str, ...] = tuple(given.get("columns") or ())
        self.constraint: bool = given.get("constraint", True)
        self.deferrable: bool = given.get("deferrable", False)
        self.through: Any = given.get("through")
        self.through_fields: tuple[str, str] | None = given.get("through_fields")
        self.table: str | None = given.get("table")


def Field(  # noqa: N802 - dataclasses' and pydantic's way, and a type checker's word for it
    *,
    default: Any = UNSET,
    default_factory: Callable[[], Any] | None = None,
    init: bool = True,
    primary_key: bool = False,
    unique: bool = False,
    index: bool | None = None,
    column: str | None = None,
    db_default: Any = None,
    generated: Any = None,
    identity: Literal["ALWAYS", "BY DEFAULT"] | None = None,
    comment: str | None = None,
    check: Callable[[Any], Any] | None = None,
    version: bool = False,
    on_delete: OnDelete = OnDelete.NO_ACTION,
    on_update: OnDelete = OnDelete.NO_ACTION,
    related_name: str | None = None,
    to_field: str | None = None,
    columns: Sequence[str] = (),
    constraint: bool = True,
    deferrable: bool = False,
    through: Any = None,
    through_fields: tuple[str, str] | None = None,
    table: str | None = None,
) -> Any:
    """Say more of an attribute than its annotation does. Its type is Any, so that it may stand behind any annotation.

    Args:
        default: The value of new instances that are given none.
        default_factory: Makes that value, for each instance anew.
        init: For type checkers: whether the constructor takes it; and `model_validate` takes no other from outside.
            The database's own values are `init=False`.
        primary_key: The key, or (of a relation) its columns are.
        unique: No two rows have the same.
        index: Whether there is an index; of a foreign key there is one unless this is False.
        column: The name in the database.
        db_default: DEFAULT in the database: SQL text, or an Expression.
        generated: The expression of a stored generated column: SQL text, or an Expression.
        identity: Numbers made by the database.
        comment: COMMENT ON COLUMN.
        check: Called with a value before it is written; returns it or raises ValueError.
        version: Counts the writes of a row; a write over somebody else's raises StaleObject.
        on_delete: What the database does with the row when the target of a foreign key goes.
        on_update: The same when the target's key changes.
        related_name: The attribute of the target that leads back; `"+"`: none.
        to_field: The target's attribute that a foreign key holds, where that is not its primary key.
        columns: Attributes that hold the parts of a foreign key to a composite key, in the order of that key.
        constraint: Whether the database knows of the foreign key.
        deferrable: It is checked at COMMIT.
        through: The model of the table between, for many to many: the class, or its name.
        through_fields: Its two foreign keys, to this model and to the target, where it has more than two.
        table: The name of that table, where the model is made by us.
    """
    given = {name: value for name, value in locals().items() if value is not _ABSENT[name]}
    return FieldOptions(**given)


# What each option is when it is not given: the signature is the one place that says so.
_ABSENT: Final[dict[str, Any]] = dict(Field.__kwdefaults__ or {})
