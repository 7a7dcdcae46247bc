"""What a pool is told once, checked in one place for both faces."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hyperdjango.database._native import native
from hyperdjango.database.pool import Pool

if TYPE_CHECKING:
    from hyperdjango.database._parameters import ConnectParameters


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """Sizes are counts of connections, timeouts seconds."""

    min_size: int
    max_size: int
    acquire_timeout: float | None
    statement_cache_size: int
    max_message_size: int

    def __post_init__(self) -> None:
        if self.max_size < 1:
            raise ValueError(f"max_size must be at least 1, not {self.max_size}")
        if not 0 <= self.min_size <= self.max_size:
            raise ValueError(f"min_size must be from 0 to max_size ({self.max_size}), not {self.min_size}")
        if self.acquire_timeout is not None and self.acquire_timeout <= 0:
            raise ValueError(
                f"acquire_timeout must be more than 0 seconds or None, not {self.acquire_timeout}"
            )
        if not 1024 <= self.max_message_size < 2**31:
            raise ValueError(
                f"max_message_size must be from 1024 to {2**31 - 1} bytes, not {self.max_message_size}"
            )
        if self.statement_cache_size < 0:
            raise ValueError(f"statement_cache_size must not be negative, it is {self.statement_cache_size}")

    def make_pool(
        self,
        parameters: "ConnectParameters",
        *,
        exact_intervals: bool,
        json_loads: Callable[[Any], Any] | None,
        json_dumps: Callable[[Any], str | bytes] | None,
    ) -> Pool:
        """Make a pool, not open yet."""
        type_map = native.TypeMap(
            json_loads=json_loads, json_dumps=json_dumps, exact_intervals=exact_intervals
        )
        return Pool(
            parameters,
            min_size=self.min_size,
            max_size=self.max_size,
            statement_cache_size=self.statement_cache_size,
            message_size_max=self.max_message_size,
            type_map=type_map,
        )
