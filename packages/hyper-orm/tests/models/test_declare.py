"""A class body becomes a table: columns, keys and relations, in every way that annotations can come."""

from __future__ import annotations

import copy
import pickle
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, ClassVar

import pytest
from hyperdjango.models import (
    CASCADE,
    SET_NULL,
    Digits,
    Field,
    FieldError,
    ForeignKey,
    Ge,
    ManyToMany,
    MaxLen,
    Model,
    ModelDeclarationError,
    NotLoaded,
    OneToOne,
    Related,
    RelatedOne,
)

if TYPE_CHECKING:
    from hyperdjango.models._meta import Relation


class Binding(StrEnum):
    HARD = "hard"
    SOFT = "soft"


class Writer(Model):
    name: Annotated[str, MaxLen(100)]
    born: date | None = None
    books = Related["Book"]()
    profile = RelatedOne["Profile"]()


class Profile(Model):
    writer: OneToOne[Writer] = Field(on_delete=CASCADE)
    bio: str = ""


class Tag(Model):
    name: str = Field(unique=True)
    books = Related["Book"]()


class Book(Model):
    title: Annotated[str, MaxLen(200)]
    writer: ForeignKey[Writer] = Field(on_delete=CASCADE)
    editor: ForeignKey[Writer | None] = Field(related_name="edited", default=None)
    tags = ManyToMany[Tag]()
    price: Annotated[Decimal, Digits(8, 2), Ge(0)]
    binding: Binding = Binding.SOFT
    sequel_of: ForeignKey[Book] | None = None

    class Meta:
        table = "books"
        ordering: ClassVar = ["title"]


def relation(model: type[Model], name: str) -> Relation:
    return model._table.relations[name]


def test_columns_come_in_the_order_of_the_class_with_a_key_before_them() -> None:
    columns = [(one.name, one.type.sql, one.is_nullable) for one in Book._table.columns]
    assert columns == [
        ("id", "bigint", False),
        ("title", "character varying(200)", False),
        ("writer_id", "bigint", False),
        ("editor_id", "bigint", True),
        ("price", "numeric(8,2)", False),
        ("binding", '"binding"', False),
        ("sequel_of_id", "bigint", True),
    ]
    assert [one.index for one in Book._table.columns] == list(range(7))
    assert [one.name for one in Book._table.primary_key] == ["id"]
    assert Book._table.primary_key[0].identity == "BY DEFAULT"
    assert (Book._table.name, Writer._table.name, Book._table.ordering) == ("books", "writer", ("title",))


def test_both_ends_of_every_kind_of_relation_are_found() -> None:
    forward = relation(Book, "writer")
    assert forward.target is Writer
    assert [one.name for one in forward.locals] == ["writer_id"]
    assert [one.name for one in forward.remotes] == ["id"]
    assert forward.reverse is relation(Writer, "books")
    assert (forward.is_nullable, relation(Book, "editor").is_nullable) == (False, True)
    assert forward.on_delete == "CASCADE"
    back = relation(Writer, "books")
    assert (back.target, back.reverse, back.is_many) == (Book, forward, True)
    assert [one.name for one in back.remotes] == ["writer_id"]
    one = relation(Writer, "profile")
    assert (one.target, one.is_many, one.reverse) == (Profile, False, relation(Profile, "writer"))
    assert relation(Book, "sequel_of").target is Book


def test_related_name_alone_gives_the_target_its_way_back() -> None:
    back = relation(Writer, "edited")
    assert (back.target, back.reverse) == (Book, relation(Book, "editor"))
    writer = Writer(name="a")
    assert not writer.edited.is_loaded  # type: ignore[attr-defined]
    book = Book.ref(1)
    back.slot.__set__(writer, [book])
    assert list(writer.edited) == [book]  # type: ignore[attr-defined]
    back.slot.__delete__(writer)
    with pytest.raises(NotLoaded, match=r"Writer.edited is not loaded"):
        len(writer.edited)  # type: ignore[attr-defined]


