"""The application that `test_served.py` has served by a process of its own: `python served_app.py PORT WORKERS`."""

import multiprocessing
import os
import sys
from typing import Any

from hyperdjango import HyperApp, JSONBytes, get_db

app = HyperApp("served")


@app.get("/row")
async def row(request: object) -> JSONBytes:
    """Ask the database."""
    return JSONBytes(await get_db().query_json("SELECT 1 AS id"))


@app.get("/process")
async def process(request: object) -> dict[str, int]:
    """Say who serves."""
    return {"process": os.getpid()}


@app.get("/sleep/{seconds:float}")
async def sleep(request: object, seconds: float) -> dict[str, Any]:
    """Sleep in the database."""
    return {"slept": await get_db().query_val("SELECT $1::float8 FROM pg_sleep($1)", seconds)}


if __name__ == "__main__":
    if len(sys.argv) > 3:
        multiprocessing.set_start_method(sys.argv[3])
    app.run(port=int(sys.argv[1]), workers=int(sys.argv[2]))
