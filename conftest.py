"""Loads the plugins for every package's tests: their servers, the processes they run in, and the bookshop."""

pytest_plugins = ["postgres_servers", "workers", "bookshop.fixtures"]
