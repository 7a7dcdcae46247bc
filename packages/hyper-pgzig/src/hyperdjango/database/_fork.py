"""After a fork the child has copies of the parent's sockets. It must not say a word on them.

Every pool is known here; the child's copies are closed before any code of the user's runs in it.
Python docs: os.register_at_fork.
"""

import contextlib
import os
import weakref
from typing import TYPE_CHECKING, Final

from hyperdjango.database.errors import InterfaceError

if TYPE_CHECKING:
    from hyperdjango.database._places import Places
    from hyperdjango.database._slot import Slot

# No WeakSet: an interrupt that falls into its callback is lost, and into this one none can.
_pools: Final["set[weakref.ref[Places]]"] = set()


def watch(pool: "Places") -> None:
    """Have a pool's `after_fork` called in every child."""
    _pools.add(weakref.ref(pool, _pools.discard))


def drop(slot: "Slot") -> None:
    """Close the child's copy of a socket: no Terminate, no shutdown, no end of TLS."""
    slot.is_closed = True
    sock = slot.established.sock
    try:
        slot.connection.close()
    except InterfaceError:
        # Another thread of the parent was in there at the fork. Nobody must be given the socket's number
        # while the connection believes that it is its own.
        with contextlib.suppress(OSError):
            nothing = os.open(os.devnull, os.O_RDWR)
            os.dup2(nothing, sock.detach())
            os.close(nothing)
        return
    # Not shutdown(), which would end the parent's session as well.
    sock.close()


def _after_in_child() -> None:
    for each in _pools.copy():
        pool = each()
        if pool is not None:
            pool.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_in_child)
