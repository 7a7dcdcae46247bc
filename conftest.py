"""Loads the plugins for every package's tests: their PostgreSQL servers, and the processes they run in."""

pytest_plugins = ["postgres_servers", "workers"]
