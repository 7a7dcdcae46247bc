"""What runs around saving and deleting an instance: the model's own methods, and signals.

A model that has neither pays for one look at a dict. Called by `_rows`.
"""

import inspect
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hyperdjango.models.signals import Signal, post_delete, post_save, pre_delete, pre_save

if TYPE_CHECKING:
    from hyperdjango.models.model import Model

HOOKS: Final = ("before_save", "after_save", "before_delete", "after_delete")


class Hooks:
    """The base of models that has the methods which they may override; those here do nothing.

    Each may be a coroutine function. What `before_…` raises stops the saving. They run inside the caller's
    transaction, where there is one, and not in one of their own.
    """

    __slots__ = ()

    def before_save(self, *, created: bool) -> Any:
        """Runs before the statement; attributes that it sets are saved.

        Args:
            created: The row is about to be inserted.
        """

    def after_save(self, *, created: bool) -> Any:
        """Runs after the statement, before the transaction around it is committed."""

    def before_delete(self) -> Any:
        """Runs before the statement."""

    def after_delete(self) -> Any:
        """Runs after the statement."""


class Overridden(NamedTuple):
    """Which of its hooks a model has."""

    before_save: bool
    after_save: bool
    before_delete: bool
    after_delete: bool


_known: "dict[type[Model], Overridden]" = {}


def hooks_of(model: "type[Model]") -> Overridden:
    """Return which hooks a model has; looked at when it is first saved."""
    known = _known.get(model)
    if known is None:
        found = [getattr(model, name) is not getattr(Hooks, name) for name in HOOKS]
        known = _known.setdefault(model, Overridden(*found))
    return known


def listens(model: "type[Model]") -> bool:
    """Whether anything but the statement happens when an instance of the model is saved."""
    hooks = hooks_of(model)
    return (
        hooks.before_save
        or hooks.after_save
        or pre_save.has_listeners(model)
        or post_save.has_listeners(model)
    )


async def _awaited(answer: Any) -> None:
    if inspect.isawaitable(answer):
        await answer


async def before_save(instance: Any, database: Any, names: Any, *, created: bool) -> None:
    """The hook, then the signal, as in Django's order of an overridden save()."""
    if hooks_of(instance.__class__).before_save:
        await _awaited(instance.before_save(created=created))
    if pre_save:
        await _send(pre_save, instance, database, created=created, update_fields=names)


async def after_save(instance: Any, database: Any, names: Any, *, created: bool) -> None:
    """The signal, then the hook."""
    if post_save:
        await _send(post_save, instance, database, created=created, update_fields=names)
    if hooks_of(instance.__class__).after_save:
        await _awaited(instance.after_save(created=created))


async def before_delete(instance: Any, database: Any) -> None:
    """The hook, then the signal."""
    if hooks_of(instance.__class__).before_delete:
        await _awaited(instance.before_delete())
    if pre_delete:
        await _send(pre_delete, instance, database)


async def after_delete(instance: Any, database: Any) -> None:
    """The signal, then the hook."""
    if post_delete:
        await _send(post_delete, instance, database)
    if hooks_of(instance.__class__).after_delete:
        await _awaited(instance.after_delete())


async def _send(signal: Signal, instance: Any, database: Any, **named: Any) -> None:
    await signal.send(type(instance), instance=instance, using=database, **named)
