"""The data of a COPY FROM STDIN, whatever it is given as, in pieces of a bounded size.

str, bytes and their like, files, iterables and async iterables of these; of what is long, slices, so that
no second copy of it is made.
"""

import asyncio
import inspect
import io
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator, Sequence
from typing import Any, Final, Protocol, TypeGuard, cast, runtime_checkable

PIECE_SIZE: Final = 64 * 1024

Piece = str | bytes | memoryview
Whole = str | bytes | bytearray | memoryview


@runtime_checkable
class Readable(Protocol):
    """A file: `read(size)` gives str or bytes, nothing at the end. It may be a coroutine function."""

    def read(self, size: int, /) -> Any:
        """Read so many characters or bytes at most."""
        ...


Data = Whole | Readable | Iterable[Whole] | AsyncIterable[Whole]

_NOT_DATA: Final = (
    "the data of a COPY must be str, bytes, a file, or an (async) iterable of str or bytes, not {}"
)


def _is_whole(data: object) -> TypeGuard[Whole]:
    return isinstance(data, (str, bytes, bytearray, memoryview))


_NOT_PIECE: Final = "a piece of a COPY's data must be str or bytes, not {}"


def is_data(data: object) -> bool:
    """Whether the data of a COPY can be this. A mapping iterates over something else than data."""
    if isinstance(data, (dict, set, frozenset)):
        return False
    return _is_whole(data) or isinstance(data, (Readable, Iterable, AsyncIterable))


def check(data: object) -> None:
    """Refuse what is no data.

    Raises:
        TypeError: It is nothing that gives str or bytes.
    """
    if not is_data(data):
        raise TypeError(_NOT_DATA.format(type(data).__name__))
    if isinstance(data, (list, tuple)):
        for piece in cast("Sequence[object]", data):
            if not _is_whole(piece):
                raise TypeError(_NOT_PIECE.format(type(piece).__name__))
    if isinstance(data, memoryview) and not data.c_contiguous:
        raise TypeError("the data of a COPY must be contiguous, and this memoryview is not")


def _slices(whole: object) -> Iterator[Piece]:
    if not _is_whole(whole):
        raise TypeError(_NOT_PIECE.format(type(whole).__name__))
    if isinstance(whole, str):
        if len(whole) <= PIECE_SIZE:
            yield whole
            return
        for start in range(0, len(whole), PIECE_SIZE):
            yield whole[start : start + PIECE_SIZE]
        return
    view = memoryview(whole).cast("B")
    for start in range(0, len(view), PIECE_SIZE):
        yield view[start : start + PIECE_SIZE]


def pieces(data: Data) -> Iterator[Piece]:
    """Yield the data in pieces, for the blocking face.

    Raises:
        TypeError: A piece is neither str nor bytes.
    """
    if _is_whole(data):
        yield from _slices(data)
    elif isinstance(data, Readable):
        while piece := _come(data.read(PIECE_SIZE)):
            yield from _slices(piece)
    elif isinstance(data, Iterable):
        for each in data:
            yield from _slices(each)
    else:
        raise TypeError(_NOT_DATA.format(type(data).__name__))


async def pieces_async(data: Data) -> AsyncGenerator[Piece, None]:
    """As `pieces`, for the asyncio face. A file that blocks is read in a thread."""
    if isinstance(data, AsyncIterable):
        async for each in data:
            for piece in _slices(each):
                yield piece
    elif isinstance(data, Readable) and not _is_whole(data):
        while True:
            read = await _read(data)
            if not read:
                return
            for piece in _slices(read):
                yield piece
    else:
        for piece in pieces(data):
            yield piece


def _come(read: Any) -> Any:
    """Return what a file has given. None is not its end: what follows would be missing without a word.

    Raises:
        BlockingIOError: The file does not block and has nothing now.
    """
    if read is None:
        raise BlockingIOError("the file has nothing to read now, and COPY cannot wait for it")
    return read


async def _read(file: Readable) -> Any:
    if isinstance(file, (io.BytesIO, io.StringIO)) or inspect.iscoroutinefunction(file.read):
        outcome = file.read(PIECE_SIZE)
    else:
        outcome = await asyncio.to_thread(file.read, PIECE_SIZE)
    return _come(await outcome if inspect.isawaitable(outcome) else outcome)


def write(file: Any, part: bytes, *, is_text: bool) -> Any:
    """Write a part of a COPY's data, whole rows, to a file, as the file wants it."""
    if not isinstance(file, io.RawIOBase):
        return file.write(part.decode() if is_text else part)
    # A file without a buffer may take less than it is given.
    view = memoryview(part)
    while view:
        written = file.write(view)
        if written is None:
            raise BlockingIOError("the file takes no more now, and COPY cannot wait for it")
        view = view[written:]
    return None


async def write_async(file: Any, part: bytes, *, is_text: bool) -> None:
    """As `write`, for the asyncio face. A file that blocks is written to in a thread."""
    if isinstance(file, (io.BytesIO, io.StringIO)) or inspect.iscoroutinefunction(file.write):
        outcome = write(file, part, is_text=is_text)
    else:
        outcome = await asyncio.to_thread(write, file, part, is_text=is_text)
    if inspect.isawaitable(outcome):
        await outcome


def is_text_file(file: object) -> bool:
    """Whether a file takes str."""
    if isinstance(file, io.TextIOBase):
        return True
    mode = cast("object", getattr(file, "mode", None))
    return isinstance(mode, str) and "b" not in mode
