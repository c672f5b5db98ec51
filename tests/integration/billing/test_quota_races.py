"""Processes that race for one tenant's quota and are killed: a few of the rounds of ``make soak-quota``."""

from __future__ import annotations

import pytest

from load.bench.quota_rounds import Arena


@pytest.mark.parametrize("kind", ["kill", "plain", "period"])
async def test_no_more_than_the_limit_is_admitted_and_no_more_than_the_bound_is_lost(kind, postgres_urls):
    played = await Arena(postgres_urls.superuser, postgres_urls.runtime).play(kind)
    assert played.killed == (1 if kind == "kill" else 0)
    assert played.holds, played
