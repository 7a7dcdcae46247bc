"""The two sides under one set of names, so that a query is written once: `m.Book.objects.filter(m.Q(…) | m.F(…))`.

A side has the bookshop's models, the expressions, aggregates and functions, and the few calls that the two must
spell differently.
"""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from bookshop import django_side
from bookshop.django_app import models as django_models
from django.contrib.postgres import aggregates as postgres_aggregates
from django.db import models as django
from django.db import transaction
from django.db.models import functions as django_functions

FIELDS = {
    "decimal": django.DecimalField,
    "float": django.FloatField,
    "integer": django.BigIntegerField,
    "text": django.TextField,
    "boolean": django.BooleanField,
    "date": django.DateField,
    "timestamp": django.DateTimeField,
    "interval": django.DurationField,
}


class Undone(Exception):  # noqa: N818 - nothing is wrong
    """Rolls a transaction back and carries what was read in it."""

    def __init__(self, result: Any, found: Any) -> None:
        self.result = result
        self.found = found
        super().__init__()


class Side:
    """One of the two. What a table of queries may use of it is listed in its makers below."""

    is_ours: bool

    def __getattr__(self, name: str) -> Any:
        """Say what is missing; what is there is an attribute."""
        raise AttributeError(f"{self!r} has no {name!r}")

    def __repr__(self) -> str:
        return type(self).__name__

    def run(self, query: Callable[["Side"], Any]) -> Any:
        """Evaluate a query and return rows or a value."""
        raise NotImplementedError

    def undone(
        self,
        write: Callable[["Side"], Any],
        read: Callable[["Side"], Any],
        says: Callable[[Any], Any] = lambda result: result,
    ) -> tuple[Any, Any]:
        """Return what `says` makes of a write's result and what a query finds then, before it is all rolled back."""
        raise NotImplementedError


class Theirs(Side):
    """Django's."""

    is_ours = False

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        names = vars(self)
        for module in (django_functions, postgres_aggregates, django):
            names.update({name: found for name, found in vars(module).items() if name[:1].isupper()})
        names.update({model.__name__: model for model in django_models.MODELS})

    @staticmethod
    def many(instance: Any, name: str) -> list[Any]:
        """Loaded instances at the far end of a to-many relation."""
        found = getattr(instance, name)
        return found if isinstance(found, list) else list(found.all())

    @staticmethod
    def typed(expression: Any, kind: str) -> Any:
        """An expression of which Django must be told the type."""
        return django.ExpressionWrapper(expression, output_field=FIELDS[kind]())

    @staticmethod
    def text(value: str) -> Any:
        """A text of which Django must be told that it is as long as it likes."""
        return django.Value(value, output_field=django.TextField())

    @staticmethod
    def cast(expression: Any, kind: str) -> Any:
        options = {"max_digits": 20, "decimal_places": 2} if kind == "decimal" else {}
        return django_functions.Cast(expression, FIELDS[kind](**options))

    def run(self, query: Callable[[Side], Any]) -> Any:
        django_side.connect(self.url)
        found = query(self)
        return list(found) if isinstance(found, django.query.QuerySet) else found

    def undone(
        self,
        write: Callable[[Side], Any],
        read: Callable[[Side], Any],
        says: Callable[[Any], Any] = lambda result: result,
    ) -> tuple[Any, Any]:
        django_side.connect(self.url)
        try:
            with transaction.atomic():
                result = says(write(self))
                raise Undone(result, self.run(read))
        except Undone as undone:
            return undone.result, undone.found


class Ours(Side):
    """Ours, on a runner and a database that outlive the tests' functions."""

    is_ours = True

    def __init__(self, runner: asyncio.Runner, database: Any) -> None:
        from bookshop import models as shop
        from hyperdjango import models
        from hyperdjango.models import functions

        super().__init__()
        names = vars(self)
        for module in (functions, models):
            names.update({name: one for name, one in vars(module).items() if name[:1].isupper()})
        names.update({model.__name__: model for model in shop.MODELS})
        self.runner = runner
        self.database = database

    @staticmethod
    def many(instance: Any, name: str) -> list[Any]:
        return list(getattr(instance, name))

    @staticmethod
    def typed(expression: Any, _kind: str) -> Any:
        return expression

    def text(self, value: str) -> Any:
        return self.Value(value)

    def cast(self, expression: Any, kind: str) -> Any:
        from decimal import Decimal

        types = {"decimal": Decimal, "float": float, "integer": int, "text": str, "boolean": bool}
        return self.Cast(expression, types[kind])

    def run(self, query: Callable[[Side], Any]) -> Any:
        async def evaluate() -> Any:
            found = query(self)
            return await found if inspect.isawaitable(found) else found

        return self.runner.run(evaluate())

    def undone(
        self,
        write: Callable[[Side], Any],
        read: Callable[[Side], Any],
        says: Callable[[Any], Any] = lambda result: result,
    ) -> tuple[Any, Any]:
        async def steps() -> tuple[Any, Any]:
            try:
                async with self.database.transaction():
                    result = says(await write(self))
                    found = read(self)
                    raise Undone(result, await found if inspect.isawaitable(found) else found)
            except Undone as undone:
                return undone.result, undone.found

        return self.runner.run(steps())
