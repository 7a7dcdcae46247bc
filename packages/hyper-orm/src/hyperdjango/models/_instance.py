"""The base of every model's instances, which is made in the extension.

Nothing but this module names the class, so what it is made of is decided in one place.
"""

from typing import TYPE_CHECKING, Any

from hyperdjango.database._native import native

if TYPE_CHECKING:
    from hyperdjango.models._origin import Origin

    class Instance:
        """The extension's, for checkers.

        Where only this distribution and the driver are installed nothing says that the extension's module is typed:
        its class would be Any there, and with it every model, whose constructor would take anything.
        """

        _origin: Origin | None
        _changed: set[str] | None
        _extra: dict[str, Any] | None
else:
    Instance = native.Instance

set_plain = object.__setattr__
