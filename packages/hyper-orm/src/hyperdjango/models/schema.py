"""The database's schema of models: as SQL text, and created or dropped in one transaction.

Changes to tables that are there already are no business of this module: it makes what is not there.
PostgreSQL docs: ddl.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from hyperdjango.database._running import innermost
from hyperdjango.database.resolver import database_for, get_resolver
from hyperdjango.models._ddl_indexes import index_statements
from hyperdjango.models._ddl_names import table_sql
from hyperdjango.models._ddl_tables import comment_statements, foreign_key, table_statement
from hyperdjango.models._ddl_types import made_types, refuse_equal_names, schema_statements
from hyperdjango.models._registry import registry, scope_of
from hyperdjango.models.errors import ModelDeclarationError

if TYPE_CHECKING:
    from hyperdjango.database import Database, SyncDatabase
    from hyperdjango.models._meta import Relation
    from hyperdjango.models.model import Model


def schema_sql(models: "Iterable[type[Model]] | None" = None) -> list[str]:
    """Return the statements that create the schema, in an order in which they can run.

    Args:
        models: Their tables, and those between of many-to-many relations. None: all models that can be imported.
    Raises:
        ModelDeclarationError: A model has no table, or names do not fit together.
        FieldError: A relation's target is not declared.
    """
    tables = with_tables(models)
    refuse_equal_names(tables)
    statements = schema_statements(tables)
    statements += [statement for _, statement in made_types(tables).values()]
    made: set[type[Model]] = set()
    later: list[Relation] = []
    ordered = _in_order(tables)
    for model in ordered:
        made.add(model)
        now: list[Relation] = []
        for relation in _foreign_keys(model):
            # A target that is not among these is there already.
            is_there = relation.target in made or relation.target not in tables
            (now if is_there else later).append(relation)
        statements.append(table_statement(model, now))
    statements += [f"ALTER TABLE {table_sql(one.model._table)} ADD {foreign_key(one)}" for one in later]
    for model in ordered:
        statements += index_statements(model)
        statements += comment_statements(model)
    return statements


def drop_schema_sql(models: "Iterable[type[Model]] | None" = None) -> list[str]:
    """Return the statements that drop the models' tables and types, as far as they are there.

    Schemas and extensions stay, since more may be in them.
    """
    tables = with_tables(models)
    if not tables:
        return []
    names = ", ".join(table_sql(model._table) for model in reversed(_in_order(tables)))
    types = [(kind, name) for name, (kind, _) in made_types(tables).items()]
    return [
        f"DROP TABLE IF EXISTS {names}",
        *(f"DROP {kind} IF EXISTS {name}" for kind, name in reversed(types)),
    ]


async def create_schema(models: "Iterable[type[Model]] | None" = None, db: "Database | None" = None) -> None:
    """Create the tables of models and all that belongs to them, in each database all of it or nothing.

    Args:
        models: As for `schema_sql`.
        db: The database; of one with an alias, the tables that routers allow there. None: each model's own; of a
            sharded model every shard.
    Raises:
        ModelDeclarationError: As `schema_sql`.
        DuplicateTable: A table is there already.
    """
    for database, some in _by_database(models, db):
        await _run(database, schema_sql(some))


async def drop_schema(models: "Iterable[type[Model]] | None" = None, db: "Database | None" = None) -> None:
    """Drop the tables of models and their types, as far as they are there, in each database all of it or nothing.

    Arguments as for `create_schema`.

    Raises:
        DependentObjectsStillExist: Something else needs one of them.
    """
    for database, some in _by_database(models, db):
        await _run(database, drop_schema_sql(some))


def create_schema_sync(models: "Iterable[type[Model]] | None", db: "SyncDatabase") -> None:
    """Create the tables of models; as `create_schema`."""
    _run_sync(db, schema_sql(_allowed(with_tables(models), db.alias)))


def drop_schema_sync(models: "Iterable[type[Model]] | None", db: "SyncDatabase") -> None:
    """Drop the tables of models; as `drop_schema`."""
    _run_sync(db, drop_schema_sql(_allowed(with_tables(models), db.alias)))


async def _run(database: "Database", statements: list[str]) -> None:
    async with database.transaction():
        for statement in statements:
            await database.execute(statement)


def _run_sync(database: "SyncDatabase", statements: list[str]) -> None:
    with database.transaction():
        for statement in statements:
            database.execute(statement)


def _by_database(
    models: "Iterable[type[Model]] | None", db: "Database | None"
) -> "list[tuple[Database, list[type[Model]]]]":
    tables = with_tables(models)
    if db is not None:
        return [(db, _allowed(tables, db.alias))]
    found: dict[int, tuple[Database, list[type[Model]]]] = {}
    owners = _owners(tables)
    for model in tables:
        owner = owners.get(model, model)
        for database in _databases_of(owner):
            if _allowed([owner], database.alias):
                found.setdefault(id(database), (database, []))[1].append(model)
    return list(found.values())


def _allowed(tables: "list[type[Model]]", alias: str | None) -> "list[type[Model]]":
    """Those of the models whose tables belong in the database of an alias."""
    if alias is None:
        return tables
    owners, resolver = _owners(tables), get_resolver()
    return [model for model in tables if resolver.allows_table(alias, owners.get(model, model))]


def _owners(tables: "list[type[Model]]") -> "dict[type[Model], type[Model]]":
    """Tables between that nobody has declared, each with the model whose relation needs it: they are beside its own."""
    return {
        relation.through: model
        for model in tables
        for relation in model._table.relations.values()
        if relation.kind == "ManyToMany" and relation.field.through is None and relation.through is not None
    }


def _databases_of(model: "type[Model]") -> "Sequence[Database]":
    """The database of a model; all of them where it is sharded, but in transactions only those."""
    shards = get_resolver().shards(model, is_write=True)
    if shards is not None and innermost() is not None:
        shards = [one for one in shards if one._current.get() is not None]  # pyright: ignore[reportPrivateUsage]
    return shards or (database_for(model, is_write=True),)


def with_tables(models: "Iterable[type[Model]] | None") -> "list[type[Model]]":
    """Return the models, each once, with those of the tables between that they need."""
    if models is None:
        models = [model for model in registry if not scope_of(model)]
    found: dict[type[Model], None] = {}
    for model in models:
        table = model._table
        if table.is_abstract:
            raise ModelDeclarationError(f"{model.__name__} is abstract: it has no table to create")
        found[model] = None
    for model in list(found):
        for relation in model._table.relations.values():
            if (
                relation.kind == "ManyToMany"
                and relation.field.through is None
                and relation.through is not None
            ):
                found[relation.through] = None
    return [model for model in found if model._table.is_managed]


def _foreign_keys(model: "type[Model]") -> "list[Relation]":
    return [one for one in model._table.relations.values() if one.is_forward and one.field.constraint]


def _in_order(tables: "list[type[Model]]") -> "list[type[Model]]":
    """Put targets before what points at them; in a circle the first that is met comes first."""
    ordered: dict[type[Model], None] = {}
    for first in tables:
        # (model, whether its targets have been dealt with), without recursion: chains may be long.
        pending = [(first, False)]
        entered: set[type[Model]] = set()
        while pending:
            model, is_done = pending.pop()
            if is_done:
                ordered[model] = None
            elif model not in ordered and model not in entered:
                entered.add(model)
                pending.append((model, True))
                targets = [relation.target for relation in _foreign_keys(model)]
                pending += [(target, False) for target in reversed(targets) if target in tables]
    return list(ordered)


__all__ = [
    "create_schema",
    "create_schema_sync",
    "drop_schema",
    "drop_schema_sql",
    "drop_schema_sync",
    "schema_sql",
]
