"""A class that cannot be a model says so: it names the model, the word, and what to write instead."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Annotated, Any, ClassVar

import pytest
from hyperdjango.models import (
    SET_NULL,
    Bit,
    Collation,
    Digits,
    Field,
    FieldError,
    ForeignKey,
    Ge,
    Gt,
    Index,
    Le,
    Lt,
    ManyToMany,
    MaxLen,
    MinLen,
    Model,
    ModelDeclarationError,
    MultipleOf,
    OneToOne,
    Related,
    RelatedOne,
    SqlType,
    Timestamp,
    TimeTz,
    UniqueConstraint,
)
from hyperdjango.models._declare import ModelMeta
from hyperdjango.models._markers import JSONB
from hyperdjango.models.constraints import ExclusionConstraint


class Author(Model):
    name: str


class Base(Model):
    class Meta:
        abstract = True


class Plain:
    pass


class Number(IntEnum):
    ONE = 1


class Tint(Enum):
    RED = 1


def declare(annotation: Any, value: Any = ..., /, *, name: str = "field", **meta: Any) -> Any:
    """A model `Wrong` with one field."""
    namespace: dict[str, Any] = {
        "__module__": __name__,
        "__qualname__": "declare.<locals>.Wrong",
        "__annotations__": {name: annotation},
        "Meta": type("Meta", (), meta),
    }
    if value is not ...:
        namespace[name] = value
    return ModelMeta("Wrong", (Model,), namespace)


WRONG: list[tuple[Callable[[], object], str]] = [
    # Names
    (
        lambda: declare(int, name="objects"),
        "every model has a 'objects' of its own; name the field otherwise",
    ),
    (lambda: declare(int, name="pk"), "Wrong.pk: every model has a 'pk' of its own"),
    (lambda: declare(int, name="c"), "Wrong.c: every model has"),
    (
        lambda: declare(int, name="a__b"),
        "Wrong.a__b: a field's name has no underscore at its ends and no double",
    ),
    (lambda: declare(int, name="a_"), "Wrong.a_: a field's name has no underscore"),
    (lambda: declare(int, name="_a"), "Wrong._a: a field's name has no underscore"),
    # Types
    (
        lambda: declare(Plain),
        "Wrong.field: Plain has no column type; write Jsonb[Plain] for JSON, or ForeignKey[Plain]",
    ),
    (lambda: declare(Any), "Wrong.field: Any has no column type; write Jsonb[Any]"),
    (lambda: declare(list), "Wrong.field: list has no column type; write list[int] or another element type"),
    (lambda: declare(tuple[int, ...]), "write list[T] for an array, or Jsonb[list[Any]]"),
    (
        lambda: declare(int | str),
        "Wrong.field: int | str has no column type; write one type, or one type and None",
    ),
    (lambda: declare(Tint), "Wrong.field: Tint has no column type; write Tint as a StrEnum"),
    (lambda: declare("Nowhere"), "Wrong.field: the name 'Nowhere' is not defined where Wrong is declared"),
    (lambda: declare("in t"), "Wrong.field: the annotation 'in t' means nothing"),
    (lambda: declare(Author), "Wrong.field: Author is a model: write ForeignKey[Author]"),
    (lambda: declare(Annotated[int, Digits(3)]), "write Digits on Decimal alone"),
    # Demands
    (
        lambda: declare(Annotated[int, MaxLen(4)]),
        "Wrong.field: MaxLen(4) cannot be asked of int, which has no length",
    ),
    (
        lambda: declare(Annotated[datetime | None, MinLen(1)]),
        "MinLen(1) cannot be asked of datetime, which has",
    ),
    (
        lambda: declare(Annotated[Number, MaxLen(1)]),
        "MaxLen(1) cannot be asked of Number, which has no length",
    ),
    (lambda: declare(list[Annotated[int, MaxLen(4)]]), "MaxLen(4) cannot be asked of int"),
    (lambda: declare(Annotated[str, Ge(3)]), "Wrong.field: Ge(3) cannot be asked of str: '>=' not supported"),
    (lambda: declare(Annotated[int, Lt("3")]), "Lt('3') cannot be asked of int"),
    (lambda: declare(Annotated[list[int], Gt(0)]), "Gt(0) cannot be asked of list"),
    (lambda: declare(Annotated[date, Le(datetime(2000, 1, 1))]), "cannot be asked of date: can't compare"),
    (lambda: declare(Annotated[datetime, Ge(datetime(2000, 1, 1))]), "offset-naive and offset-aware"),
    (
        lambda: declare(Annotated[datetime, Timestamp, Ge(datetime(2000, 1, 1, tzinfo=UTC))]),
        "offset-naive and offset-aware",
    ),
    (lambda: declare(Annotated[str, MultipleOf(3)]), "MultipleOf(3) cannot be asked of str"),
    (lambda: declare(Annotated[int, MultipleOf(0)]), "MultipleOf(0) cannot be asked of int"),
    (lambda: declare(Annotated[int, Collation("C")]), "write Collation on str alone"),
    (
        lambda: declare(int, []),
        "Wrong.field: all instances would share this list: write Field(default_factory=list)",
    ),
    (lambda: declare(int, Field(default=1, default_factory=int)), "both default and default_factory"),
    # Options
    (
        lambda: declare(int, Field(on_delete=SET_NULL)),
        "on_delete= is an option of a relation, which this is not",
    ),
    (lambda: declare(ForeignKey[Author], Field(db_default="1")), "db_default= is an option of a column"),
    (
        lambda: declare(Related[Author], Field(related_name="x")),
        "related_name= is an option of the forward relation",
    ),
    (lambda: declare(ForeignKey[Author], 5), "the default of a relation can only be None"),
    (lambda: declare(str, Field(version=True)), "Wrong.field: a version is an int"),
    (lambda: declare(int, table_name="x"), "Wrong.Meta has no option 'table_name'; did you mean 'table'?"),
    (lambda: declare(int, db_table="x"), "Wrong.Meta has no option 'db_table'; write table"),
    (lambda: declare(int, ordering="a"), "Wrong.Meta.ordering must be a list or tuple, not str"),
    (lambda: declare(int, table=5), "Wrong.Meta.table must be a str"),
    # Keys
    (
        lambda: declare(int, primary_key=("feild",)),
        "Wrong.Meta.primary_key names 'feild'; did you mean 'field'?",
    ),
    (
        lambda: declare(int | None, Field(primary_key=True)),
        "Wrong.field is part of the primary key and must not be None",
    ),
    (lambda: declare(str, name="id"), "Wrong has no primary key; if it is id: Field(primary_key=True)"),
    (lambda: declare(int, Field(column="id")), "Wrong.field and Wrong.id have the same column 'id'"),
    (lambda: declare(int, Field(column="x" * 64)), "is longer than 63 bytes"),
    # Relations
    (lambda: declare(ForeignKey), "Wrong.field: ForeignKey of which model? Write ForeignKey[Author]"),
    (lambda: declare(ForeignKey[Plain]), "Wrong.field: ForeignKey[Plain] points at no model"),
    (lambda: declare(ForeignKey[Base]), "Wrong.field points at Base, which is abstract: it has no table"),
    (lambda: declare(ManyToMany[Author | None]), "Wrong.field: ManyToMany[…] has no None"),  # type: ignore[type-var]
    (
        lambda: declare(ForeignKey[Author], Field(related_name="name")),
        "related_name='name' is a column of Author",
    ),
    (lambda: declare(ForeignKey[Author], Field(related_name="objects")), "every model has a 'objects'"),
    (lambda: declare(ForeignKey[Author], Field(related_name="a__b")), "Wrong.a__b"),
    (Index, "an Index has at least one field"),
    (lambda: Index("a", opclasses=["x", "y"]), "one operator class for each of its 1 fields"),
    (lambda: UniqueConstraint("a", where="b", deferrable=True), "an index, which cannot be deferrable"),
    (lambda: ExclusionConstraint(("a", "; DROP")), "'; DROP' is no operator of the database"),
]


@pytest.mark.parametrize(("make", "text"), WRONG)
def test_a_wrong_declaration_is_refused(make: Callable[[], object], text: str) -> None:
    with pytest.raises(ModelDeclarationError) as caught:
        make()
    assert text in str(caught.value)


def test_a_field_without_annotation_is_refused() -> None:
    with pytest.raises(
        ModelDeclarationError, match=r"Wrong.size = Field\(…\) has no annotation: write size: int"
    ):

        class Wrong(Model):
            size = Field()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (int, "int"),
        (datetime, "datetime"),
        (int | None, "int | None"),
        (list[int], "list[int]"),
        (Annotated[str, Collation("C")], "Annotated[str, …]"),
        (Annotated[str, Collation("C")] | None, "Annotated[str, …] | None"),
        (ForeignKey[Author], "ForeignKey[Author]"),
        (ManyToMany["Author"], "ManyToMany[Author]"),
        (OneToOne, "OneToOne"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_type_behind_an_equals_sign_is_refused(value: Any, said: str) -> None:
    with pytest.raises(ModelDeclarationError) as caught:
        ModelMeta("Wrong", (Model,), {"__module__": __name__, "__qualname__": "Wrong", "pages": value})
    assert str(caught.value) == f"Wrong.pages = {said} declares nothing: write pages: {said}"


@pytest.mark.parametrize(
    "annotation",
    [
        Annotated[str, MaxLen(4), MinLen(1), Ge("a")],
        Annotated[bytes, MaxLen(4)],
        Annotated[list[str], MaxLen(4)],
        Annotated[dict[str, Any], MaxLen(4)],
        Annotated[Any, JSONB, MaxLen(4)],
        Annotated[str, SqlType("interval", "other"), MinLen(1)],
        Annotated[str, Bit(4), MaxLen(4)],
        Annotated[Decimal, Ge(0), Lt(2.5), MultipleOf(Decimal("0.1"))],
        Annotated[float, Ge(0), MultipleOf(0.5)],
        Annotated[Number, Ge(0)],
        Annotated[datetime, Ge(datetime(2000, 1, 1, tzinfo=UTC))],
        Annotated[datetime, Timestamp, Ge(datetime(2000, 1, 1))],
        Annotated[date, Ge(date(2000, 1, 1))],
        Annotated[time, TimeTz, Ge(time(tzinfo=UTC))],
        Annotated[timedelta, Gt(timedelta())],
    ],
    ids=lambda _: "",
)
def test_demands_that_fit_their_types_are_taken(annotation: Any) -> None:
    assert declare(annotation)._table.by_name["field"].rules


def test_what_stands_in_a_class_body_beside_fields_is_left_alone() -> None:
    class Fine(Model):
        class Kind(StrEnum):
            A = "a"

        from datetime import date

        Title = Annotated[str, Collation("C")]
        kind: Kind = Kind.A
        title: Title
        reads: ClassVar[type] = int
        _type = int
        tint = Tint
        plain = Plain
        words = ("a", "b")
        numbers: ClassVar = [1]

    assert list(Fine._table.by_name) == ["id", "kind", "title"]
    assert (Fine.reads, Fine._type, Fine.tint, Fine.plain) == (int, int, Tint, Plain)


def test_inheriting_from_a_table_is_refused() -> None:
    with pytest.raises(
        ModelDeclarationError, match=r"Special inherits from Author, which has a table.*OneToOne\[Author\]"
    ):

        class Special(Author):
            pass


def test_two_models_for_one_table_are_refused_by_name() -> None:
    class One(Model):
        class Meta:
            table = "same"

    with pytest.raises(
        ModelDeclarationError, match=r"Other and .*One are both declared for the table 'same'"
    ):

        class Other(Model):
            class Meta:
                table = "same"

    class Elsewhere(Model):
        class Meta:
            table = "same"
            schema = "of_its_own"

    assert (One._table.name, Elsewhere._table.schema) == ("same", "of_its_own")


def test_a_class_that_is_declared_again_takes_the_place_of_its_former_self() -> None:
    def declare_both() -> tuple[type[Model], type[Model]]:
        class Target(Model):
            name: str

        class Source(Model):
            target: ForeignKey["Target"] = Field(related_name="sources")

        return Target, Source

    first, _ = declare_both()
    target, source = declare_both()
    assert target is not first
    assert source._table.relations["target"].target is target
    assert target._table.relations["sources"].target is source


def test_a_field_does_not_hide_a_method() -> None:
    class Sized:
        __slots__ = ()

        def size(self) -> int:
            return 1

    with pytest.raises(ModelDeclarationError, match=r"Wrong.size hides Sized.size, which is no field"):

        class Wrong(Sized, Model):
            size: int  # type: ignore[assignment]


def test_a_target_that_is_not_declared_names_the_nearest() -> None:
    wrong = declare(ForeignKey["Autor"])  # type: ignore[name-defined]
    with pytest.raises(
        FieldError, match=r"Wrong.field points at 'Autor', and no model.*did you mean 'Author'"
    ):
        _ = wrong._table.relations["field"].target


def test_a_name_that_two_models_have_is_refused() -> None:
    class Here(Model):
        pass

    def inside() -> type[Model]:
        class Here(Model):
            other: ForeignKey["Here"] | None = None

        return Here

    # The nearest one is meant; that is the class itself.
    nested = inside()
    assert nested._table.relations["other"].target is nested
    assert Here._table.relations == {}


def test_a_way_back_that_may_be_two_is_refused() -> None:
    class Team(Model):
        games: Related["Game"]

    class Game(Model):
        home: ForeignKey[Team]
        guest: ForeignKey[Team]

    with pytest.raises(
        FieldError, match=r"Team.games may be the way back of Game.home, Game.guest: say which by"
    ):
        _ = Team._table.relations["games"].ends
    # The forward ones work nevertheless.
    assert Game._table.relations["home"].reverse is None


def test_a_way_back_that_there_is_none_of_is_refused() -> None:
    class Far(Model):
        near: ForeignKey["Near"] = Field(related_name="others")

    class Near(Model):
        fars: Related["Far"]
        one: RelatedOne["Far"]
        plain: Related["Author"]

    with pytest.raises(
        FieldError, match=r"Near.fars: Far has no relation to Near .*Far.near has related_name='others'"
    ):
        _ = Near._table.relations["fars"].ends
    with pytest.raises(FieldError, match=r"Near.plain: Author has no relation to Near"):
        _ = Near._table.relations["plain"].ends


def test_one_where_there_may_be_many_is_refused() -> None:
    class Owner(Model):
        car: RelatedOne["Car"]

    class Car(Model):
        owner: ForeignKey[Owner]

    with pytest.raises(
        FieldError, match=r"Owner.car is one Car, and Car.owner allows many: write Related\[…\]"
    ):
        _ = Owner._table.relations["car"].ends
    assert Car._table.relations["owner"].reverse is None


def test_a_model_between_with_too_many_keys_names_them() -> None:
    class Person(Model):
        pass

    class Group(Model):
        members: ManyToMany[Person] = Field(through="Membership")
        invited: ManyToMany[Person] = Field(through="Membership", through_fields=("group", "inviter"))
        wrong: ManyToMany[Person] = Field(through="Membership", through_fields=("group", "invitor"))
        other: ManyToMany[Person] = Field(through="Other")

    class Membership(Model):
        group: ForeignKey[Group]
        person: ForeignKey[Person]
        inviter: ForeignKey[Person]

    class Other(Model):
        group: ForeignKey[Group]

    relations = Group._table.relations
    with pytest.raises(
        FieldError, match=r"two of Membership.group, Membership.person, Membership.inviter: say which"
    ):
        _ = relations["members"].ends
    assert relations["invited"].through_far is Membership._table.relations["inviter"]
    with pytest.raises(
        FieldError, match=r"names 'invitor', which is no foreign key .*; there are person, inviter"
    ):
        _ = relations["wrong"].ends
    with pytest.raises(FieldError, match="goes through Other, which has no foreign key to Person"):
        _ = relations["other"].ends


def test_a_composite_target_that_comes_later_needs_its_columns_named() -> None:
    class Line(Model):
        part: ForeignKey["Part"]
        made: ForeignKey["Part"] = Field(columns=("maker", "made_number"), related_name="+")
        maker: str

    class Part(Model):
        maker: str
        number: int

        class Meta:
            primary_key: ClassVar = ("maker", "number")

    with pytest.raises(
        FieldError, match=r"Line.part has 1 column, .*Field\(columns=\('part_maker', 'part_number'\)\)"
    ):
        _ = Line._table.relations["part"].ends
    assert [one.name for one in Line._table.relations["made"].locals] == ["maker", "made_number"]
    assert Line._table.column("made_number").type.sql == "bigint"


def test_an_abstract_model_has_no_rows() -> None:
    with pytest.raises(ModelDeclarationError, match="Base is abstract"):
        Base()
    with pytest.raises(ModelDeclarationError, match="Base is abstract"):
        _ = Base.objects
    with pytest.raises(AttributeError, match=r"Author.objects"):
        _ = Author(name="a").objects


def test_a_related_name_is_taken_once() -> None:
    class Target(Model):
        pass

    class One(Model):
        target: OneToOne[Target] = Field(related_name="source")

    with pytest.raises(
        ModelDeclarationError, match=r"Other.target: related_name='source' is taken by Target.source"
    ):

        class Other(Model):
            target: OneToOne[Target] = Field(related_name="source")

    assert Target._table.relations["source"].target is One
