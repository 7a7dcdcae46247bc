"""The pytest plugin of hyper-pgzig: the helpers of `hyperdjango.database.testing` as fixtures of their names.

pytest loads it by itself in every project that has hyper-pgzig installed. So it stands outside of
`hyperdjango.database`, and imports it where a test asks for a fixture: who does not use the driver does not
load it, and whether the extension is built does not matter before.
pytest docs: how-to/writing_plugins, "Making your plugin installable by others".
"""

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture(scope="session")
def capture_queries() -> Callable[..., Any]:
    """List the calls that a `with` block makes."""
    from hyperdjango.database import testing  # noqa: PLC0415 - see above

    return testing.capture_queries


@pytest.fixture(scope="session")
def assert_num_queries() -> Callable[..., Any]:
    """Fail where a `with` block makes another number of calls than it should."""
    from hyperdjango.database import testing  # noqa: PLC0415 - see above

    return testing.assert_num_queries


@pytest.fixture(scope="session")
def assert_no_seq_scan() -> Callable[..., Any]:
    """Fail where no index can serve a statement."""
    from hyperdjango.database import testing  # noqa: PLC0415 - see above

    return testing.assert_no_seq_scan
