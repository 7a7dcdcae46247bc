"""`model_dump`, `model_validate`, `model_json_schema`: pydantic's names, without being a BaseModel."""

import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from ipaddress import IPv4Address
from typing import Annotated, Any
from uuid import UUID

import pytest
from hyperdjango.models import (
    Field,
    ForeignKey,
    Ge,
    Jsonb,
    MaxLen,
    Model,
    NotLoaded,
    Range,
    Related,
    ValidationError,
)
from hyperdjango.models.errors import FieldError
from pydantic import BaseModel, TypeAdapter
from pydantic import ValidationError as PydanticError


class Mood(StrEnum):
    GOOD = "good"
    BAD = "bad"


class DumpOwner(Model):
    name: Annotated[str, MaxLen(5)]
    items = Related["DumpItem"]()


class DumpItem(Model):
    owner: ForeignKey[DumpOwner]
    title: str
    count: Annotated[int, Ge(1)] = 1
    price: Decimal = Decimal("1.50")
    ratio: float = 0.5
    day: date = date(2020, 2, 29)
    at: datetime = datetime(2020, 2, 29, 12, tzinfo=UTC)
    clock: time = time(1, 2, 3)
    span: timedelta = timedelta(days=1, hours=2, seconds=3.5)
    raw: bytes = b"\x00\xff"
    key: UUID = UUID(int=7)
    host: IPv4Address = IPv4Address("10.0.0.1")
    mood: Mood = Mood.GOOD
    words: list[str] = Field(default_factory=list)
    data: Jsonb[dict[str, Any]] = Field(default_factory=dict)
    span_of: Range[int] | None = None
    note: str | None = None


def item(**values: Any) -> DumpItem:
    return DumpItem(**{"owner": DumpOwner.ref(3), "title": "t", **values})


def test_every_loaded_column_is_in_it_and_nothing_else() -> None:
    dumped = item(note=None).model_dump()
    assert dumped["owner_id"] == 3
    assert dumped["price"] == Decimal("1.50")
    assert "owner" not in dumped
    assert "id" not in dumped, "the database has not made it yet"
    assert dumped["note"] is None


def test_include_exclude_and_exclude_none() -> None:
    one = item()
    assert one.model_dump(include={"title", "count"}) == {"title": "t", "count": 1}
    assert "title" not in one.model_dump(exclude={"title"})
    assert "note" not in one.model_dump(exclude_none=True)


def test_a_relation_is_in_it_when_it_is_named_and_loaded() -> None:
    owner = DumpOwner(name="o")
    dumped = item(owner=owner).model_dump(include={"title": True, "owner": {"name"}})
    assert dumped == {"title": "t", "owner": {"name": "o"}}
    with pytest.raises(NotLoaded, match=r"DumpItem\.owner "):
        DumpItem(owner_id=3, title="t").model_dump(include={"owner"})  # type: ignore[call-arg]
    with pytest.raises(NotLoaded, match=r"DumpOwner\.items"):
        owner.model_dump(include={"items"})


def arguments(name: str, value: Any) -> Any:
    return {name: value}


@pytest.mark.parametrize("argument", ["include", "exclude"])
def test_an_unknown_name_is_an_error_with_the_nearest(argument: str) -> None:
    with pytest.raises(FieldError, match="DumpItem has no field 'titel'; did you mean 'title'"):
        item().model_dump(**arguments(argument, {"titel"}))
    with pytest.raises(TypeError, match="a set of names"):
        item().model_dump(**arguments(argument, "title"))
    with pytest.raises(FieldError, match=r"DumpItem\.title is no relation"):
        item().model_dump(**arguments(argument, {"title": {"x"}}))


