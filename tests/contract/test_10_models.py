"""Section 10 of the contract: models, managers, querysets."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from hyperdjango.database import Database, set_db
from hyperdjango.database.testing import capture_queries
from hyperdjango.models import (
    Field,
    ForeignKey,
    Manager,
    Model,
    MultipleObjectsReturned,
    NotLoaded,
    ObjectDoesNotExist,
    QuerySet,
    create_schema,
)
from hyperdjango.multi_db import ConnectionManager


class User(Model):
    name: str = Field(unique=True)
    age: int | None = None

    class Meta:
        table = "people"


class Post(Model):
    title: str
    author: ForeignKey[User]


@pytest.fixture
async def users(db: Database) -> AsyncIterator[Database]:
    """Two users; the database is the process's."""
    set_db(db)
    await create_schema([User, Post], db)
    ada = await User.objects.create(name="Ada", age=36)
    await User.objects.create(name="Ben")
    await Post.objects.create(title="Notes", author=ada)
    yield db
    set_db(None)


@pytest.mark.line("10.declaration")
async def test_a_model_is_annotations_fields_and_meta(users: Database) -> None:
    """class User(Model) with annotations, Field(…) for options, class Meta: table, database, …"""
    columns = """
        SELECT column_name, is_nullable FROM information_schema.columns
        WHERE table_name = 'people' AND table_schema = current_schema() ORDER BY ordinal_position
    """
    assert await users.query(columns, into=tuple) == [("id", "NO"), ("name", "NO"), ("age", "YES")]
    unique = "SELECT count(*) FROM pg_constraint WHERE conrelid = 'people'::regclass AND contype = 'u'"
    assert await users.query_val(unique) == 1


@pytest.mark.line("10.manager")
def test_objects_is_a_manager() -> None:
    """User.objects is a manager."""
    assert isinstance(User.objects, Manager)


@pytest.mark.line("10.all")
@pytest.mark.usefixtures("users")
async def test_all_gives_a_list() -> None:
    """await User.objects.all() gives a list."""
    found = await User.objects.all()
    assert isinstance(found, list)
    assert sorted(user.name for user in found) == ["Ada", "Ben"]
    assert all(isinstance(user, User) for user in found)


@pytest.mark.line("10.filter")
@pytest.mark.usefixtures("users")
async def test_filter_takes_djangos_lookups() -> None:
    """filter."""
    assert [user.name for user in await User.objects.filter(age__gt=30)] == ["Ada"]
    assert [user.name for user in await User.objects.filter(age__isnull=True)] == ["Ben"]


@pytest.mark.line("10.get")
@pytest.mark.usefixtures("users")
async def test_get_gives_one_or_an_error() -> None:
    """get."""
    assert (await User.objects.get(name="Ada")).age == 36
    with pytest.raises(ObjectDoesNotExist):
        await User.objects.get(name="Nobody")
    with pytest.raises(MultipleObjectsReturned):
        await User.objects.get()


@pytest.mark.line("10.create")
async def test_create_gives_an_instance(users: Database) -> None:
    """await User.objects.create(name=…) an instance."""
    user = await User.objects.create(name="Cay")
    assert isinstance(user, User)
    assert await users.query_val("SELECT name FROM people WHERE id = $1", user.id) == "Cay"


@pytest.mark.line("10.using")
async def test_using_names_an_alias(url: str, users: Database) -> None:
    """using(alias)."""
    async with await ConnectionManager().configure({"here": url}):
        assert await User.objects.using("here").count() == 2


@pytest.mark.line("10.django")
@pytest.mark.parametrize(
    "name",
    [
        *(
            "exclude",
            "order_by",
            "values",
            "values_list",
            "annotate",
            "aggregate",
            "count",
            "exists",
            "first",
            "last",
        ),
        *(
            "get_or_create",
            "update_or_create",
            "bulk_create",
            "bulk_update",
            "in_bulk",
            "update",
            "delete",
            "distinct",
        ),
        *(
            "select_related",
            "prefetch_related",
            "select_for_update",
            "only",
            "defer",
            "none",
            "union",
            "reverse",
        ),
        *("iterator", "latest", "earliest", "raw", "explain", "alias", "intersection", "difference"),
    ],
)
def test_djangos_other_names_are_there(name: str) -> None:
    """And Django's other names."""
    assert callable(getattr(User.objects, name))


@pytest.mark.line("10.django")
@pytest.mark.usefixtures("users")
async def test_djangos_other_names_do_what_they_say() -> None:
    """And Django's other names."""
    assert await User.objects.exclude(name="Ada").values_list("name", flat=True) == ["Ben"]
    assert (await User.objects.order_by("-name").first()).name == "Ben"  # type: ignore[union-attr] # there are two
    assert await User.objects.filter(name="Ben").exists()
    assert await User.objects.filter(name="Ben").update(age=7) == 1
    assert await User.objects.values("age").order_by("age") == [{"age": 7}, {"age": 36}]
    _, created = await User.objects.get_or_create(name="Ben")
    assert not created


@pytest.mark.line("10.lazy")
async def test_a_queryset_sends_nothing_before_it_is_awaited(users: Database) -> None:
    """Querysets are lazy."""
    with capture_queries(users) as calls:
        found = User.objects.filter(age__gt=30).order_by("name").exclude(name="Ben")[:5]
        assert isinstance(found, QuerySet)
        assert calls == []
        await found
    assert len(calls) == 1


@pytest.mark.line("10.immutable")
@pytest.mark.usefixtures("users")
async def test_a_method_makes_another_queryset() -> None:
    """Immutable."""
    everybody = User.objects.all()
    some = everybody.filter(name="Ada")
    assert some is not everybody
    assert (await everybody.count(), await some.count()) == (2, 1)


@pytest.mark.line("10.awaitable")
@pytest.mark.usefixtures("users")
async def test_a_queryset_is_awaited_as_often_as_one_likes() -> None:
    """Awaitable."""
    found = User.objects.filter(name="Ada")
    assert [user.name for user in await found] == ["Ada"]
    assert [user.name for user in await found] == ["Ada"]


@pytest.mark.line("10.stream")
@pytest.mark.usefixtures("users")
async def test_async_for_streams() -> None:
    """async for streams."""
    assert [user.name async for user in User.objects.order_by("name")] == ["Ada", "Ben"]


@pytest.mark.line("10.model_dump")
@pytest.mark.usefixtures("users")
async def test_model_dump_is_a_dict() -> None:
    """u.model_dump() a dict."""
    user = await User.objects.get(name="Ada")
    assert user.model_dump() == {"id": user.id, "name": "Ada", "age": 36}


@pytest.mark.line("10.no_io")
async def test_attribute_access_asks_the_database_nothing(users: Database) -> None:
    """Attribute access never does I/O."""
    post: Any = await Post.objects.get()
    with capture_queries(users) as calls:
        assert post.title == "Notes"
        assert post.author_id
        with pytest.raises(NotLoaded):
            _ = post.author
    assert calls == []
