"""Abstract models, mixins, and the other ways in which classes and annotations can be written."""

import gc
import textwrap
import types
import weakref
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from enum import StrEnum
from threading import Barrier
from typing import Annotated, Any, ClassVar, Optional, Self

import pytest
from hyperdjango.models import (
    CASCADE,
    Field,
    ForeignKey,
    Index,
    ManyToMany,
    MaxLen,
    Model,
    OneToOne,
    Related,
    RelatedOne,
    Version,
)
from hyperdjango.models._registry import registry
from hyperdjango.models.manager import Manager


class Named(Model):
    name: Annotated[str, MaxLen(10)]
    made: date | None = None

    class Meta:
        abstract = True
        ordering: ClassVar = ["name"]
        schema = "one"


class Numbered(Model):
    number: int = Field(primary_key=True)
    note: str = ""

    class Meta:
        abstract = True


class Loud:
    """A mixin that is no model: methods."""

    __slots__ = ()
    volume: int  # an annotation here is no field

    def shout(self) -> str:
        return f"{getattr(self, 'name')}!"  # noqa: B009 - it has none by itself


def names(model: type[Model]) -> list[str]:
    return [column.name for column in model._table.columns]


def test_abstract_models_give_columns_and_options_to_those_below() -> None:
    class Thing(Loud, Named, Numbered):
        name: str  # another type than the base's
        size: int = 1

        class Meta:
            indexes: ClassVar = [Index("size")]

    assert names(Thing) == ["number", "note", "name", "made", "size"]
    assert Thing._table.column("name").type.sql == "text"
    assert (Thing._table.schema, Thing._table.ordering, Thing._table.name) == ("one", ("name",), "thing")
    assert [key.name for key in Thing._table.primary_key] == ["number"]
    thing = Thing(number=1, name="a")
    assert (thing.shout(), thing.size, thing.note, thing.made) == ("a!", 1, "", None)
    assert not hasattr(thing, "__dict__")
    assert Named._table.is_abstract


def test_what_a_base_declares_can_be_taken_away() -> None:
    class Thing(Named):
        made = None

    assert names(Thing) == ["id", "name"]


def test_each_model_below_has_columns_of_its_own() -> None:
    class One(Named):
        pass

    class Two(Named):
        pass

    assert One._table.column("name") is not Two._table.column("name")
    assert (One._table.column("name").model, Two._table.column("name").model) == (One, Two)
    assert One.DoesNotExist is not Two.DoesNotExist
    assert One.DoesNotExist.__qualname__.endswith("One.DoesNotExist")


def test_relations_of_abstract_models_have_ways_back_of_each_model() -> None:
    class Owner(Model):
        pass

    class Owned(Model):
        owner: ForeignKey[Owner] = Field(related_name="%(class)s_set")

        class Meta:
            abstract = True

    class RedCar(Owned):
        pass

    class House(Owned):
        pass

    relations = Owner._table.relations
    assert relations["red_car_set"].target is RedCar
    assert relations["house_set"].target is House


def test_a_manager_of_a_base_is_bound_to_each_model() -> None:
    class Shouting(Manager[Any]):
        def loud(self) -> str:
            return self._state.model.__name__.upper()

    class Base(Model):
        objects = Shouting()

        class Meta:
            abstract = True

    class One(Base):
        pass

    class Two(Base):
        objects = Shouting()

    assert (One.objects.loud(), Two.objects.loud()) == ("ONE", "TWO")
    assert One.objects is One.objects


def test_self_references_can_be_written_in_every_way() -> None:
    class Node(Model):
        one: ForeignKey["Node | None"] = Field(default=None)
        two: ForeignKey[Self] = Field(related_name="+")
        three: ForeignKey["self"] = Field(related_name="threes")  # type: ignore[name-defined] # noqa: F821
        children: Related["Node"]
        friends: ManyToMany["Node"] = Field(related_name="friend_of")

    relations = Node._table.relations
    assert [relations[name].target for name in ("one", "two", "three", "friends")] == [Node] * 4
    assert relations["children"].reverse is relations["one"]
    assert relations["threes"].reverse is relations["three"]
    through = relations["friends"].through
    assert through is not None
    assert names(through) == ["from_node_id", "to_node_id"]
    assert relations["friends"].through_near is through._table.relations["from_node"]
    assert relations["friend_of"].through_near is through._table.relations["to_node"]


def test_relations_can_be_values_or_class_variables() -> None:
    class Tag(Model):
        papers = Related["Paper"]()

    class Paper(Model):
        tags = ManyToMany[Tag]()
        cover: ClassVar[RelatedOne["Cover"]]

    class Cover(Model):
        paper: OneToOne[Paper] = Field(on_delete=CASCADE, primary_key=True)

    assert Tag._table.relations["papers"].reverse is Paper._table.relations["tags"]
    assert Paper._table.relations["cover"].target is Cover
    assert [key.name for key in Cover._table.primary_key] == ["paper_id"]
    assert not Paper().tags.is_loaded


def test_a_declared_key_column_keeps_its_options_and_has_the_targets_type() -> None:
    class Target(Model):
        code: str = Field(primary_key=True)

    class Source(Model):
        target: ForeignKey[Target]
        target_id: int = Field(init=False, column="target_code")

    column = Source._table.column("target_id")
    assert (column.column, column.type.sql, column.relation) == (
        "target_code",
        "text",
        Source._table.relations["target"],
    )
    assert names(Source) == ["id", "target_id"]
    assert Source(target=Target(code="x")).target_id == "x"  # type: ignore[comparison-overlap]


