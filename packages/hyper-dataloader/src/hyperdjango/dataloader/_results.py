"""What a batch function returned, as one value for each key. Called by `_chunk`."""

from asyncio import CancelledError
from collections.abc import Mapping, Sequence
from typing import Any, cast

from hyperdjango.dataloader.errors import BatchCancelled, BatchLengthError, BatchResultError, KeyMissing


def values_of(results: Any, cache_keys: Sequence[Any], loader: str, function: str) -> list[Any]:
    """Return one value for each key, in their order; an exception in the place of one rejects its key.

    Args:
        results: What the batch function returned.
        cache_keys: The keys, by which a mapping is asked.
        loader: The loader's name, for errors.
        function: The function's name, for errors.
    Raises:
        BatchLengthError: A sequence of another length.
        BatchResultError: Neither a sequence nor a mapping.
    """
    kind: type[Any] = type(results)  # pyright: ignore[reportUnknownVariableType]
    # list and tuple are what is returned nearly always, and asking an abstract class takes longer.
    if kind is not list and kind is not tuple:
        if isinstance(results, Mapping):
            return _from_mapping(results, cache_keys, loader, function)
        if not isinstance(results, Sequence) or isinstance(results, (str, bytes, bytearray)):
            raise BatchResultError(
                f"DataLoader {loader!r}: {function}() returned {type(results).__name__}; it must return a "
                "sequence with one value for each key, in their order, or a mapping of keys to values"
            )
    values = cast("list[Any]", results)
    if kind is not list:
        values = list(values)
    if len(values) != len(cache_keys):
        raise BatchLengthError(loader, function, len(cache_keys), len(values))
    return values


def _from_mapping(results: Any, cache_keys: Sequence[Any], loader: str, function: str) -> list[Any]:
    values: list[Any] = []
    for key in cache_keys:
        try:
            # Not get(): a defaultdict has something for every key.
            values.append(results[key])
        except KeyError:
            values.append(KeyMissing(loader, function, key))
    return values


def rejection(error: BaseException, loader: str, function: str) -> BaseException:
    """Return what waiters can be rejected with in the place of an exception that stands for their key."""
    replacement: Exception
    if isinstance(error, CancelledError):
        # Their tasks were not cancelled, and a TaskGroup would say nothing of one that ends like this.
        replacement = BatchCancelled(
            f"DataLoader {loader!r}: something that {function}() waited for was cancelled"
        )
    elif isinstance(error, StopIteration):  # a future takes every exception but this one
        replacement = RuntimeError(f"DataLoader {loader!r}: {function}() gave StopIteration")
    else:
        return error
    replacement.__cause__ = error
    return replacement
