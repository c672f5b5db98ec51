"""Waits until what somebody pressed can be seen, so that the next page does not show what was before."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

from gateway.http.pages.billing.person import Person

_LONGEST_S: Final = 4.0
_EVERY_S: Final = 0.2


async def settle(person: Person, is_so: Callable[[Any], bool]) -> None:
    """Wait until the stored subscription follows what was done at the provider.

    What was pressed is done already; its notification comes a moment later. Who is not notified in time
    goes on to a page that shows the state before.

    Args:
        person: Who pressed.
        is_so: Whether a subscription is as it was asked for.
    """
    until = time.monotonic() + _LONGEST_S
    while not is_so((await person.session.call("GetSubscription", {})).subscription):
        if time.monotonic() > until:
            return
        await asyncio.sleep(_EVERY_S)
