"""CommandStatus: what `execute` and `execute_many` return."""

from typing import Self


class CommandStatus(str):
    """The outcome of a command, equal to `"COMMAND n"`: `"INSERT 3"`, `"CREATE TABLE 0"`.

    Attributes:
        rows: The number of rows affected, 0 where the command tag has none.
        tag: The backend's own command tag: `"INSERT 0 3"`.

    PostgreSQL docs: protocol-message-formats, "CommandComplete (B)".
    """

    __slots__ = ("rows", "tag")

    rows: int
    tag: str

    def __new__(cls, tag: str, rows: int) -> Self:
        """Make the status of one command tag, or of several that were alike, `rows` in all."""
        command = tag.rstrip("0123456789 ")
        self = super().__new__(cls, f"{command} {rows}" if command else str(rows))
        self.rows = rows
        self.tag = tag
        return self

    def __getnewargs__(self) -> tuple[str, int]:  # type: ignore[override] # str has one argument, we have two
        """Pickle and copy by what it was made from."""
        return self.tag, self.rows