def test_many_to_many_makes_the_model_of_the_table_between() -> None:
    tags = relation(Book, "tags")
    through = tags.through
    assert through is not None
    assert (through.__name__, through._table.name) == ("BookTags", "books_tags")
    assert [one.name for one in through._table.primary_key] == ["book_id", "tag_id"]
    assert tags.through_near is through._table.relations["book"]
    assert tags.through_far is through._table.relations["tag"]
    assert [one.name for one in tags.remotes] == ["book_id"]
    back = relation(Tag, "books")
    assert (back.through, back.through_near, back.through_far) == (
        through,
        tags.through_far,
        tags.through_near,
    )
    assert [one.name for one in back.remotes] == ["tag_id"]
    assert tags.reverse is back


def test_an_instance_has_its_values_its_defaults_and_nothing_else() -> None:
    writer = Writer(name="Ada")
    book = Book(title="Notes", writer=writer, price=Decimal(3))
    assert (book.title, book.binding, book.editor, writer.born) == ("Notes", Binding.SOFT, None, None)
    assert book.writer is writer
    assert not hasattr(book, "__dict__")
    assert not book._changed
    with pytest.raises(NotLoaded, match=r"Book.id has no value yet: the database gives it"):
        _ = book.id
    with pytest.raises(AttributeError, match="Book has no attribute 'titel'; did you mean 'title'"):
        _ = book.titel  # type: ignore[attr-defined]
    book.title = "More"
    assert book._changed == {"title"}


def test_a_relation_is_the_held_instance_only_while_the_key_is_its_key() -> None:
    ada, bob = Writer(name="Ada"), Writer(name="Bob")
    ada.id, bob.id = 1, 2
    book = Book(title="Notes", writer=ada, price=Decimal(3))
    assert book.writer_id == 1  # type: ignore[attr-defined]
    book.writer_id = 2  # type: ignore[attr-defined]
    with pytest.raises(NotLoaded, match=r"Book.writer"):
        _ = book.writer
    book.writer = bob
    assert book.writer is bob
    book.editor = ada
    assert book.editor_id == 1  # type: ignore[attr-defined]
    book.editor = None
    assert book.editor_id is None  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match=r"Book.writer must be a Writer, not a Book"):
        book.writer = book  # type: ignore[assignment]
    with pytest.raises(TypeError, match=r"Book.writer must not be None"):
        book.writer = None  # type: ignore[assignment]


def test_a_reference_knows_its_key_alone() -> None:
    writer = Writer.ref(3)
    assert (writer.id, writer.pk) == (3, 3)
    with pytest.raises(NotLoaded, match=r"Writer.name is not loaded: .*`await writer.load\('name'\)`"):
        _ = writer.name
    assert writer == Writer.ref(3) != Writer.ref(4)
    assert {writer: 1}[Writer.ref(3)] == 1


def test_unsaved_instances_equal_themselves_alone_and_have_no_hash() -> None:
    one, other = Writer(name="a"), Writer(name="a")
    assert one == one
    assert one != other
    with pytest.raises(TypeError, match="unhashable Writer"):
        hash(one)


def test_copies_and_pickles_hold_what_the_instance_held() -> None:
    writer = Writer(name="Ada")
    writer.id = 1
    book = Book(title="Notes", writer=writer, price=Decimal(3))
    for made in (copy.copy(book), copy.deepcopy(book), pickle.loads(pickle.dumps(book))):
        assert (made.title, made.writer, made.price) == ("Notes", writer, Decimal(3))
        with pytest.raises(NotLoaded):
            _ = made.id
    assert copy.copy(book).writer is writer
    assert copy.deepcopy(book).writer is not writer
    reference = pickle.loads(pickle.dumps(Writer.ref(3)))
    assert reference._origin is not None
    with pytest.raises(NotLoaded, match="is not loaded"):
        _ = reference.name


def test_a_constructor_names_what_it_does_not_know() -> None:
    with pytest.raises(TypeError, match=r"Writer\(\) has no attribute 'nam'; did you mean 'name'"):
        Writer(nam="x")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"Book\(\) takes no 'tags'"):
        Book(title="a", tags=[])  # type: ignore[call-arg]


def test_an_unknown_field_names_the_nearest() -> None:
    with pytest.raises(FieldError, match="Book has no field 'titel'; did you mean 'title'"):
        Book._table.column("titel")


def test_set_null_needs_a_relation_that_may_be_none() -> None:
    with pytest.raises(
        ModelDeclarationError, match=r"Wrong.writer: on_delete=SET_NULL needs ForeignKey\[… \| None\]"
    ):

        class Wrong(Model):
            writer: ForeignKey[Writer] = Field(on_delete=SET_NULL)
