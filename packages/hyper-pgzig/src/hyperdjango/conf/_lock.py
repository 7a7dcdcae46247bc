"""A lock for `with` that no signal leaves taken: Ctrl-C in the main thread must not stop all others for good.

From CPython 3.14 on, a signal's handler may run between the end of `__enter__` and the begin of what `with` guards,
where `__enter__` is written in C; the KeyboardInterrupt then passes by `__exit__`, and the lock stays taken.
"""

import sys
from _thread import RLock
from typing import Any

if sys.version_info >= (3, 14):

    class Lock(RLock):  # type: ignore[valid-type,misc]  # a function to some checkers
        """A reentrant lock. Behind the return of a function in Python the interpreter looks at no signals."""

        __slots__ = ()

        def __enter__(self) -> None:
            depth = self._depth()
            try:
                self.acquire()
            except BaseException:
                while self._depth() > depth:  # it was taken, then interrupted
                    self.release()
                raise

        def _depth(self) -> int:
            lock: Any = self
            depth: int = lock._recursion_count()
            return depth

else:
    Lock = RLock

__all__ = ["Lock"]
