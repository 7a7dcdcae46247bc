"""What goes wrong in transactions over several databases, and where a server cannot do what was asked of it."""
# ruff: noqa: N818 - they say what happened

from collections.abc import Mapping, Sequence

from hyperdjango.database.errors import InterfaceError, OperationalError, OutcomeUnknown


class PartialCommit(OperationalError):
    """A transaction over several databases is committed in some of them and not in others.

    Attributes:
        committed: The aliases that are committed, in order.
        failed: The alias whose COMMIT failed to its error; of a two-phase commit several.
        rolled_back: Those after it, where nothing was committed.
        pending: Those of a two-phase commit that are prepared, and will be committed by `recover()`.
    """

    def __init__(
        self,
        committed: Sequence[str],
        failed: Mapping[str, BaseException],
        rolled_back: Sequence[str] = (),
        pending: Sequence[str] = (),
    ) -> None:
        self.committed = tuple(committed)
        self.failed = dict(failed)
        self.rolled_back = tuple(rolled_back)
        self.pending = tuple(pending)
        parts = [f"committed in {_listed(self.committed)}"]
        lost = [alias for alias in self.failed if alias not in self.pending]
        unknown = [alias for alias in lost if _is_unknown(self.failed[alias])]
        refused = [alias for alias in lost if alias not in unknown]
        if refused:
            parts.append(f"not in {_listed(refused)}")
        if unknown:
            parts.append(f"nobody knows in {_listed(unknown)}")
        if self.rolled_back:
            parts.append(f"rolled back in {_listed(self.rolled_back)}")
        if self.pending:
            parts.append(f"prepared in {_listed(self.pending)}: recover() commits it there")
        reasons = "; ".join(f"{alias}: {_said(error)}" for alias, error in self.failed.items())
        super().__init__(f"the transaction is {', '.join(parts)} ({reasons})")

    def __reduce__(self) -> tuple[object, ...]:
        """Errors of this kind travel between processes, as all of the driver's do."""
        return type(self), (self.committed, self.failed, self.rolled_back, self.pending)

    @property
    def unknown(self) -> tuple[str, ...]:
        """The aliases whose connection was lost, or whose wait was ended, with the COMMIT on its way."""
        lost = (alias for alias in self.failed if alias not in self.pending)
        return tuple(alias for alias in lost if _is_unknown(self.failed[alias]))


class CapabilityMissing(InterfaceError):
    """A server, or what stands in front of it, cannot do what was asked. The text names alias, host and remedy."""


def _is_unknown(error: BaseException) -> bool:
    return isinstance(error, OutcomeUnknown) or not isinstance(error, Exception)


def _listed(aliases: Sequence[str]) -> str:
    return ", ".join(map(repr, aliases))


def _said(error: BaseException) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


__all__ = ["CapabilityMissing", "PartialCommit"]
