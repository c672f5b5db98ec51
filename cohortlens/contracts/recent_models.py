"""Which models a deployment used lately: a sorted set in Redis, digests by Unix time of the last use.

Replicas write it with their beat and read it when they start (``workers.deployments.preload``); jobs add the
active versions, so that the first replicas after a start of everything find them too
(``cohortlens.analytics.warmup``).
"""

from __future__ import annotations

MOST = 1000
"""Models remembered for a deployment."""

AGE_S = 7 * 86_400.0
"""Seconds after which a use is forgotten."""


def key_of(deployment: str) -> str:
    """Redis key of the models that a deployment used lately."""
    return f"cl:models:{deployment}"
