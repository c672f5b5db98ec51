"""How long work ends: well, badly for good, or with a fault that another attempt may heal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from cohortlens.core.errors import Aborted, CohortLensError, DeadlineExceeded, Internal, Unavailable

DIED = Internal("every attempt ended in a fault of ours; the log of the jobs process tells more; start again")
"""Why work failed whose last attempt is over."""


async def run_to_end(
    work: Coroutine[Any, Any, None], give_up: Callable[[CohortLensError], Awaitable[None]]
) -> None:
    """Await ``work``; store why it failed if repeating it cannot help.

    Args:
        work: The work, safe to repeat.
        give_up: Stores the failure.

    Raises:
        Exception: A passing fault, or one nobody foresaw: the job runner decides about another attempt.
    """
    try:
        await work
    except (Unavailable, DeadlineExceeded, Aborted):
        raise
    except CohortLensError as fault:
        await give_up(fault)