def test_what_is_dumped_as_json_is_read_back_as_the_same_values() -> None:
    one = item(
        words=["a", "b"],
        data={"k": [1, None]},
        span_of=Range(1, 5),
        ratio=float("inf"),
        span=-timedelta(hours=3),
    )
    text = one.model_dump_json()
    again = DumpItem.model_validate_json(text)
    assert again.model_dump() == one.model_dump()
    assert json.loads(text) == one.model_dump(mode="json")
    assert json.loads(text)["span"] == "-PT3H"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("title", 3, "must be str, not int"),
        ("title", None, "must not be None"),
        ("count", 0, "greater than or equal to 1|at least 1"),
        ("count", True, "must be int, not bool"),
        ("count", "1", "must be int, not str"),
        ("price", "1,5", "must be a number"),
        ("price", "9" * 30_000, "longer than"),
        ("price", "1e100000000", "must be a number that numeric can hold"),
        ("price", "1e-100000000", "must be a number that numeric can hold"),
        ("ratio", "x", "must be a number"),
        ("day", "2020-02-30", "must be a date"),
        ("at", "yesterday", "must be a date and time"),
        ("clock", "25:00", "must be a time"),
        ("span", "P", "must be a duration"),
        ("span", "P999999999DT999999H", "must be a duration|longer than"),
        ("raw", "*", "base64"),
        ("key", "7", "must be a UUID"),
        ("host", "10.0.0.256", "must be an IPv4 address"),
        ("mood", "odd", "must be one of 'good', 'bad'"),
        ("words", "ab", "must be list, not str"),
        ("words", [1], "must be list"),
        ("span_of", {"lower": 1, "upper": 2, "bounds": "[[", "x": 1}, "must be a range"),
        ("titel", "x", "is no field of DumpItem; did you mean 'title'"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(name: str, value: Any, said: str) -> None:
    data = {"owner_id": 1, "title": "t", name: value}
    with pytest.raises(ValidationError, match=said) as caught:
        DumpItem.model_validate(data)
    assert list(caught.value.errors) == [name]


def test_all_that_is_wrong_is_said_at_once_and_within_relations_too() -> None:
    with pytest.raises(ValidationError) as caught:
        DumpItem.model_validate({"owner": {"name": "too long"}, "count": 0})
    assert set(caught.value.errors) == {"owner.name", "count", "title"}


def test_a_relation_may_come_as_a_dict() -> None:
    one = DumpItem.model_validate({"owner": {"name": "o"}, "title": "t"})
    assert one.owner.name == "o"
    with pytest.raises(ValidationError, match="belongs to the other table"):
        DumpOwner.model_validate({"name": "o", "items": []})


class DumpNote(Model):
    id: int = Field(init=False)
    text: str
    by: ForeignKey[DumpOwner] = Field(init=False)
    about: ForeignKey[DumpItem]
    about_id: int = Field(init=False)
    made: datetime = Field(db_default="now()", init=False)
    token: str = Field(init=False)


@pytest.mark.parametrize(
    ("name", "value"),
    [("id", 7), ("made", "2020-01-01"), ("token", "x"), ("by_id", 3), ("by", {"name": "o"}), ("id", None)],
)
def test_what_the_constructor_does_not_take_is_not_taken_from_outside(name: str, value: Any) -> None:
    data = {"text": "t", "about_id": 1}
    with pytest.raises(ValidationError) as caught:
        DumpNote.model_validate({**data, name: value})
    assert caught.value.errors == {name: "is not set from here"}
    one = DumpNote.model_validate(data)
    assert one.model_dump() == data, "and nothing is missing that cannot be given"
    assert set(DumpNote.model_json_schema()["properties"]) == set(data)


def test_the_names_that_are_offered_are_those_that_are_taken() -> None:
    with pytest.raises(ValidationError) as caught:
        DumpNote.model_validate({"text": "t", "about_id": 1, "pk": 3, "tokem": "x"})
    offered = "; there are about, about_id, text"
    assert caught.value.errors == dict.fromkeys(["pk", "tokem"], "is no field of DumpNote" + offered)


def test_strict_takes_the_annotated_class_alone() -> None:
    with pytest.raises(ValidationError, match="price: must be Decimal, not str"):
        DumpItem.model_validate({"owner_id": 1, "title": "t", "price": "1.5"}, strict=True)


@pytest.mark.parametrize("data", [[], "x", 3, None])
def test_data_that_is_no_dict_is_refused(data: Any) -> None:
    with pytest.raises(ValidationError, match="DumpItem: takes a dict, not "):
        DumpItem.model_validate(data)
    with pytest.raises(ValidationError, match="is no JSON"):
        DumpItem.model_validate_json("{")


def test_an_instance_is_returned_as_it_is() -> None:
    one = item()
    assert DumpItem.model_validate(one) is one


def test_the_schema_says_what_is_required_and_what_values_fit() -> None:
    schema = DumpItem.model_json_schema()
    assert schema["required"] == ["owner_id", "title"]
    properties = schema["properties"]
    assert properties["count"] == {"type": "integer", "minimum": 1, "default": 1}
    assert properties["mood"]["enum"] == ["good", "bad"]
    assert properties["words"] == {"type": "array", "items": {"type": "string"}}
    assert properties["note"] == {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}
    assert DumpOwner.model_json_schema()["properties"]["name"] == {"type": "string", "maxLength": 5}
    assert "id" in DumpItem.model_json_schema("serialization")["required"]


class Envelope(BaseModel):
    item: DumpItem
    more: list[DumpItem] = []


def test_a_model_is_a_type_of_pydantics() -> None:
    envelope = Envelope.model_validate({"item": {"owner_id": 1, "title": "t"}})
    assert isinstance(envelope.item, DumpItem)
    assert envelope.model_dump()["item"]["title"] == "t"
    assert json.loads(envelope.model_dump_json())["item"]["price"] == "1.50"
    with pytest.raises(PydanticError, match="title: is missing"):
        Envelope.model_validate({"item": {"owner_id": 1}})
    properties = Envelope.model_json_schema()["properties"]
    assert properties["item"]["properties"]["count"]["minimum"] == 1
    assert isinstance(
        TypeAdapter(list[DumpItem]).validate_json('[{"owner_id": 1, "title": "t"}]')[0], DumpItem
    )
