"""The EXPLAIN that is sent for a statement, what is refused before, and what is made of the answer.

Used by `explain` of both faces. The options stand in parentheses: after those EXPLAIN's grammar takes a
statement and nothing else, so that no text can turn a plain EXPLAIN into one that runs.
PostgreSQL docs: sql-explain.
"""

from typing import TYPE_CHECKING, Final

from hyperdjango.database._statements import first_word, is_script
from hyperdjango.database.errors import DatabaseError, ProgrammingError
from hyperdjango.database.explain import ExplainResult

if TYPE_CHECKING:
    from hyperdjango.database._native import native

_TAKES: Final = (
    "EXPLAIN takes SELECT, INSERT, UPDATE, DELETE, MERGE, VALUES, TABLE, WITH, EXECUTE, DECLARE, "
    "CREATE TABLE … AS and CREATE MATERIALIZED VIEW"
)


class ExplainStatement:
    """One EXPLAIN.

    Attributes:
        text: What is sent.
        args: The values that go with it.
    """

    def __init__(self, sql: str, args: tuple[object, ...], *, analyze: bool, buffers: bool) -> None:
        """Put EXPLAIN in front of a statement.

        BUFFERS is said either way, as from PostgreSQL 18 on ANALYZE turns it on by itself.

        Raises:
            ProgrammingError: It holds several statements, none, or begins with EXPLAIN itself.
        """
        _check(sql)
        self._sql = sql
        switches = f"ANALYZE {'on' if analyze else 'off'}, BUFFERS {'on' if buffers else 'off'}"
        self._prefix = f"EXPLAIN (FORMAT JSON, {switches}) "
        self.text = self._prefix + sql
        self.args = args

    def result(self, request: "native.Request") -> ExplainResult:
        """Return what a finished request, for one value, has brought.

        Raises:
            DatabaseError: The backend's, about the statement in place of the text that was sent.
        """
        try:
            document: object = request.result()
        except DatabaseError as error:
            self._retell(error)
            raise
        return ExplainResult.from_json(document, self._sql, self.args)

    def _retell(self, error: DatabaseError) -> None:
        if error.query != self.text:
            return
        error.query = self._sql
        if error.position is None:
            return
        error.position = max(error.position - len(self._prefix), 1)
        rest = self._sql[error.position - 1 :]
        if error.sqlstate == "42601" and first_word(self._sql[: error.position - 1]) == "" and rest:
            error.add_note(_TAKES)


def _check(sql: str) -> None:
    word = first_word(sql)
    if not word:
        raise ProgrammingError("there is no statement to explain: the text is empty", query=sql)
    if is_script(sql):
        raise ProgrammingError("explain takes one statement, and this text holds several", query=sql)
    if word.upper() == "EXPLAIN":
        raise ProgrammingError(
            "explain puts EXPLAIN in front of the statement by itself: leave it out of the text, "
            "and say analyze=True or buffers=True",
            query=sql,
        )
