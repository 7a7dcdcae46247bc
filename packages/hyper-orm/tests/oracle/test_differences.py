"""docs/orm/differences.md: each line of its table has a test, here or as a case of the tables of queries."""

import re
from collections.abc import Callable
from datetime import datetime, time
from pathlib import Path
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo

import pytest
from bookshop import models as shop
from django.core.exceptions import ObjectDoesNotExist
from django.db.transaction import TransactionManagementError
from django.utils import timezone
from hyperdjango.models import FieldError, NotLoaded, OnDelete, QuerySet, StaleObject, ValidationError

from oracle.compare import Case
from oracle.queries.writes import DELETES
from oracle.sides import Ours, Theirs
from oracle.test_queries import SUBJECTS

PAGE: Final = Path(__file__).resolve().parents[4] / "docs/orm/differences.md"
T = TypeVar("T", bound=Callable[..., Any])
tested: set[str] = set()


def row(name: str) -> Callable[[T], T]:
    """Mark a test as the one of a line."""

    def marked(function: T) -> T:
        tested.add(name)
        return function

    return marked


@row("`order_by()` over a relation to many")
def test_an_order_over_to_many_is_refused(ours: Ours, theirs: Theirs) -> None:
    assert len(theirs.run(lambda m: m.Author.objects.order_by("books__price"))) > 600
    with pytest.raises(FieldError, match="many rows"):
        ours.Author.objects.order_by("books__price")


@row("`annotate()` with an aggregate of the row's own columns")
def test_an_aggregate_of_the_rows_own_columns_is_refused(ours: Ours, theirs: Theirs) -> None:
    assert theirs.run(lambda m: m.Genre.objects.annotate(x=m.Max("name")).filter(pk=1))[0].x == "fiction"
    with pytest.raises(FieldError, match=r"values\(…\) before it"):
        ours.Genre.objects.annotate(x=ours.Max("name"))


@row("An order or a condition on what the rows of a group do not share")
def test_what_the_rows_of_a_group_do_not_share_is_refused(ours: Ours, theirs: Theirs) -> None:
    def counted(m: Any) -> Any:
        return m.Book.objects.order_by().values("binding").annotate(n=m.Count("pk"))

    assert len(theirs.run(counted)) == 3
    assert len(theirs.run(lambda m: counted(m).order_by("genre"))) > 3
    with pytest.raises(FieldError, match="grouped by binding"):
        counted(ours).order_by("genre")
    with pytest.raises(FieldError, match="grouped by binding"):
        counted(ours).filter(ours.Q(n=1) | ours.Q(pages=1))


@row('A value of another class in a lookup: `filter(pages="300")`')
def test_a_value_of_another_class_is_refused(ours: Ours, theirs: Theirs) -> None:
    theirs.run(lambda m: m.Book.objects.filter(pages="300"))
    with pytest.raises(FieldError, match="pages is compared with str"):
        ours.Book.objects.filter(pages="300")


@row("`select_for_update()` outside of a transaction")
def test_rows_are_locked_for_a_statement(ours: Ours, theirs: Theirs) -> None:
    with pytest.raises(TransactionManagementError):
        theirs.run(lambda m: m.Genre.objects.select_for_update().filter(pk=1))
    assert [genre.id for genre in ours.run(lambda m: m.Genre.objects.select_for_update().filter(pk=1))] == [1]


@row("`filter()` by a window function")
def test_a_filter_by_a_window_is_refused(ours: Ours, theirs: Theirs) -> None:
    def ranked(m: Any) -> Any:
        return m.Genre.objects.annotate(x=m.Window(m.RowNumber(), order_by="id"))

    assert len(theirs.run(lambda m: ranked(m).filter(x__lt=3))) == 2
    with pytest.raises(FieldError, match="window"):
        ranked(ours).filter(x__lt=3)


@row("`queryset & queryset`, `queryset | queryset`")
def test_querysets_are_not_combined_by_operators(ours: Ours) -> None:
    with pytest.raises(TypeError, match="Q"):
        ours.Genre.objects.filter(id=1) & ours.Genre.objects.filter(id=2)
    with pytest.raises(TypeError, match="Q"):
        ours.Genre.objects.filter(id=1) | ours.Genre.objects.filter(id=2)


@row("`queryset[3]`")
def test_a_queryset_has_no_single_items(ours: Ours, theirs: Theirs) -> None:
    assert theirs.Genre.objects.order_by("id")[3].id == 4
    with pytest.raises(TypeError, match="I/O"):
        ours.Genre.objects.order_by("id")[3]


@row("What reads or writes")
def test_what_reads_is_awaited(ours: Ours, theirs: Theirs) -> None:
    assert theirs.Genre.objects.get(pk=3).name == ours.run(lambda m: m.Genre.objects.get(pk=3)).name
    with pytest.raises(TypeError):
        list(ours.Genre.objects.all())


