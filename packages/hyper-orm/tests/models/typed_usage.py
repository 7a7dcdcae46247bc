# pyright: strict, reportUnnecessaryTypeIgnoreComment=true, reportPrivateUsage=false
"""Typed usage, for mypy and pyright in strict mode without a plugin. It is checked, never run.

`assert_type` says what a user's editor must know; a line with `type: ignore` is one that both must refuse: an
ignore that nothing needs is an error itself.
"""

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from ipaddress import IPv4Address
from typing import Annotated, Any, Self, assert_type

from hyperdjango.dataloader import DataLoader
from hyperdjango.models import (
    Count,
    F,
    Field,
    ForeignKey,
    Jsonb,
    Manager,
    ManyToMany,
    MaxLen,
    Model,
    MultiRange,
    OneToOne,
    Param,
    Prefetch,
    Q,
    QuerySet,
    Range,
    Related,
    RelatedOne,
    SmallInt,
    VectorSize,
    Version,
)
from hyperdjango.models.relations import RelatedSet


class Author(Model):
    id: int = Field(primary_key=True, init=False)
    name: Annotated[str, MaxLen(100)]
    born: date | None = None
    books = Related["Book"]()
    profile = RelatedOne["Profile"]()


class Profile(Model):
    author: OneToOne[Author]
    bio: str = ""


class Tag(Model):
    name: str


class BookQuerySet(QuerySet["Book"]):
    def cheap(self) -> Self:
        return self.filter(price__lt=10)


class BookManager(Manager["Book"]):
    def cheap(self) -> Self:
        return self.filter(price__lt=10)


class Book(Model):
    title: str
    author: ForeignKey[Author]
    author_id: int = Field(init=False)
    editor: ForeignKey[Author | None] = Field(default=None)
    price: Decimal = Decimal(0)
    tags = ManyToMany[Tag]()

    objects = BookManager()


class Binding(StrEnum):
    HARD = "hard"


class Sample(Model):
    """The kinds of columns; its target comes later."""

    book: ForeignKey["Later"]
    book_id: int = Field(init=False)
    small: Annotated[int, SmallInt]
    binding: Binding
    words: list[str] = Field(default_factory=list)
    data: Jsonb[dict[str, int]] = Field(default_factory=dict)
    sold: Range[date] | None = None
    free: MultiRange[int] | None = None
    embedding: Annotated[list[float], VectorSize(3)] = Field(default_factory=list)
    address: IPv4Address | None = None
    made: datetime = Field(db_default="now()", init=False)
    version: Version = 1


class Later(Model):
    samples = Related["Sample"]()


def columns(later: Later) -> None:
    sample = Sample(book=later, small=3, binding=Binding.HARD, embedding=[1.0])
    assert_type(sample.book, Later)
    assert_type(sample.small, int)
    assert_type(sample.binding, Binding)
    assert_type(sample.words, list[str])
    assert_type(sample.data, dict[str, int])
    assert_type(sample.sold, Range[date] | None)
    assert_type(sample.free, MultiRange[int] | None)
    assert_type(sample.embedding, list[float])
    assert_type(sample.address, IPv4Address | None)
    assert_type(sample.made, datetime)
    assert_type(sample.version, int)
    Sample(book=later, small="3", binding=Binding.HARD)  # type: ignore[arg-type]
    Sample(book=later, small=3, binding="hard")  # type: ignore[arg-type]
    Sample(book=later, small=3, binding=Binding.HARD, data={"a": "b"})  # type: ignore[dict-item]
    Sample(book=later, small=3, binding=Binding.HARD, made=datetime.now())  # type: ignore[call-arg]
    Sample(book_id=3, small=3, binding=Binding.HARD)  # type: ignore[call-arg]
    sample.words = "x"  # type: ignore[assignment]


def constructors(author: Author) -> None:
    Author(name="x")
    Author(name="x", born=date(2000, 1, 1))
    Book(title="x", author=author)
    Book(title="x", author=Author.ref(3), editor=author, price=Decimal(1))
    Author()  # type: ignore[call-arg]
    Author("x")  # type: ignore[call-arg]
    Author(name=3)  # type: ignore[arg-type]
    Author(name="x", nmae="y")  # type: ignore[call-arg]
    Book(title="x", author=Tag(name="y"))  # type: ignore[arg-type]
    Book(title="x", author=None)  # type: ignore[arg-type]


def attributes(book: Book, author: Author, profile: Profile) -> None:
    assert_type(book.title, str)
    assert_type(book.author, Author)
    assert_type(book.author.name, str)
    assert_type(book.author_id, int)
    assert_type(book.editor, Author | None)
    assert_type(author.born, date | None)
    assert_type(author.id, int)
    assert_type(author.books, RelatedSet[Book])
    assert_type(author.profile, Profile | None)
    assert_type(profile.author, Author)
    assert_type(book.tags, RelatedSet[Tag])
    for one in author.books:
        assert_type(one, Book)
    book.title = 3  # type: ignore[assignment]
    book.author = Tag(name="x")  # type: ignore[assignment]
    book.editor = None
    print(book.titel)  # type: ignore[attr-defined]


