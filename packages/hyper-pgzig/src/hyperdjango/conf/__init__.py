"""Settings of the process: what `settings.configure(...)` said, else the environment.

Needs the standard library only; every other part of `hyperdjango` may import it.
"""

from hyperdjango.conf._redact import redact_url
from hyperdjango.conf._settings import Settings, settings

__all__ = ["Settings", "redact_url", "settings"]
