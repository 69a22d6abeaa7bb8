"""How large are the tests of whole pipelines? Quick by default, as large as the bars on request.

HEADRACE_TEST_SCALE=10 runs them on ten times the events, and makes their outages ten times as long,
up to what the requirement names.
"""

from __future__ import annotations

import os
from typing import Final

SCALE: Final = float(os.environ.get("HEADRACE_TEST_SCALE", "1"))


def scaled(num: int) -> int:
    """Return a number of events or records, scaled."""
    return int(num * SCALE)


def lasting_s(quick_s: float, required_s: float) -> float:
    """Return how long an outage takes: scaled, and never more than is required."""
    return min(quick_s * SCALE, required_s)
