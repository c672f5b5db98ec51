"""Refusals of the rate limits: what every door tells the caller, and about nobody else."""

from __future__ import annotations

import math

from cohortlens.core.errors import CohortLensError, QuotaViolation, ResourceExhausted, Unavailable
from gateway.limits.buckets import Answer

SENSITIVE = "auth_sensitive"
CONCURRENT = "concurrent_calls"
_UNITS = "units"
_WAIT_S = 1.0


class RateLimited(ResourceExhausted):
    """Too fast for now."""

    reason = "RATE_LIMITED"


class ConcurrencyLimited(ResourceExhausted):
    """Too much under way at once."""

    reason = "CONCURRENCY_LIMITED"


def too_fast(name: str, answer: Answer) -> CohortLensError:
    """The refusal of a call that was too fast.

    Args:
        name: The limit, as callers know it.
        answer: What the check got.
    """
    bucket = answer.bucket
    # To the next millisecond: every door writes it alike, and a retry after it is not a moment early.
    wait_s = max(math.ceil(answer.wait_s * 1000), 1) / 1000
    fault = RateLimited(
        f"the limit {name} of this {bucket.by} is used up; the next call can pass in {wait_s:g} s",
        reason="LOGIN_RATE_LIMITED" if name == SENSITIVE else None,
        metadata={"limit": name, "limited_by": bucket.by},
        retry_delay_s=wait_s,
    )
    fault.quota = (
        QuotaViolation(
            subject=bucket.by,
            description=f"the limit {name} of this {bucket.by} is used up",
            metric=_UNITS,
            quota_id=name,
            value=bucket.burst,
        ),
    )
    return fault


def too_many_at_once(name: str, by: str, most: int) -> CohortLensError:
    """The refusal of a call while as many as allowed are under way.

    Args:
        name: The limit, as callers know it.
        by: Whose limit it is.
        most: Calls that may be under way at once.
    """
    fault = ConcurrencyLimited(
        f"this {by} has {most} calls of class {name} under way, and no more are allowed; wait for one to end",
        metadata={"limit": name, "limited_by": by, "at_once": str(most)},
        retry_delay_s=_WAIT_S,
    )
    fault.quota = (
        QuotaViolation(
            subject=by,
            description=f"{most} calls of class {name} are under way",
            metric=CONCURRENT,
            quota_id=name,
            value=most,
        ),
    )
    return fault


def program_busy(most: int) -> Unavailable:
    """The refusal of a program that has too many calls of class internal under way."""
    return Unavailable(
        f"{most} calls of class internal are under way; wait for one to end",
        metadata={"limit": "internal", "at_once": str(most)},
        retry_delay_s=_WAIT_S,
    )
