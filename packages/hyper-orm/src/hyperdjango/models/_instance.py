"""The base of every model's instances, which is made in the extension.

Nothing but this module names the class, so what it is made of is decided in one place.
"""

from hyperdjango.database._native import native

Instance = native.Instance
set_plain = object.__setattr__
