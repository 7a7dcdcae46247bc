"""Hooks of a model and Django's signals around saving and deleting an instance."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hyperdjango.database import Database
from hyperdjango.database.testing import assert_num_queries
from hyperdjango.models import Field, Model, ModelError
from hyperdjango.models.schema import create_schema
from hyperdjango.models.signals import Signal, post_delete, post_save, pre_delete, pre_save, receiver

LOG: list[Any] = []


class Hooked(Model):
    name: str = Field(unique=True)
    slug: str = ""

    class Meta:
        table = "h_hooked"

    async def before_save(self, *, created: bool) -> None:
        if self.name == "refused":
            raise ValueError("refused")
        self.slug = self.name.upper()
        LOG.append(("before_save", created, self._origin is None))

    def after_save(self, *, created: bool) -> None:
        LOG.append(("after_save", created, self._origin is None))

    def before_delete(self) -> None:
        LOG.append(("before_delete", self._origin is None))

    async def after_delete(self) -> None:
        LOG.append(("after_delete", self._origin is None))


class Plain(Model):
    name: str = Field(unique=True)

    class Meta:
        table = "h_plain"


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    LOG.clear()
    async with Database(database_url, 1, 2) as database:
        await create_schema([Hooked, Plain], database)
        yield database


async def test_hooks_run_around_the_statement_and_what_they_set_is_saved(db: Database) -> None:
    one = await Hooked.objects.using(db).create(name="a")
    assert await db.query_val("SELECT slug FROM h_hooked") == "A"
    one.name = "b"
    await one.save()
    assert await db.query_val("SELECT slug FROM h_hooked") == "B"
    await one.delete()
    assert LOG == [
        ("before_save", True, True),
        ("after_save", True, False),
        ("before_save", False, False),
        ("after_save", False, False),
        ("before_delete", False),
        ("after_delete", True),
    ]
    LOG.clear()
    with assert_num_queries(db, 0), pytest.raises(ValueError, match="refused"):
        await Hooked.objects.using(db).create(name="refused")
    assert LOG == []


async def test_hooks_run_for_rows_that_are_got_or_created_and_not_for_many(db: Database) -> None:
    hooked = Hooked.objects.using(db)
    one, created = await hooked.get_or_create(name="a")
    assert (one.slug, created, len(LOG)) == ("A", True, 2)
    one, created = await hooked.update_or_create(name="a", defaults={"name": "c"})
    assert (one.slug, created, len(LOG)) == ("C", False, 4)
    one, created = await hooked.update_or_create(name="d")
    assert (one.slug, created, len(LOG)) == ("D", True, 6)
    await hooked.bulk_create([Hooked(name="x")])
    await hooked.bulk_update([one], ["slug"])
    await hooked.update(slug="")
    await hooked.delete()
    assert len(LOG) == 6


async def test_receivers_are_told_and_awaited(db: Database) -> None:
    signals = (pre_save, post_save, pre_delete, post_delete)
    gc.collect()
    # Others' receivers, if they are still alive.
    before = [len(signal._connections) for signal in signals]

    @receiver([pre_save, post_save], Plain)
    async def saved(signal: Signal, instance: Any, created: bool, **named: Any) -> None:
        assert named["using"] is db
        LOG.append((signal.name, instance.name, created, named["update_fields"]))

    @receiver([pre_delete, post_delete])
    def deleted(signal: Signal, sender: Any, **_named: Any) -> None:
        LOG.append((signal.name, sender))

    one = await Plain.objects.using(db).create(name="a")
    await one.save(update_fields=["name"])
    await one.delete()
    await Hooked.objects.using(db).create(name="other")
    assert LOG[:-2] == [
        ("pre_save", "a", True, None),
        ("post_save", "a", True, None),
        ("pre_save", "a", False, ("name",)),
        ("post_save", "a", False, ("name",)),
        ("pre_delete", Plain),
        ("post_delete", Plain),
    ]
    assert pre_save.disconnect(saved, Plain)
    assert not pre_save.disconnect(saved, Plain)
    del saved, deleted
    gc.collect()
    assert all(len(signal._connections) <= count for signal, count in zip(signals, before, strict=True))


async def test_a_receiver_is_held_weakly_unless_said_otherwise_and_connected_once() -> None:
    signal = Signal("mine")

    class Listener:
        def hear(self, **named: Any) -> int:
            return len(named)

    listener = Listener()
    signal.connect(listener.hear)
    signal.connect(listener.hear)
    assert [answer for _, answer in await signal.send(None)] == [2]
    del listener
    gc.collect()
    assert await signal.send(None) == []
    signal.connect(lambda **_named: "kept", weak=False, dispatch_uid="one")
    signal.connect(lambda **_named: "again", weak=False, dispatch_uid="one")
    gc.collect()
    assert [answer for _, answer in await signal.send(None)] == ["kept"]
    assert signal.disconnect(dispatch_uid="one")
    with pytest.raises(ModelError, match=r"takes \*\*kwargs"):
        signal.connect(lambda sender: sender)
    with pytest.raises(ModelError, match="is a function, not int"):
        signal.connect(5)  # type: ignore[arg-type]
