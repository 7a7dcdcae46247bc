"""The part of QuerySet that reads in other ways: by pages, as JSON, prepared, and by loaders."""

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

from hyperdjango.models import _json_stream, _loader, _paging
from hyperdjango.models._awaiting import CHUNK, Awaiting
from hyperdjango.models._chain import M_co, R_co
from hyperdjango.models._paging import Page
from hyperdjango.models._prepared import Prepared
from hyperdjango.models._scatter import CONCURRENCY, Scattered

if TYPE_CHECKING:
    from hyperdjango.dataloader import DataLoader, Options

PAGE_SIZE = 50


class Reading(Awaiting[M_co, R_co]):
    """A base of QuerySet."""

    __slots__ = ()

    async def page(self, after: str | None = None, size: int = PAGE_SIZE) -> Page[R_co]:
        """Return the rows behind a cursor, in the queryset's order and then by the primary key.

        Args:
            after: `page.next` of the page before; None for the first. It may come from outside.
            size: How many rows.
        Returns:
            The rows, and the cursor of the next page.
        Raises:
            InvalidCursor: `after` is no cursor of these rows in this order; a ValueError.
            FieldError: The queryset has no order that can be gone on in.
        """
        return await _paging.page(self, after, size)

    def stream_json(self, chunk: int = CHUNK) -> AsyncGenerator[bytes, None]:
        """Yield the rows as one JSON array of objects, in pieces of `chunk` rows, in little memory.

        The backend writes each row, by attribute, or as values() names them: `functions-json`, "row_to_json".

        Returns:
            UTF-8, which is JSON when all pieces are put together.
        Raises:
            FieldError: select_related() or prefetch_related() were asked for.
        """
        return _json_stream.stream_json(self, chunk)

    def prepare(self) -> Prepared[R_co]:
        """Return a function of the values that `Param`s in it stand for; nothing is built when it is called.

        `cheap = Book.objects.filter(price__lt=Param("max")).prepare()`, then `await cheap(max=10)`.
        """
        return Prepared(self)

    def scatter(self, concurrency: int = CONCURRENCY) -> Scattered[R_co]:
        """All shards of a sharded model at once; it comes last. Of a model that is not sharded, its one database.

        `await`, `async for`, `first`, `get`, `count`, `exists`, `aggregate`, `update` and `delete` then are over
        all of them. Order, slices and `distinct()` hold for all rows together; text is ordered by code points.

        Args:
            concurrency: How many shards are asked at once.
        Raises:
            FieldError: Something cannot be done over several databases; the text says what to do instead.
        """
        return Scattered(self, concurrency)

    @overload
    def loader(
        self, field: str, *, many: Literal[False] = False, **options: "Unpack[Options]"
    ) -> "DataLoader[Any, R_co | None]": ...
    @overload
    def loader(
        self, field: str, *, many: Literal[True], **options: "Unpack[Options]"
    ) -> "DataLoader[Any, list[R_co]]": ...
    def loader(
        self, field: str, *, many: bool = False, **options: "Unpack[Options]"
    ) -> "DataLoader[Any, Any]":
        """Return a DataLoader of these rows by a field: `await loader.load(3)`.

        All keys that are asked for at the same time go in one statement. A key without a row gives None, with
        `many` an empty list. In a transaction block it reads there. Make one per request.

        Args:
            field: The column of the keys.
            many: Whether several rows may have the same key; then a key gives a list.
            options: Of DataLoader.
        Raises:
            ModelError: The package hyper-dataloader is not installed.
            FieldError: There is no such field, or the queryset gives no instances.
        """
        made: DataLoader[Any, Any] = _loader.loader(self, field, dict(options), many=many)
        return made


__all__ = ["Reading"]
