"""A common table as a source: what `name__column` stands for behind `with_cte()`."""

from typing import TYPE_CHECKING

from hyperdjango.models._nearest import nearest
from hyperdjango.models._nodes import Named, Node, Source
from hyperdjango.models.errors import FieldError

if TYPE_CHECKING:
    from hyperdjango.models._writer import Writer


class CommonTableSource(Source):
    """The rows of a common table, joined to those of the query: each with those whose columns are equal, or with all.

    Attributes:
        name: The common table's.
        fields: The names of its columns, and their values within it.
        pairs: What is compared: a value of the query, and a column of the common table.
    """

    __slots__ = ("fields", "name", "pairs")

    def __init__(self, parent: Source, name: str, fields: dict[str, Node]) -> None:
        super().__init__(parent.table, parent)
        self.is_optional = True
        self.name = name
        self.fields = fields
        self.pairs: tuple[tuple[Node, str], ...] = ()

    def column(self, word: str, said: str) -> Named:
        """A column by its name.

        Raises:
            FieldError: There is none; the text names the nearest.
        """
        node = self.fields.get(word)
        if node is None:
            raise FieldError(
                f"the common table {self.name!r} has no column {word!r}, in {said!r}{nearest(word, self.fields)}"
            )
        return Named(self, word, node.type)

    def write_table(self, writer: "Writer") -> None:
        writer.name(self.name)

    def write_on(self, writer: "Writer", alias: str) -> None:
        """Write the condition behind ON."""
        if not self.pairs:
            writer.put("true")
        for position, (node, column) in enumerate(self.pairs):
            writer.put(f"{' AND ' if position else ''}{alias}.")
            writer.name(column)
            writer.put(" = ")
            node.write(writer)
