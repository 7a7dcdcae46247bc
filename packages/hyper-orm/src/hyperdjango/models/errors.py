"""The errors of models and querysets. What the backend refuses comes as the driver's errors."""

from typing import Any


class ModelError(Exception):
    """Anything that models and querysets raise by themselves."""


class FieldError(ModelError):
    """A name, a lookup or a value that does not fit the model; raised when the query is built, never later."""


class ModelDeclarationError(ModelError, TypeError):
    """A class that cannot be a model: a reserved name, a type without a column, two models for one table."""


class NotLoaded(ModelError, RuntimeError):
    """An attribute whose value was not fetched: attribute access does no I/O. The text names what would load it."""


class ObjectDoesNotExist(ModelError, LookupError):
    """No row fits. Every model has a `DoesNotExist` of its own below this."""


class MultipleObjectsReturned(ModelError, LookupError):
    """More than one row fits. Every model has one of its own below this."""


class StaleObject(ModelError):
    """The row has been written by somebody else, or is gone, since the instance was read: its Version has moved."""


class PartialWrite(ModelError):
    """Some shards have been written, and one has failed: `scatter().update()` and `delete()` are not one transaction.

    Attributes:
        done: Alias to what each shard has returned that has committed, or is part of a running transaction there.
        failed: Alias to the error of each that has failed. The others were not begun.
    """

    def __init__(self, what: str, done: dict[str, Any], failed: dict[str, Exception]) -> None:
        self.what = what
        self.done = done
        self.failed = failed
        errors = ", ".join(f"{alias!r} ({type(error).__name__})" for alias, error in failed.items())
        super().__init__(
            f"{what}: done in the shards {', '.join(map(repr, done))}, failed in {errors}; no other was begun"
        )

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.what, self.done, self.failed))


class ValidationError(ModelError, ValueError):
    """Values that do not keep what the model declares.

    Attributes:
        errors: Attribute name to what is wrong with its value.
    """

    def __init__(self, model: str, errors: dict[str, str]) -> None:
        self.model = model
        self.errors = errors
        super().__init__(
            f"{model}: " + "; ".join(f"{name}: {text}" if name else text for name, text in errors.items())
        )

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.model, self.errors))


__all__ = [
    "FieldError",
    "ModelDeclarationError",
    "ModelError",
    "MultipleObjectsReturned",
    "NotLoaded",
    "ObjectDoesNotExist",
    "PartialWrite",
    "StaleObject",
    "ValidationError",
]
