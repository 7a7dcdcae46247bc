"""Loads the plugins for every package's tests: their servers, their processes, the bookshop and the clusters."""

pytest_plugins = ["postgres_servers", "workers", "bookshop.fixtures", "cluster_fixtures"]
