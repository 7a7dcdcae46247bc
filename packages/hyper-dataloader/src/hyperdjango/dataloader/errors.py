"""What loaders raise, beside what batch functions do."""


class DataLoaderError(Exception):
    """The base of all errors of loaders."""


class BatchLengthError(DataLoaderError, ValueError):
    """A batch function has returned more or fewer values than it was given keys.

    Attributes:
        expected: How many keys there were.
        actual: How many values.
    """

    def __init__(self, loader: str, function: str, expected: int, actual: int) -> None:
        super().__init__(
            f"DataLoader {loader!r}: {function}() was given {expected} keys and returned {actual} values; "
            "it must return one value for each key, in their order, or a mapping of keys to values"
        )
        self.expected = expected
        self.actual = actual


class BatchResultError(DataLoaderError, TypeError):
    """A batch function has returned neither a sequence nor a mapping."""


class BatchCancelled(DataLoaderError):  # noqa: N818 - says what happened
    """A batch function was left by a CancelledError that nobody of its callers had asked for."""


class KeyMissing(DataLoaderError, LookupError):  # noqa: N818 - says what happened
    """The mapping that a batch function has returned does not have this key.

    Attributes:
        key: The key.
    """

    def __init__(self, loader: str, function: str, key: object) -> None:
        super().__init__(
            f"DataLoader {loader!r}: the mapping that {function}() returned has no such key, "
            f"of type {type(key).__name__}; a defaultdict says what a missing one gives"
        )
        self.key = key


class KeyMismatch(DataLoaderError, LookupError):  # noqa: N818 - says what is wrong
    """The server has found rows for keys that are not equal to the rows' own."""


class SeveralRows(DataLoaderError, LookupError):  # noqa: N818 - says what happened
    """Several rows have one key of a loader that gives one row for each."""


class UnhashableKey(DataLoaderError, TypeError):  # noqa: N818 - says what is wrong
    """A key cannot be looked up in a cache."""

    def __init__(self, loader: str, key: object) -> None:
        super().__init__(
            f"DataLoader {loader!r}: a key must be hashable, which {type(key).__name__} is not; "
            "give cache_key=, a function that makes something hashable of it (tuple, for a list)"
        )


class OwnKey(DataLoaderError, RuntimeError):  # noqa: N818 - says what is wrong
    """A batch function asks its own loader for a key of the batch that it is to fetch."""

    def __init__(self, loader: str, function: str) -> None:
        super().__init__(
            f"DataLoader {loader!r}: {function}() asks the loader for a key of its own batch, which would wait for "
            "itself; a batch function fetches the values from somewhere else"
        )


class AnotherLoop(DataLoaderError, RuntimeError):  # noqa: N818 - says what is wrong
    """A loader is used on one event loop while it serves another."""

    def __init__(self, loader: str) -> None:
        super().__init__(
            f"DataLoader {loader!r} serves another event loop, which is running or has loads under way; "
            "a loader belongs to one loop at a time: make one for each, or one for each request in a loader_scope()"
        )


class NoLoaderScope(DataLoaderError, RuntimeError):  # noqa: N818 - says what is missing
    """A loader of the request was asked for where there is no request."""

    def __init__(self, name: str, *, has_ended: bool) -> None:
        state = (
            "the loader_scope() around it has ended" if has_ended else "there is no loader_scope() around it"
        )
        super().__init__(
            f"{name} has one loader for each scope, and {state}: "
            "begin one for each request, as in `with loader_scope():`"
        )


__all__ = [
    "AnotherLoop",
    "BatchCancelled",
    "BatchLengthError",
    "BatchResultError",
    "DataLoaderError",
    "KeyMismatch",
    "KeyMissing",
    "NoLoaderScope",
    "OwnKey",
    "SeveralRows",
    "UnhashableKey",
]