async def querysets() -> None:
    assert_type(await Author.objects.all(), list[Author])
    assert_type(await Author.objects.filter(name="x").order_by("-name")[:3], list[Author])
    assert_type(await Author.objects.get(name="x"), Author)
    assert_type(await Author.objects.get_or_none(name="x"), Author | None)
    assert_type(await Author.objects.first(), Author | None)
    assert_type(await Author.objects.latest("born"), Author)
    assert_type(await Author.objects.count(), int)
    assert_type(await Author.objects.exists(), bool)
    assert_type(await Author.objects.values("name"), list[dict[str, Any]])
    assert_type(await Author.objects.values_list("name"), list[tuple[Any, ...]])
    assert_type(await Author.objects.values_list("name", flat=True), list[Any])
    assert_type(await Author.objects.in_bulk([1]), dict[Any, Author])
    assert_type(await Author.objects.aggregate(n=F("id")), dict[str, Any])
    assert_type(await Author.objects.create(name="x"), Author)
    assert_type(await Author.objects.get_or_create(name="x"), tuple[Author, bool])
    assert_type(Author.objects.all().model, type[Author])
    async for author in Author.objects.filter(Q(name="x") | Q(born=None)):
        assert_type(author, Author)
    async for row in Author.objects.values("name").iterator(10):
        assert_type(row, dict[str, Any])
    await Author.objects.filter(3)  # type: ignore[arg-type]
    Author.objects.fliter(name="x")  # type: ignore[attr-defined]
    await Author.objects.values_list("name", flat=True, named=True)  # type: ignore[call-overload]
    Author.objects[3]  # type: ignore[index]


async def more_of_querysets(author: Author, book: Book) -> None:
    assert_type(await author.books.filter(title="x"), list[Book])
    assert_type(await author.books.create(title="x"), Book)
    assert_type(await Author.objects.update_or_create(name="x"), tuple[Author, bool])
    assert_type(await Author.objects.raw("SELECT 1"), list[Author])
    assert_type(await Author.objects.dates("born", "year"), list[date])
    assert_type(await Author.objects.union(Author.objects.none()), list[Author])
    assert_type(await Author.objects.annotate(n=Count("books")).distinct("name"), list[Author])
    assert_type(await Author.objects.filter(name=Param("name")).prepare()(name="x"), list[Author])
    assert_type((await Author.objects.order_by("name").page(size=3)).items, list[Author])
    assert_type(Author.objects.filter(name="x").to_sql(), tuple[str, tuple[Any, ...]])
    assert_type((await Book.objects.bulk_create([book])).inserted, list[bool])
    assert_type(await Book.objects.bulk_update([book], ["title"]), int)
    assert_type(await author.delete(), int)
    async for piece in Author.objects.stream_json():
        assert_type(piece, bytes)
    for fetched in await Author.objects.prefetch_related(Prefetch("books", Book.objects.cheap())):
        assert_type(fetched, Author)
    Author.objects.with_cte("x", 3)  # type: ignore[arg-type]
    Author.objects.select_for_update(nowiat=True)  # type: ignore[call-arg]
    Author.objects.using(3)  # type: ignore[arg-type]
    Author.objects.limit("x")  # type: ignore[arg-type]
    Author.objects.dates("born", "yaer")  # type: ignore[arg-type]
    Prefetch(3)  # type: ignore[arg-type]
    F(3)  # type: ignore[arg-type]


async def custom_managers() -> None:
    assert_type(await Book.objects.cheap().filter(title="x").cheap(), list[Book])
    assert_type(await BookQuerySet(Book).cheap().order_by("title"), list[Book])


async def expressions() -> None:
    await Book.objects.filter(Book.c.price > 10, ~(Book.c.title == "x"))
    await Book.objects.filter((F("price") * 2 > 10) & Q(title="x"))


async def instances(book: Book) -> None:
    assert_type(await book.save(), None)
    assert_type(book.model_dump(), dict[str, Any])
    assert_type(book.model_dump_json(), str)
    assert_type(Book.model_validate({}), Book)
    assert_type(Book.ref(3), Book)
    await book.load("author", "tags")


async def loaders() -> None:
    assert_type(Author.objects.loader("id"), DataLoader[Any, Author | None])
    assert_type(Book.objects.filter(title="x").loader("author_id", many=True), DataLoader[Any, list[Book]])
    assert_type(await Author.objects.loader("id", max_batch_size=5).load(3), Author | None)
    Author.objects.loader("id", batch_size=5)  # type: ignore[call-overload]
