"""The model of the table between two others, where a many-to-many relation names none: `BookTags`, `book_tags`."""

from typing import TYPE_CHECKING, Any

from hyperdjango.models._meta import OnDelete, Relation
from hyperdjango.models._types import snake_case

if TYPE_CHECKING:
    from hyperdjango.models.model import Model


def automatic_through(relation: Relation, target: "type[Model]") -> "tuple[type[Model], str, str]":
    """Declare the model: two foreign keys, which together are its primary key.

    Returns:
        The model, and the names of its relations to this side and to the far side.
    """
    from hyperdjango.models._declare import ModelMeta
    from hyperdjango.models.fields import Field
    from hyperdjango.models.model import Model
    from hyperdjango.models.relations import ForeignKey

    source = relation.model
    near, far = snake_case(source.__name__), snake_case(target.__name__)
    if near == far:
        near, far = f"from_{near}", f"to_{far}"
    name = source.__name__ + "".join(part.capitalize() for part in relation.name.split("_"))
    table = source._table
    meta = {
        "table": relation.field.table or f"{table.name}_{relation.name}",
        "schema": table.schema,
        "database": table.database,
        "primary_key": (near, far),
        "is_automatic": True,
    }
    qualname = f"{source.__qualname__}.{name}"
    namespace: dict[str, Any] = {
        "__module__": source.__module__,
        "__qualname__": qualname,
        "__doc__": f"One row for each of `{source.__name__}.{relation.name}`.",
        "__annotations__": {near: ForeignKey[source], far: ForeignKey[target]},  # type: ignore[valid-type]
        near: Field(on_delete=OnDelete.CASCADE, related_name="+"),
        far: Field(on_delete=OnDelete.CASCADE, related_name="+"),
        "Meta": type("Meta", (), meta),
    }
    made: Any = ModelMeta(name, (Model,), namespace)
    return made, near, far
