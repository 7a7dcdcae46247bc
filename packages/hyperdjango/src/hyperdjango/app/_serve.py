"""`HyperApp.run`: the app under granian, whose workers are processes (threads, on Python without the GIL)."""

import os
import socket
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hyperdjango.app._application import HyperApp


class AppLoader:
    """Gives a worker its app: the object itself, or in a process that does not inherit it the one it imports."""

    def __init__(self, app: "HyperApp") -> None:
        self._app = app

    def __call__(self, *_: object) -> "HyperApp":
        """Return the app."""
        return self._app

    def __reduce__(self) -> tuple[Any, ...]:
        """By name, for processes that are spawned.

        Raises:
            TypeError: It has none: it is no global variable of a module.
        """
        for module in [sys.modules["__main__"], *list(sys.modules.values())]:
            for name, value in list(getattr(module, "__dict__", {}).items()):
                if value is self._app:
                    return _imported, (module.__name__, name)
        raise TypeError(
            "where workers are spawned (macOS, Windows, Python 3.14 and later) they import the app: make it a global "
            'variable of a module, and call run() below `if __name__ == "__main__":`'
        )


def _imported(module: str, name: str) -> AppLoader:
    from importlib import import_module  # noqa: PLC0415 - of the new process alone

    return AppLoader(getattr(import_module(module), name))


def refuse_taken(host: str, port: int) -> None:
    """Look whether the port is free, once, before there are workers.

    Granian listens with SO_REUSEPORT, so that its workers share a port; with it two servers share one too, and each
    gets a part of the requests. Without it a port that anybody listens at cannot be bound.

    Raises:
        OSError: It is taken, or cannot be listened at; the text names it.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        if os.name == "posix":  # elsewhere it means that anybody may take it over
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            raise OSError(error.errno, f"cannot listen at {place}: {error.strerror}") from None


def serve(
    app: "HyperApp",
    host: str,
    port: int,
    *,
    workers: int,
    access_log: bool,
    shutdown_timeout: int,
    options: dict[str, Any],
) -> None:
    """Serve until SIGTERM or Ctrl-C; see `HyperApp.run`."""
    # Not at the top: an app that another server serves needs none.
    from granian import Granian  # noqa: PLC0415
    from granian.constants import Interfaces  # noqa: PLC0415

    server = Granian(
        "app",
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        workers=workers,
        log_access=access_log,
        workers_kill_timeout=shutdown_timeout,
        **options,
    )
    if options.get("uds") is None:
        refuse_taken(host, port)
    server.serve(target_loader=AppLoader(app), wrap_loader=False)


__all__ = ["serve"]
