"""What a browser waits for after it has paid: the plan, and since when, in a cookie of ours.

It decides which sentence is shown and nothing else: what a tenant may do is asked of the server.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Final

from gateway.http.pages.forms import Visit

_NAME: Final = "awaits"
_LIFE_S: Final = 3600
_VALUE: Final = re.compile(r"([a-z0-9_-]{1,40})\.([0-9]{1,12})")


@dataclass(frozen=True)
class Awaited:
    """A plan that was paid for, or asked for.

    Attributes:
        plan: The plan.
        for_s: How long ago that was, in seconds.
    """

    plan: str
    for_s: float

    @classmethod
    def begin(cls, visit: Visit, plan: str) -> None:
        """Wait for a plan from now on."""
        value = f"{plan}.{int(time.time())}"
        if _VALUE.fullmatch(value):
            visit.set_cookie(_NAME, value, _LIFE_S)

    @classmethod
    def of(cls, visit: Visit) -> Awaited | None:
        """What this browser waits for; None for nothing."""
        match = _VALUE.fullmatch(visit.cookie(_NAME))
        return cls(match[1], max(0.0, time.time() - int(match[2]))) if match else None

    @staticmethod
    def end(visit: Visit) -> None:
        """Wait no more."""
        visit.drop_cookie(_NAME)
