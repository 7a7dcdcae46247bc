"""Meta.global_filters: what every queryset of a model begins with, and unscoped()."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from hyperdjango.database import Database, UniqueViolation
from hyperdjango.database.resolver import OneDatabase, set_resolver
from hyperdjango.models import Field, FieldError, ForeignKey, Model, Related
from hyperdjango.models.query_words import Q
from hyperdjango.models.schema import create_schema


class Folder(Model):
    name: str
    files: Related[File]

    class Meta:
        table = "g_folder"


class File(Model):
    folder: ForeignKey[Folder]
    name: str = Field(unique=True)
    is_deleted: bool = False
    tenant: int = 1

    class Meta:
        table = "g_file"
        global_filters = {"alive": Q(is_deleted=False), "mine": Q(tenant=1)}  # noqa: RUF012 - as users write it


class Wrong(Model):
    name: str

    class Meta:
        table = "g_wrong"
        global_filters = {"x": Q(nam="x")}  # noqa: RUF012


class One(OneDatabase):
    def __init__(self, database: Database) -> None:
        self.database = database

    def resolve(self, *args: object, **more: object) -> Database:
        return self.database


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url, 1, 2) as database:
        await create_schema([Folder, File], database)
        await database.execute("INSERT INTO g_folder (name) VALUES ('f')")
        await database.execute(
            "INSERT INTO g_file (folder_id, name, is_deleted, tenant)"
            " VALUES (1, 'a', false, 1), (1, 'b', true, 1), (1, 'c', false, 2), (1, 'd', true, 2)"
        )
        set_resolver(One(database))
        yield database
        set_resolver(None)


async def names(queryset: object) -> list[str]:
    return sorted([file.name async for file in queryset])  # type: ignore[attr-defined]


async def test_every_queryset_of_the_model_is_filtered(db: Database) -> None:
    assert await names(File.objects.all()) == ["a"]
    assert await names(File.objects.filter(name__in=["a", "b"])) == ["a"]
    assert await File.objects.count() == 1
    assert await File.objects.filter(name="b").exists() is False
    assert await File.objects.update(tenant=1) == 1
    assert await names(File.objects.filter(name="a").union(File.objects.filter(name="b"))) == ["a"]
    (folder,) = await Folder.objects.prefetch_related("files")
    assert [file.name for file in folder.files] == ["a"]
    assert await Folder.objects.filter(id__in=File.objects.filter(name="b").values("folder_id")).count() == 0
    assert await File.objects.delete() == 1
    assert await db.query_val("SELECT count(*) FROM g_file") == 3


async def test_unscoped_drops_all_filters_or_those_that_are_named(db: Database) -> None:
    assert await names(File.objects.unscoped()) == ["a", "b", "c", "d"]
    assert await names(File.objects.filter(name__in=["a", "b"]).unscoped().filter(tenant=1)) == ["a", "b"]
    assert await names(File.objects.unscoped("alive")) == ["a", "b"]
    assert await names(File.objects.unscoped("mine")) == ["a", "c"]
    assert await names(File.objects.unscoped("mine").unscoped()) == ["a", "b", "c", "d"]
    with pytest.raises(FieldError, match="File has no global filter 'aliv'; did you mean 'alive'"):
        File.objects.unscoped("aliv")


async def test_an_instance_is_saved_by_its_key_whatever_the_filters_say(db: Database) -> None:
    file = await File.objects.get()
    file.is_deleted = True
    await file.save()
    await file.refresh_from_db()
    assert await File.objects.count() == 0
    file.name = "z"
    await file.save()
    assert await file.delete() == 1


async def test_a_row_that_is_filtered_out_is_in_the_way_of_a_new_one(db: Database) -> None:
    with pytest.raises(UniqueViolation):
        await File.objects.get_or_create(name="b", defaults={"folder_id": 1})
    with pytest.raises(UniqueViolation):
        await File.objects.update_or_create(name="b", defaults={"folder_id": 1})
    file, created = await File.objects.unscoped().get_or_create(name="b")
    assert (file.is_deleted, created) == (True, False)


async def test_a_filter_that_does_not_fit_is_refused(db: Database) -> None:
    with pytest.raises(FieldError, match="Wrong has no field 'nam'; did you mean 'name'"):
        _ = Wrong.objects
