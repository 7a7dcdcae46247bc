"""One loader of each kind per request: `loader_scope`, `@loader` and `scoped`.

What a loader remembers must not outlive a request, nor be seen by another user's. A scope lives in a ContextVar,
so the tasks that are started inside of it share its loaders.
"""
# A scope and its loaders are one thing in two classes:
# pyright: reportPrivateUsage=false

from asyncio import Future
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterable, MutableMapping
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Final, Generic, Literal, Self, TypeVar, overload

from hyperdjango.dataloader._loader import DataLoader
from hyperdjango.dataloader._queue import BatchFunction, Results, Schedule
from hyperdjango.dataloader.errors import NoLoaderScope

K = TypeVar("K")
V = TypeVar("V")


class LoaderScope:
    """The loaders of one request. A context manager, for `with` and `async with`, entered once."""

    def __init__(self) -> None:
        """Hold no loader yet; each is made when it is first asked for."""
        self._loaders: dict[ScopedLoader[Any, Any], DataLoader[Any, Any]] = {}
        self._has_ended = False
        self._token: Token[LoaderScope | None] | None = None

    @property
    def loaders(self) -> tuple[DataLoader[Any, Any], ...]:
        """Those that were made so far, as for their `stats()`."""
        return tuple(self._loaders.values())

    def clear(self) -> None:
        """Have all loaders forget all keys, as after a write."""
        for one in self._loaders.values():
            one.clear()

    def __enter__(self) -> Self:
        """Begin."""
        if self._token is not None or self._has_ended:
            raise RuntimeError("this scope was entered already: call loader_scope() for each")
        self._token = _scope.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End: tasks that go on find no loader any more. What is on its way reaches who waits for it."""
        assert self._token is not None
        token, self._token = self._token, None
        self._has_ended = True
        self._loaders.clear()
        _scope.reset(token)

    async def __aenter__(self) -> Self:
        """Begin."""
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End, as by `with`."""
        self.__exit__(kind, error, traceback)


_scope: Final[ContextVar[LoaderScope | None]] = ContextVar("hyperdjango_loader_scope", default=None)


def loader_scope() -> LoaderScope:
    """Return a block that is one request's, for `with` or `async with`. Inside of another it is on its own."""
    return LoaderScope()


class ScopedLoader(Generic[K, V]):
    """One DataLoader for each scope; `loader` and `scoped` make it. Called, it gives the one of this scope."""

    def __init__(self, factory: Callable[[], DataLoader[K, V]], name: str) -> None:
        """Take down how one is made.

        Args:
            factory: Called once in each scope, when its loader is first asked for.
            name: What errors call it.
        """
        self._factory = factory
        self.name = name

    def __repr__(self) -> str:
        """Its name."""
        return f"<ScopedLoader {self.name}>"

    def __call__(self) -> DataLoader[K, V]:
        """Return the loader of the scope that the running task is in.

        Raises:
            NoLoaderScope: There is no scope around it, or it has ended.
        """
        scope = _scope.get()
        if scope is None or scope._has_ended:
            raise NoLoaderScope(self.name, has_ended=scope is not None)
        loader = scope._loaders.get(self)
        if loader is None:
            loader = scope._loaders[self] = self._factory()
        return loader

    def load(self, key: K) -> Future[V]:
        """As `DataLoader.load`, of this scope's."""
        return self().load(key)

    @overload
    def load_many(
        self, keys: Iterable[K], *, return_exceptions: Literal[False] = False
    ) -> Coroutine[Any, Any, list[V]]: ...
    @overload
    def load_many(
        self, keys: Iterable[K], *, return_exceptions: Literal[True]
    ) -> Coroutine[Any, Any, list[V | Exception]]: ...
    def load_many(
        self, keys: Iterable[K], *, return_exceptions: bool = False
    ) -> Coroutine[Any, Any, list[Any]]:
        """As `DataLoader.load_many`, of this scope's."""
        if return_exceptions:
            return self().load_many(keys, return_exceptions=True)
        return self().load_many(keys)

    def prime(self, key: K, value: V | Exception, force: bool = False) -> Self:
        """As `DataLoader.prime`, of this scope's."""
        self().prime(key, value, force)
        return self

    def clear(self, *key: K) -> Self:
        """As `DataLoader.clear`, of this scope's: a key, or all."""
        self().clear(*key)
        return self


def scoped(factory: Callable[[], DataLoader[K, V]]) -> ScopedLoader[K, V]:
    """Have one loader in each scope, made by a function without arguments; usable as a decorator.

    `users = scoped(lambda: table_loader(get_db(), "users", "id"))`, then `await users.load(1)`.
    """
    return ScopedLoader(factory, getattr(factory, "__qualname__", type(factory).__qualname__))


@overload
def loader(batch_fn: BatchFunction[K, V], /) -> ScopedLoader[K, V]: ...
@overload
def loader(
    *,
    max_batch_size: int | None = 100,
    cache_enabled: bool = True,
    cache_key: Callable[[Any], Hashable] | None = None,
    cache_map: Callable[[], MutableMapping[Any, Future[Any]]] | None = None,
    schedule: Schedule | None = None,
    name: str | None = None,
) -> Callable[[Callable[[list[K]], Awaitable[Results[V]]]], ScopedLoader[K, V]]: ...
def loader(
    batch_fn: BatchFunction[Any, Any] | None = None,
    /,
    *,
    cache_map: Callable[[], MutableMapping[Any, Future[Any]]] | None = None,
    **options: Any,
) -> Any:
    """Make a batch function a loader of which each scope has one: `@loader`, or with options of DataLoader.

    Args:
        batch_fn: As for DataLoader.
        cache_map: Makes the mapping, once in each scope.
        options: As for DataLoader.
    """

    def decorate(function: BatchFunction[Any, Any]) -> ScopedLoader[Any, Any]:
        def make() -> DataLoader[Any, Any]:
            return DataLoader(function, cache_map=None if cache_map is None else cache_map(), **options)

        name: str = getattr(function, "__qualname__", type(function).__qualname__)
        return ScopedLoader(make, options.get("name") or name)

    return decorate if batch_fn is None else decorate(batch_fn)
