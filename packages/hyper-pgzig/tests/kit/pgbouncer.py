"""PgBouncer in front of a test server: a pooler that gives a client another session for each transaction.

    with PgBouncer(database_url) as pooler:
        Database(pooler.url)

Run from a folder of its own by an unprivileged user; Debian's package is enough, its service is not used.
PgBouncer's manual: config, "pool_mode".
"""

from types import TracebackType
from typing import Final, Literal, Self
from urllib.parse import unquote, urlsplit

from hyperdjango.database._embedded_server import free_port
from supervised import Supervised, listens, need_program

PoolMode = Literal["transaction", "session", "statement"]
NO_PGBOUNCER: Final = "no PgBouncer"


class PgBouncer:
    """One PgBouncer. A context manager: started on the way in, stopped and removed on the way out.

    Args:
        upstream: The URL of the database behind it; its user is everybody's.
        pool_mode: When a client gives its session back.
        pool_size: How many sessions there are; fewer than clients, so that they really change hands.
        settings: More of section `pgbouncer`.
    """

    def __init__(
        self, upstream: str, pool_mode: PoolMode = "transaction", pool_size: int = 2, **settings: str
    ) -> None:
        self._program = need_program("pgbouncer", NO_PGBOUNCER)
        self._upstream = urlsplit(upstream)
        self._settings = {
            "listen_addr": "127.0.0.1",
            "unix_socket_dir": "",
            "auth_type": "any",
            "pool_mode": pool_mode,
            "default_pool_size": str(pool_size),
            "max_client_conn": "200",
            "server_tls_sslmode": "prefer",
            **settings,
        }
        self._process: Supervised | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """A URL of the upstream database through the pooler."""
        user = self._upstream.username
        return f"postgresql://{user}@127.0.0.1:{self.port}{self._upstream.path}?sslmode=disable"

    @property
    def log(self) -> str:
        """All it has logged."""
        assert self._process is not None
        return self._process.log

    def __enter__(self) -> Self:
        self.port = free_port()
        process = self._process = Supervised()
        try:
            process.start([self._program, str(process.write("pgbouncer.ini", self._configuration()))])
            process.wait_until(lambda: listens(self.port))
        except BaseException:
            process.remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.remove()

    def _configuration(self) -> str:
        up = self._upstream
        database = up.path.removeprefix("/")
        target = f"host={up.hostname} port={up.port or 5432} dbname={database} user={up.username}"
        if up.password:
            target += f" password={unquote(up.password)}"
        lines = ["[databases]", f"{database} = {target}", "[pgbouncer]", f"listen_port = {self.port}"]
        lines += [f"{name} = {value}" for name, value in self._settings.items()]
        return "\n".join(lines) + "\n"
