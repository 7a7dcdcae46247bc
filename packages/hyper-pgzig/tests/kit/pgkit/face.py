"""Both faces of the driver behind one blocking form, for tests of what they must do alike.

The fixtures `face` and `open_face` of tests/database give them.
"""

import asyncio
import inspect
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from hyperdjango.database import Database


class Face(Protocol):
    """What both faces look like to a test that blocks."""

    def __getattr__(self, name: str) -> Any:
        """A method of the Database; it blocks until the outcome is there."""
        ...

    def transaction(self, *args: Any, **options: Any) -> AbstractContextManager[Any]:
        """A block, entered by a plain `with`."""
        ...


class OnLoop:
    """A Database and a loop to run its coroutines on, one at a time, all in one context."""

    def __init__(self, database: Database, runner: asyncio.Runner) -> None:
        self._database = database
        self._runner = runner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._database, name)
        if not callable(found):
            return found

        async def in_context(*args: Any, **options: Any) -> Any:
            outcome = found(*args, **options)
            return await outcome if inspect.isawaitable(outcome) else outcome

        def call(*args: Any, **options: Any) -> Any:
            return self._runner.run(in_context(*args, **options))

        return call

    def iterate(self, name: str, *args: Any, **options: Any) -> Generator[Any, None, None]:
        """Step through an async iterable."""
        items = aiter(getattr(self._database, name)(*args, **options))
        nothing = object()

        async def step() -> Any:
            return await anext(items, nothing)

        try:
            while (item := self._runner.run(step())) is not nothing:
                yield item
        finally:
            self._runner.run(items.aclose())

    @contextmanager
    def transaction(self, *args: Any, **options: Any) -> Iterator[None]:
        block = self._database.transaction(*args, **options)
        self._runner.run(block.__aenter__())
        try:
            yield
        except BaseException as error:
            self._runner.run(block.__aexit__(type(error), error, error.__traceback__))
            raise
        self._runner.run(block.__aexit__(None, None, None))


def iterate(face: Face, name: str, *args: Any, **options: Any) -> Generator[Any, None, None]:
    """Call what gives an iterable, on either face, and yield what it gives. Closing this one closes that."""
    if not isinstance(face, OnLoop):
        yield from getattr(face, name)(*args, **options)
        return
    yield from face.iterate(name, *args, **options)


class OpenFace(Protocol):
    """What the fixture `open_face` gives."""

    def __call__(self, url: str, min_size: int = 1, max_size: int = 1, **options: Any) -> Face:
        """Open a Database; it is closed after the test."""
        ...
