"""A headless Chromium, for tests that look at the pages that we write.

    @pytest.fixture(scope="module")
    def browser() -> Iterator[Browser]:
        with open_browser() as opened:
            yield opened

Only for modules whose tests are all synchronous: while it is open, playwright has the thread's event loop.
Playwright's documentation: "Library".
"""

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

NO_BROWSER: Final = "no Chromium"


@contextmanager
def open_browser() -> "Iterator[Browser]":
    """Start one; where there is none the test is skipped, and fails in CI."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium")
    if program is None:
        if os.environ.get("CI", "").lower() in {"1", "true"}:
            pytest.fail(f"{NO_BROWSER}; CI must have it")
        pytest.skip(NO_BROWSER)
    with sync_playwright() as playwright:
        # The pages are our own, and root may have no sandbox.
        opened = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()
