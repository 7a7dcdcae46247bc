"""What a pool is told once, checked in one place for both faces."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from hyperdjango.database._hooks import Hooks
from hyperdjango.database._native import native
from hyperdjango.database.pool import Pool

if TYPE_CHECKING:
    from hyperdjango.database._parameters import ConnectParameters

MAX_LIFETIME = 3600.0
IDLE_TIMEOUT = 600.0
_COUNTS: Final = ("min_size", "max_size", "statement_cache_size", "max_message_size")
_SECONDS: Final = ("acquire_timeout", "max_lifetime", "idle_timeout", "leak_timeout")
_MAY_BE_NONE: Final = frozenset({"statement_cache_size", *_SECONDS})


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """Sizes are counts of connections, timeouts seconds."""

    min_size: int
    max_size: int
    acquire_timeout: float | None
    statement_cache_size: int | None
    max_message_size: int
    max_lifetime: float | None = MAX_LIFETIME
    idle_timeout: float | None = IDLE_TIMEOUT
    leak_timeout: float | None = None
    hooks: Hooks = field(default_factory=Hooks)

    def __post_init__(self) -> None:
        self._check_types()
        if self.max_size < 1:
            raise ValueError(f"max_size must be at least 1, not {self.max_size}")
        if not 0 <= self.min_size <= self.max_size:
            raise ValueError(f"min_size must be from 0 to max_size ({self.max_size}), not {self.min_size}")
        for name in _SECONDS:
            seconds: float | None = getattr(self, name)
            if seconds is not None and not seconds > 0:  # so that NaN is refused too
                raise ValueError(f"{name} must be more than 0 seconds or None, not {seconds}")
        if not 1024 <= self.max_message_size < 2**31:
            raise ValueError(
                f"max_message_size must be from 1024 to {2**31 - 1} bytes, not {self.max_message_size}"
            )
        if self.statement_cache_size is not None and self.statement_cache_size < 0:
            raise ValueError(f"statement_cache_size must not be negative, it is {self.statement_cache_size}")

    def _check_types(self) -> None:
        """Refuse what would be found out later, in a call: a size of the environment is a str."""
        for names, kinds, what in (
            (_COUNTS, (int,), "an int"),
            (_SECONDS, (int, float), "a number of seconds"),
        ):
            for name in names:
                value = getattr(self, name)
                if value is None and name in _MAY_BE_NONE:
                    continue
                if not isinstance(value, kinds) or isinstance(value, bool):
                    raise TypeError(f"{name} must be {what}, not {type(value).__name__}")

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
            max_lifetime=self.max_lifetime,
            idle_timeout=self.idle_timeout,
            leak_timeout=self.leak_timeout,
            hooks=self.hooks,
        )
