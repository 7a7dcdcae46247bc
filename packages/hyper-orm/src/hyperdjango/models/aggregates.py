"""The aggregates, under Django's names and those of its PostgreSQL module.

Django docs: ref/models/querysets, "Aggregation functions"; ref/contrib/postgres/aggregates.
PostgreSQL docs: functions-aggregate.
"""

from typing import Any, ClassVar

from hyperdjango.models._aggregate import Aggregate, bare_type, element_type, is_kind
from hyperdjango.models._nodes import Node, Row, Sql
from hyperdjango.models._sql import as_float, as_text, cast
from hyperdjango.models._types import BIGINT, BOOLEAN, TEXT, ColumnType
from hyperdjango.models._values import FLOAT, INTERVAL, JSONB, NUMERIC, plain
from hyperdjango.models.errors import FieldError
from hyperdjango.models.expressions import Expression, Star, Value, as_expression
from hyperdjango.models.query_words import Q


class Count(Aggregate):
    """How many: of rows for `"*"`, else of values that are not NULL. Never NULL itself."""

    __slots__ = ()
    function = "count"
    is_never_null = True

    def __init__(
        self,
        expression: object = "*",
        filter: Q | Expression | None = None,
        distinct: bool = False,
        output_field: Any = None,
    ) -> None:
        star = isinstance(expression, str) and expression == "*"
        if star and distinct:
            raise FieldError("Count('*') counts rows, which are all different: distinct=True needs a field")
        super().__init__(
            Star() if star else expression, filter=filter, distinct=distinct, output_field=output_field
        )

    def prepared(self, arguments: list[Node]) -> list[Node]:
        # A row of NULLs counts as a value; the key's first column does not.
        node = arguments[0]
        return [node.nodes[0]] if isinstance(node, Row) and not self.is_distinct else arguments

    def natural(self, arguments: list[Node]) -> ColumnType | None:
        return BIGINT


class _OfNumbers(Aggregate):
    """Of numbers, and of what can be added up like them."""

    __slots__ = ()
    kinds: ClassVar[tuple[str, ...]] = ("integer", "numeric", "float", "interval")

    def prepared(self, arguments: list[Node]) -> list[Node]:
        for node in arguments:
            if node.type is not None and node.type.kind not in {*self.kinds, "other", "vector"}:
                raise FieldError(
                    f"{type(self).__name__}() takes numbers and intervals, not {node.type.sql}: {self!r}"
                )
        return arguments


class Sum(_OfNumbers):
    """The sum. Of ints it is an int: one that passes bigint is an error of the backend."""

    __slots__ = ()
    function = "sum"

    def natural(self, arguments: list[Node]) -> ColumnType | None:
        type_ = arguments[0].type
        if is_kind(arguments[0], "integer"):
            return BIGINT if type_ is not None and type_.sql in {"integer", "smallint"} else NUMERIC
        return plain(type_)

    def cast(self, node: Node, arguments: list[Node]) -> Node:
        return (
            cast(node, "bigint", BIGINT)
            if node.type == NUMERIC and is_kind(arguments[0], "integer")
            else node
        )


class _Mean(_OfNumbers):
    """Of ints a float, of Decimals a Decimal."""

    __slots__ = ()

    def natural(self, arguments: list[Node]) -> ColumnType | None:
        type_ = arguments[0].type
        if type_ is None or type_.kind == "interval":
            return type_ and INTERVAL
        return FLOAT if type_.kind == "float" else NUMERIC

    def cast(self, node: Node, arguments: list[Node]) -> Node:
        return as_float(node) if is_kind(arguments[0], "integer") else node


class Avg(_Mean):
    """The mean: of ints a float, of Decimals a Decimal."""

    __slots__ = ()
    function = "avg"


class _Spread(_Mean):
    """Of the population, or of a sample."""

    __slots__ = ("is_sample",)
    has_distinct = False
    kinds = ("integer", "numeric", "float")
    functions: ClassVar[tuple[str, str]]

    def __init__(self, expression: object, sample: bool = False, **options: Any) -> None:
        self.is_sample = bool(sample)
        super().__init__(expression, **options)

    def _fill(self, *options: Any) -> None:
        super()._fill(self.is_sample, *options)

    @property
    def function(self) -> str:  # type: ignore[override]  # of two, by an option
        return self.functions[self.is_sample]


class StdDev(_Spread):
    """The standard deviation."""

    __slots__ = ()
    functions = ("stddev_pop", "stddev_samp")


class Variance(_Spread):
    """The variance."""

    __slots__ = ()
    functions = ("var_pop", "var_samp")


class _Extreme(Aggregate):
    __slots__ = ()

    def prepared(self, arguments: list[Node]) -> list[Node]:
        node = arguments[0]
        if is_kind(node, "uuid"):
            # There is no such function of uuids; as text they have the same order.
            return [Sql(node, '::text COLLATE "C"', type=node.type)]
        if is_kind(node, "boolean"):
            return [Sql(node, "::integer", type=node.type)]
        if is_kind(node, "json", "geometric", "hstore"):
            raise FieldError(
                f"{type(self).__name__}() takes what has an order, not {node.type and node.type.sql}: {self!r}"
            )
        return arguments

    def natural(self, arguments: list[Node]) -> ColumnType | None:
        return bare_type(arguments[0])

    def cast(self, node: Node, arguments: list[Node]) -> Node:
        if is_kind(node, "uuid", "boolean"):
            return cast(node, "uuid" if is_kind(node, "uuid") else "boolean", node.type)
        return node


