"""Loads the plugins that give every package's tests their PostgreSQL servers, and the bookshop on them."""

pytest_plugins = ["postgres_servers", "bookshop.fixtures"]
