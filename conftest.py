"""Loads the plugins for every package's tests: their servers, their processes, the bookshop and the clusters."""

pytest_plugins = ["postgres_servers", "workers", "bookshop.fixtures", "cluster_fixtures"]

# They run against installed wheels: tools/check_contract.py.
collect_ignore = ["tests/contract"]
