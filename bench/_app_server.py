"""The applications that `app_list` and `app_row` compare: `python bench/_app_server.py hyper|fastapi PORT`.

Each is written as its manual has it for speed, and served by granian with one worker on uvloop. FastAPI: asyncpg's
pool, whose statements are prepared by themselves, and orjson. A response of orjson's is returned, so that FastAPI
validates and copies nothing. asyncpg docs: "Connection Pools"; FastAPI docs: "Custom Response".
"""

import contextlib
import os
import sys
from collections.abc import AsyncGenerator
from typing import Any, Final

from granian import Granian
from granian.constants import Interfaces, Loops

LIST: Final = "SELECT id, name, price, active, made FROM bench_app ORDER BY id LIMIT 100"
ROW: Final = "SELECT id, name, price, active, made FROM bench_app WHERE id = $1"
POOL: Final = 8  # connections, for both


def hyper() -> Any:
    """Make ours."""
    from hyperdjango import Database, HyperApp, JSONBytes, get_db

    app = HyperApp(database=Database(os.environ["DATABASE_URL"], POOL, POOL), health=None)

    @app.get("/list")
    async def rows(request: object) -> JSONBytes:
        return JSONBytes(await get_db().query_json(LIST))

    @app.get("/row/{id:int}")
    async def row(request: object, id: int) -> Any:
        return await get_db().query_one(ROW, id)

    return app


def fastapi() -> Any:
    """Make FastAPI's."""
    import asyncpg  # type: ignore[import-untyped]
    import orjson
    from fastapi import FastAPI, Response

    pools: list[Any] = []

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
        async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=POOL, max_size=POOL) as pool:
            pools.append(pool)
            yield

    app = FastAPI(lifespan=lifespan, openapi_url=None)

    def answer(value: object) -> Response:
        return Response(orjson.dumps(value), media_type="application/json")

    @app.get("/list")
    async def rows() -> Response:
        return answer([dict(each) for each in await pools[0].fetch(LIST)])

    @app.get("/row/{id}")
    async def row(id: int) -> Response:
        found = await pools[0].fetchrow(ROW, id)
        return answer(None if found is None else dict(found))

    return app


def main() -> None:
    """Serve one of the two until SIGTERM."""
    make = {"hyper": hyper, "fastapi": fastapi}[sys.argv[1]]
    server = Granian(
        sys.argv[1],
        port=int(sys.argv[2]),
        interface=Interfaces.ASGI,
        loop=Loops.uvloop,
        websockets=False,
        log_enabled=False,
    )
    server.serve(target_loader=make, wrap_loader=False)


if __name__ == "__main__":
    main()
