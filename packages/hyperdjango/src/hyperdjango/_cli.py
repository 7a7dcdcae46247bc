"""The command `hyper`. Each subcommand imports what it needs when it runs, so that `--help` is quick."""

import click


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="hyperdjango", prog_name="hyper")
def main() -> None:
    """Tools of the hyperdjango stack."""


@main.command()
@click.option("--rows", default=100_000, show_default=True, type=click.IntRange(1000), help="Rows to load.")
def demo(rows: int) -> None:
    """Show the stack at work on a PostgreSQL server of its own.

    With DATABASE_URL set, that server is used instead, in a schema that is dropped at the end.
    """
    from hyperdjango._demo import run_demo  # noqa: PLC0415 - rich and the driver are not needed for --help

    raise SystemExit(run_demo(rows=rows))