def test_a_foreign_key_to_another_field_holds_that() -> None:
    class Country(Model):
        code: str = Field(unique=True)

    class City(Model):
        country: ForeignKey[Country] = Field(to_field="code")

    assert City._table.column("country_id").type.sql == "text"
    assert [one.name for one in City._table.relations["country"].remotes] == ["code"]
    country = Country(code="fr")
    assert City(country=country).country_id == "fr"  # type: ignore[attr-defined]


def test_composite_keys_are_tuples() -> None:
    class Part(Model):
        maker: str
        number: int

        class Meta:
            primary_key: ClassVar = ("maker", "number")

    class Use(Model):
        part: ForeignKey[Part | None] = Field(default=None)

    part = Part.ref(("a", 1))
    assert part.pk == ("a", 1)
    assert part == Part.ref(("a", 1)) != Part.ref(("a", 2))
    assert Part(maker="a").pk is None  # type: ignore[call-arg]
    use = Use(part=part)
    assert (use.part_maker, use.part_number) == ("a", 1)  # type: ignore[attr-defined]
    assert use.part is part
    use.part_number = 2  # type: ignore[attr-defined]
    with pytest.raises(Exception, match=r"Use.part has no value yet"):
        _ = use.part
    use.part = None
    assert use.part_maker is None  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="the key of Part is a tuple of maker, number"):
        Part.ref(3)


def test_a_key_may_be_made_of_relations() -> None:
    class Left(Model):
        pass

    class Right(Model):
        pass

    class Pair(Model):
        left: ForeignKey[Left]
        right: ForeignKey[Right]
        note: str = ""

        class Meta:
            primary_key: ClassVar = ("left", "right")

    assert [key.name for key in Pair._table.primary_key] == ["left_id", "right_id"]
    assert Pair(left=Left.ref(1), right=Right.ref(2)).pk == (1, 2)


def test_a_target_saved_later_is_still_the_one_that_was_given() -> None:
    class Target(Model):
        pass

    class Source(Model):
        target: ForeignKey[Target]

    target = Target()
    source = Source(target=target)
    assert source.target is target
    target.id = 5
    assert source.target is target
    other = Source.ref(1)
    other.target = Target()
    assert "target_id" in (other._changed or set())


MODULE = """
    from __future__ import annotations
    from typing import TYPE_CHECKING
    from hyperdjango.models import Field, ForeignKey, ManyToMany, Model, Related

    if TYPE_CHECKING:
        import datetime
        from elsewhere import Wheel
        import elsewhere

    class Car(Model):
        spare: ForeignKey[Wheel] = Field(related_name="cars")
        wheels: ManyToMany[elsewhere.Wheel]
        maker: ForeignKey[Maker | None] = None

    class Maker(Model):
        cars: Related[Car]
"""


def test_names_that_only_checkers_import_are_found_among_the_models() -> None:
    module = types.ModuleType("shop")
    exec(textwrap.dedent(MODULE), module.__dict__)
    elsewhere = types.ModuleType("elsewhere")
    source = "from hyperdjango.models import Model\nclass Wheel(Model):\n    size: int\n"
    exec(source, elsewhere.__dict__)
    relations = module.Car._table.relations
    assert relations["spare"].target is elsewhere.Wheel
    assert relations["wheels"].target is elsewhere.Wheel
    assert elsewhere.Wheel._table.relations["cars"].reverse is relations["spare"]
    assert module.Maker._table.relations["cars"].reverse is relations["maker"]
    assert elsewhere.Wheel in list(registry)


def test_a_model_of_a_function_goes_with_it() -> None:
    def declare() -> "weakref.ref[type[Model]]":
        class Short(Model):
            name: str

        assert Short in list(registry)
        return weakref.ref(Short)

    gone = declare()
    gc.collect()
    assert gone() is None


def test_strings_may_stand_anywhere_in_an_annotation() -> None:
    class Tint(StrEnum):
        RED = "red"

    class Sample(Model):
        one: "date"
        two: "date | None"
        three: Annotated["date", "anything"]
        four: list["Tint"]
        five: Optional["Tint"]
        six: ClassVar["int"] = 5
        seven: "ClassVar[int]" = 6

    types_of = [column.type.sql for column in Sample._table.columns]
    assert types_of == ["bigint", "date", "date", "date", '"tint"[]', '"tint"']
    assert [column.is_nullable for column in Sample._table.columns] == [
        False,
        False,
        True,
        False,
        False,
        True,
    ]


def test_versions_begin_at_one() -> None:
    class Counted(Model):
        version: int = Field(version=True)

    class Marked(Model):
        version: Version = 1

    assert Counted._table.column("version").is_version
    assert Marked._table.column("version").is_version
    assert (Counted().version, Marked().version) == (1, 1)  # type: ignore[call-arg]


def test_two_threads_declare_the_model_between_once() -> None:
    class Left(Model):
        pass

    class Right(Model):
        lefts: ManyToMany[Left]

    barrier = Barrier(4)

    def through(_: int) -> object:
        barrier.wait()
        return Right._table.relations["lefts"].through

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(through, range(4)))) == 1


def test_values_are_checked_as_declared() -> None:
    class Thing(Named):
        tint: "str | None" = Field(default=None, check=lambda value: value.strip())

    check = Thing._table.column("name").check
    assert check is not None
    assert check("abc") == "abc"
    with pytest.raises(ValueError, match="must have at most 10 characters, not 11"):
        check("a" * 11)
    with pytest.raises(ValueError, match="must be str, not int"):
        check(5)
    stripped = Thing._table.column("tint").check
    assert stripped is not None
    assert (stripped(" a "), stripped(None)) == ("a", None)