@row("Rows of a queryset")
def test_a_second_await_asks_again(ours: Ours) -> None:
    async def steps() -> tuple[int, int]:
        transaction = ours.database.transaction()
        await transaction.__aenter__()
        try:
            queryset = ours.Genre.objects.filter(name__startswith="new")
            before = len(await queryset)
            await ours.Genre.objects.create(name="new")
            return before, len(await queryset)
        finally:
            await transaction.__aexit__(KeyError, KeyError(), None)

    assert ours.runner.run(steps()) == (0, 1)


@row("Relations of an instance that were not fetched")
def test_a_relation_that_was_not_fetched_is_not_read(ours: Ours, theirs: Theirs) -> None:
    assert theirs.Book.objects.get(pk=1).author.name
    book = ours.run(lambda m: m.Book.objects.get(pk=1))
    with pytest.raises(NotLoaded, match="select_related"):
        _ = book.author
    with pytest.raises(NotLoaded, match="prefetch_related"):
        len(book.tags)
    assert book.author_id


@row("Columns that were left out by `only()` or `defer()`")
def test_a_column_that_was_left_out_is_not_read(ours: Ours, theirs: Theirs) -> None:
    assert theirs.Book.objects.only("title").get(pk=1).price
    both = ours.Book.objects.only("title"), ours.Book.objects.defer("price")
    for book in [ours.run(lambda _: queryset.get(pk=1)) for queryset in both]:  # noqa: B023 - run at once
        with pytest.raises(NotLoaded, match="price"):
            _ = book.price


@row("Reverse relations")
def test_a_reverse_relation_that_nobody_named_is_not_there(ours: Ours) -> None:
    # Order.coupon's neighbour: nothing leads from a Country to its publishers' imprints but by what is declared.
    with pytest.raises(FieldError, match="contribution"):
        ours.Customer.objects.filter(contribution_set__id=1)
    with pytest.raises(FieldError, match="book_set"):
        ours.Author.objects.filter(book_set__id=1)


@row("`on_delete`")
def test_on_delete_is_no_action_unless_it_is_given() -> None:
    assert shop.Publisher._table.relations["parent"].on_delete is OnDelete.SET_NULL
    assert shop.Genre._table.relations["parent"].on_delete is OnDelete.CASCADE

    from hyperdjango.models import Field, ForeignKey, Model

    class Receipt(Model):
        order: ForeignKey[shop.Order] = Field(index=False)

    assert Receipt._table.relations["order"].on_delete is OnDelete.NO_ACTION


@row("`save()` of a loaded instance")
def test_save_writes_what_was_changed(ours: Ours) -> None:
    statements: list[str] = []

    async def steps() -> str | None:
        transaction = ours.database.transaction()
        await transaction.__aenter__()
        try:
            first, second = [await ours.Author.objects.get(pk=3) for _ in range(2)]
            first.name, second.rating = "first", 4.25
            await first.save()
            await second.save()
            await second.save()
            found = await ours.Author.objects.get(pk=3)
            return f"{found.name} {found.rating}"
        finally:
            await transaction.__aexit__(KeyError, KeyError(), None)

    ours.database.on_query(lambda event: statements.append(event.sql))
    assert ours.runner.run(steps()) == "first 4.25"
    updates = [one for one in statements if one.startswith("UPDATE")]
    assert len(updates) == 2
    assert "email" not in updates[0]


@row("`save()` of a new instance with a key")
def test_save_of_a_new_instance_inserts(ours: Ours) -> None:
    from hyperdjango.database import UniqueViolation

    with pytest.raises(UniqueViolation):
        ours.undone(
            lambda m: m.Country(code="de", name="Another").save(), lambda m: m.Country.objects.count()
        )


@row("Wrong values in `save()`")
def test_wrong_values_are_not_sent(ours: Ours) -> None:
    for name in ("x" * 51, 3):
        with pytest.raises(ValidationError, match="name"):
            ours.undone(lambda m: m.Genre(name=name).save(), lambda m: m.Genre.objects.count())  # noqa: B023 - at once


@row("Columns with a fixed set of values")
def test_members_come_back(ours: Ours, theirs: Theirs) -> None:
    ours_binding = ours.run(lambda m: m.Book.objects.get(pk=1)).binding
    assert type(ours_binding) is shop.Binding
    assert ours_binding == theirs.Book.objects.get(pk=1).binding


@row("Many to many without a model between")
def test_the_table_between_has_no_id() -> None:
    between = shop.Book._table.relations["tags"].through
    assert between is not None
    assert [column.name for column in between._table.columns] == ["book_id", "tag_id"]
    assert [column.name for column in between._table.primary_key] == ["book_id", "tag_id"]


