"""Where instances came from: one object that all instances of a result share, as `instance._origin`."""

from hyperdjango.database._native import native

Origin = native.Origin

# Of instances whose database is not known: those that only name a row, and those that were unpickled.
UNKNOWN_ORIGIN = Origin(None, None)
