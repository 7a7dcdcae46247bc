"""What a loader has done so far."""

from typing import NamedTuple


class LoaderStats(NamedTuple):
    """Counts since the loader was made.

    Attributes:
        loads: Calls of `load`, those of `load_many` included.
        cache_hits: Those of them that sent no key: answered by the cache, or by a key that was on its way.
        batches: Calls of the batch function.
        keys: Keys that it was given.
        largest_batch: The most keys in one call.
        errors: Keys that it gave no value for: rejected alone, or with their batch.
    """

    loads: int
    cache_hits: int
    batches: int
    keys: int
    largest_batch: int
    errors: int