@row("A far row that the through table links twice")
def test_aggregates_and_values_count_each_link_as_they_do_in_django(ours: Ours, theirs: Theirs) -> None:
    def linked_twice(m: Any) -> Any:
        counted = m.Contribution.objects.order_by().values("book", "author").annotate(n=m.Count("pk"))
        return counted.filter(n=2).values_list("book", "author")

    book, author = min(ours.run(linked_twice))

    def counts(m: Any) -> Any:
        links, authors = m.Count("contributors"), m.Count("contributors", distinct=True)
        return m.Book.objects.filter(pk=book).annotate(a=links, b=authors).values_list("a", "b")

    def names(m: Any) -> Any:
        return m.Book.objects.order_by().filter(pk=book).values_list("title", "contributors")

    ((links, authors),) = ours.run(counts)
    assert links > authors
    assert list(theirs.run(counts)) == [(links, authors)]
    for side in (ours, theirs):
        assert [key for _, key in side.run(names)].count(author) == 2
        assert [key for _, key in side.run(lambda m: names(m).distinct())].count(author) == 1


@row("The time zone of `__date`, `__year`, `__hour`, `Trunc…`, and of a date beside a `timestamptz`")
def test_the_zone_of_dates_is_the_sessions(ours: Ours, theirs: Theirs) -> None:
    zone = ZoneInfo("Asia/Tokyo")
    review: Any = ours.run(lambda m: m.Review.objects.exclude(written=None).order_by("written")[500:501])[0]
    there = review.written.astimezone(zone)
    day = there.date()
    midnight = datetime.combine(day, time(), zone)

    def at(m: Any) -> Any:
        return m.Review.objects.filter(
            pk=review.pk, written__hour=there.hour, written__date=day, written__year=there.year
        )

    with timezone.override(zone):
        assert len(theirs.run(at)) == 1
        assert len(ours.run(at)) == 0

    async def in_the_zone() -> None:
        async with ours.database.transaction():
            await ours.database.execute("SET LOCAL TimeZone TO 'Asia/Tokyo'")
            assert await at(ours).count() == 1
            reviews: Any = ours.Review.objects
            assert (
                await reviews.filter(written__gte=day).count()
                == await reviews.filter(written__gte=midnight).count()
            )
            cut = await reviews.filter(pk=review.pk).values_list(ours.TruncDay("written"), flat=True)
            assert cut == [midnight]

    ours.runner.run(in_the_zone())


@row('An expression as an instance\'s value: `book.pages = F("pages") + 1`, then `save()`')
def test_an_instance_holds_values(ours: Ours) -> None:
    async def steps() -> None:
        book = await ours.Book.objects.order_by("pk").first()
        book.pages = ours.F("pages") + 1
        await book.save()

    with pytest.raises(ValidationError, match=r"pages: is an expression; queryset\.update\(\)"):
        ours.runner.run(steps())


@row("`latest()` and `earliest()`")
def test_latest_takes_names(ours: Ours) -> None:
    with pytest.raises(FieldError, match="names"):
        ours.run(lambda m: m.Book.objects.latest())


@row("A foreign key whose row a `Prefetch` queryset leaves out")
def test_a_target_that_a_prefetch_leaves_out_is_not_loaded(ours: Ours, theirs: Theirs) -> None:
    def none(m: Any) -> Any:
        return m.Book.objects.prefetch_related(m.Prefetch("author", queryset=m.Author.objects.filter(pk=-1)))

    with pytest.raises(ObjectDoesNotExist, match="has no author"):
        _ = none(theirs).get(pk=1).author
    book = ours.run(lambda m: none(m).get(pk=1))
    with pytest.raises(NotLoaded, match="author"):
        _ = book.author


@row("`save()` of a loaded instance whose key was changed")
def test_another_key_is_another_row(ours: Ours) -> None:
    async def steps() -> None:
        author = await ours.Author.objects.get(pk=3)
        author.id = 4
        await author.save()

    with pytest.raises(FieldError, match="key"):
        ours.runner.run(steps())


@row("`save()` of a loaded instance whose row is gone")
def test_a_row_that_is_gone_does_not_come_back(ours: Ours) -> None:
    async def steps() -> None:
        async with ours.database.transaction():
            tag = await ours.Tag.objects.order_by("pk").first()
            await ours.Tag.objects.filter(pk=tag.pk).delete()
            tag.label = "again"
            await tag.save()

    with pytest.raises(StaleObject, match="Tag"):
        ours.runner.run(steps())


@row("Left out")
def test_what_is_left_out_is_not_there() -> None:
    assert not hasattr(QuerySet, "extra")


def departures() -> set[str]:
    cases = [case for table in SUBJECTS.values() for case in table.values() if isinstance(case, Case)]
    return {one.departs for one in cases if one.departs} | {
        one.departs for one in DELETES.values() if one.departs
    }


def test_each_line_of_the_table_has_a_test() -> None:
    lines = re.findall(r"^\| ((?:[^|\\]|\\.)+?) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    named = {line.replace("\\|", "|") for line in lines[1:]}
    assert named == departures() | tested
