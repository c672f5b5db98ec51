"""How long work ends: well, badly for good, or with a fault that time may heal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from cohortlens.core.errors import Aborted, CohortLensError, DeadlineExceeded, Internal, Unavailable
from cohortlens.core.telemetry import get_logger

_log = get_logger(__name__)


async def run_to_end(
    work: Coroutine[Any, Any, None],
    give_up: Callable[[CohortLensError], Awaitable[None]],
    *,
    last_attempt: bool,
) -> None:
    """Await ``work``; store why it failed unless trying again can help.

    Args:
        work: The work, safe to repeat.
        give_up: Stores the failure.
        last_attempt: Whether a passing fault counts as a failure too.

    Raises:
        CohortLensError: A passing fault; the work may be repeated.
    """
    try:
        await work
    except (Unavailable, DeadlineExceeded, Aborted) as fault:
        if not last_attempt:
            raise
        await give_up(fault)
    except CohortLensError as fault:
        await give_up(fault)
    except Exception:
        _log.exception("long work failed")
        await give_up(Internal("a fault of ours; the log of the jobs process has the details"))
