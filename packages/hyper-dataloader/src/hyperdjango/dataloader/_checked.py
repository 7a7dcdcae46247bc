"""Refuses a driver that this distribution was not made for. The package imports it before all that uses the driver."""

from typing import Final

from hyperdjango.database._native import require_native_api

DISTRIBUTION: Final = "hyper-dataloader"
NATIVE_API: Final = 1

# A driver of another age would fail later and less clearly.
require_native_api(DISTRIBUTION, NATIVE_API)
