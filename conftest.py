"""Loads the plugin that gives every package's tests their PostgreSQL servers."""

pytest_plugins = ["postgres_servers"]
