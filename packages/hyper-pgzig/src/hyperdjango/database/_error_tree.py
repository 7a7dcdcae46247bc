"""PEP 249's exception tree with the fields of ErrorResponse.

Imported by `_sqlstate.py` and `errors.py` alone. A file of its own because the generated classes derive from
these and `errors` gathers both.
PEP 249, "Exceptions"; PostgreSQL docs: protocol-error-fields, "Error and Notice Message Fields".
"""


class Warning(Exception):  # noqa: A001, N818 - PEP 249 gives the name
    """An important notice that is no error. PEP 249 asks for the class; the driver never raises it."""


class Error(Exception):
    """Everything the driver raises on purpose derives from this."""

    message: str

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message


class InterfaceError(Error):
    """The driver was used in a way that cannot work; the backend was not asked."""


class DatabaseError(Error):
    """The backend sent ErrorResponse, or the way to it failed.

    Raised as the class of its SQLSTATE where it has one. Fields that the backend did not send are None.
    `str()` is the backend's message, then its DETAIL and HINT on lines of their own. `repr()` holds message
    and SQLSTATE only: detail, query and context may quote data.
    """

    sqlstate: str | None = None
    severity: str | None
    detail: str | None
    hint: str | None
    position: int | None
    internal_position: int | None
    internal_query: str | None
    context: str | None
    schema: str | None
    table: str | None
    column: str | None
    data_type: str | None
    constraint: str | None
    source_file: str | None
    source_line: int | None
    source_function: str | None
    query: str | None

    def __init__(
        self,
        message: str = "",
        *,
        sqlstate: str | None = None,
        severity: str | None = None,
        detail: str | None = None,
        hint: str | None = None,
        position: int | None = None,
        internal_position: int | None = None,
        internal_query: str | None = None,
        context: str | None = None,
        schema: str | None = None,
        table: str | None = None,
        column: str | None = None,
        data_type: str | None = None,
        constraint: str | None = None,
        source_file: str | None = None,
        source_line: int | None = None,
        source_function: str | None = None,
        query: str | None = None,
    ) -> None:
        """Keep the fields.

        Args:
            message: The backend's primary message, or ours.
            sqlstate: Five characters; None leaves the class's own.
            severity: ERROR, FATAL or PANIC, never translated.
            detail: The backend's DETAIL.
            hint: The backend's HINT.
            position: Where in `query` the fault is, counted in characters from 1.
            internal_position: The same in `internal_query`.
            internal_query: The statement a function or the backend itself ran.
            context: The call stack of the backend's languages.
            schema: What the error is about, as are the next four.
            table: With `schema`.
            column: With `table`.
            data_type: With `schema`.
            constraint: With `table` or `data_type`; indexes count as constraints.
            source_file: Where the backend raised it.
            source_line: With `source_file`.
            source_function: With `source_file`.
            query: The SQL text that was sent, without its values.
        """
        super().__init__(message)
        if sqlstate is not None:
            self.sqlstate = sqlstate
        self.severity = severity
        self.detail = detail
        self.hint = hint
        self.position = position
        self.internal_position = internal_position
        self.internal_query = internal_query
        self.context = context
        self.schema = schema
        self.table = table
        self.column = column
        self.data_type = data_type
        self.constraint = constraint
        self.source_file = source_file
        self.source_line = source_line
        self.source_function = source_function
        self.query = query

    def __str__(self) -> str:
        lines = [self.message]
        if self.detail:
            lines.append(f"DETAIL:  {self.detail}")
        if self.hint:
            lines.append(f"HINT:  {self.hint}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        sqlstate = "" if self.sqlstate is None else f", sqlstate={self.sqlstate!r}"
        return f"{type(self).__name__}({self.message!r}{sqlstate})"


class DataError(DatabaseError):
    """A value does not fit: division by zero, out of range, not the type's form."""


class OperationalError(DatabaseError):
    """The operation failed by no fault of the program: connection, resources, shutdown, deadlock."""


class IntegrityError(DatabaseError):
    """A constraint was violated."""


class InternalError(DatabaseError):
    """The database's own state is at odds: transaction aborted, cursor not valid, corruption."""


class ProgrammingError(DatabaseError):
    """The statement is wrong: syntax, a name nobody knows, a missing privilege."""


class NotSupportedError(DatabaseError):
    """The backend does not have the feature."""