class Min(_Extreme):
    """The smallest value."""

    __slots__ = ()
    function = "min"


class Max(_Extreme):
    """The greatest value."""

    __slots__ = ()
    function = "max"


class AnyValue(Aggregate):
    """One of the values that are not NULL. From PostgreSQL 16 on."""

    __slots__ = ()
    has_distinct = False
    function = "any_value"

    def natural(self, arguments: list[Node]) -> ColumnType | None:
        return bare_type(arguments[0])


class ArrayAgg(Aggregate):
    """All values as a list, NULLs as None."""

    __slots__ = ()
    function = "array_agg"
    has_order = True

    def natural(self, arguments: list[Node]) -> ColumnType | None:
        return element_type(arguments[0])


class JSONBAgg(Aggregate):
    """All values as a JSON array."""

    __slots__ = ()
    function = "jsonb_agg"
    has_order = True

    def natural(self, arguments: list[Node]) -> ColumnType | None:
        return JSONB


class StringAgg(Aggregate):
    """All values as text, one behind the other, with the delimiter between.

    Args:
        expression: What to gather; as text.
        delimiter: A str, or an expression.
    """

    __slots__ = ()
    arity = 2
    function = "string_agg"
    has_order = True

    def __init__(self, expression: object, delimiter: "str | Expression", **options: Any) -> None:
        between = Value(delimiter) if isinstance(delimiter, str) else as_expression(delimiter)
        super().__init__(expression, between, **options)

    def prepared(self, arguments: list[Node]) -> list[Node]:
        return [as_text(node) for node in arguments]

    def natural(self, arguments: list[Node]) -> ColumnType | None:
        return TEXT

    @property
    def default_alias(self) -> str:
        source = self.sources[0]
        name = getattr(source, "name", None)
        if not isinstance(name, str):
            raise FieldError(f"{self!r} needs a name: annotate(name={self!r})")
        return f"{name}__stringagg"


class _OfBooleans(Aggregate):
    __slots__ = ()
    has_distinct = False

    def natural(self, arguments: list[Node]) -> ColumnType | None:
        if arguments[0].type is not None and not is_kind(arguments[0], "boolean"):
            raise FieldError(f"{type(self).__name__}() takes booleans, not {arguments[0].type.sql}: {self!r}")
        return BOOLEAN


class BoolAnd(_OfBooleans):
    """Whether all are true."""

    __slots__ = ()
    function = "bool_and"


class BoolOr(_OfBooleans):
    """Whether any is true."""

    __slots__ = ()
    function = "bool_or"


class _OfBits(Aggregate):
    __slots__ = ()
    has_distinct = False

    def natural(self, arguments: list[Node]) -> ColumnType | None:
        return plain(arguments[0].type)


class BitAnd(_OfBits):
    """`&` of all values."""

    __slots__ = ()
    function = "bit_and"


class BitOr(_OfBits):
    """`|` of all values."""

    __slots__ = ()
    function = "bit_or"


class BitXor(_OfBits):
    """`^` of all values."""

    __slots__ = ()
    function = "bit_xor"


class _OfPairs(Aggregate):
    """Statistics of pairs: `y` depends on `x`."""

    __slots__ = ()
    arity = 2
    has_distinct = False

    def __init__(self, y: object, x: object, **options: Any) -> None:
        super().__init__(y, x, **options)

    def prepared(self, arguments: list[Node]) -> list[Node]:
        return [as_float(node) for node in arguments]

    def natural(self, arguments: list[Node]) -> ColumnType | None:
        return FLOAT


class Corr(_OfPairs):
    """The correlation coefficient."""

    __slots__ = ()
    function = "corr"


class CovarPop(_OfPairs):
    """The covariance, of the population or of a sample."""

    __slots__ = ("is_sample",)

    def __init__(self, y: object, x: object, sample: bool = False, **options: Any) -> None:
        self.is_sample = bool(sample)
        super().__init__(y, x, **options)

    def _fill(self, *options: Any) -> None:
        super()._fill(self.is_sample, *options)

    @property
    def function(self) -> str:  # type: ignore[override]  # of two, by an option
        return "covar_samp" if self.is_sample else "covar_pop"


class RegrAvgX(_OfPairs):
    """The mean of x."""

    __slots__ = ()
    function = "regr_avgx"


class RegrAvgY(_OfPairs):
    """The mean of y."""

    __slots__ = ()
    function = "regr_avgy"


class RegrCount(_OfPairs):
    """How many pairs there are without NULL."""

    __slots__ = ()
    function = "regr_count"
    is_never_null = True

    def natural(self, arguments: list[Node]) -> ColumnType | None:
        return BIGINT


class RegrIntercept(_OfPairs):
    """Where the line that fits best meets the y axis."""

    __slots__ = ()
    function = "regr_intercept"


class RegrR2(_OfPairs):
    """The square of the correlation coefficient."""

    __slots__ = ()
    function = "regr_r2"


class RegrSlope(_OfPairs):
    """The slope of the line that fits best."""

    __slots__ = ()
    function = "regr_slope"


class RegrSXX(_OfPairs):
    """The sum of squares of x."""

    __slots__ = ()
    function = "regr_sxx"


class RegrSXY(_OfPairs):
    """The sum of products of x and y."""

    __slots__ = ()
    function = "regr_sxy"


class RegrSYY(_OfPairs):
    """The sum of squares of y."""

    __slots__ = ()
    function = "regr_syy"
