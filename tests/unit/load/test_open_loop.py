"""The open-loop driver keeps its schedule and counts what callers would have waited."""

import asyncio
import random

import pytest

from load.histogram import Histogram
from load.open_loop import drive


def test_quantiles_are_known_to_a_part_in_64():
    histogram, numbers = Histogram(), random.Random(7)
    values = sorted(10 ** numbers.uniform(-5, 1) for _ in range(10_000))
    for value in values:
        histogram.record(value)
    for share in (0.5, 0.9, 0.99, 0.999):
        exact_ms = values[round(share * len(values)) - 1] * 1000
        # 1 us of rounding beside the width of a bucket.
        assert histogram.quantile_ms(share) == pytest.approx(exact_ms, rel=1 / 64, abs=0.001)
    assert histogram.quantile_ms(1.0) == pytest.approx(values[-1] * 1000, abs=0.001)


async def test_a_service_that_hangs_is_still_called_on_schedule_and_the_waiting_counts():
    answers, open_again = 0, asyncio.Event()

    async def ask():
        nonlocal answers
        answers += 1
        if answers == 1:
            asyncio.get_running_loop().call_later(0.3, open_again.set)
        await open_again.wait()
        return "OK"

    report = await drive(ask, rate=100, seconds=0.2, warm_up_s=0)
    assert report.calls == 20
    # A closed user would have made one call of 300 ms and 19 quick ones.
    assert report.intended.quantile_ms(0.5) > 150


async def test_refusals_by_a_limit_are_no_failures_and_timeouts_count_in_full():
    codes = iter(["OK", "RESOURCE_EXHAUSTED", "UNAVAILABLE", "DEADLINE_EXCEEDED"])

    async def ask():
        return next(codes)

    report = await drive(ask, rate=1000, seconds=0.004, warm_up_s=0, deadline_s=5)
    assert (report.calls, report.failed) == (4, 2)
    assert report.intended.quantile_ms(1.0) == pytest.approx(5000)


async def test_what_the_warm_up_saw_is_not_reported():
    seen = 0

    async def ask():
        nonlocal seen
        seen += 1
        return "OK" if seen > 5 else "UNAVAILABLE"

    report = await drive(ask, rate=1000, seconds=0.01, warm_up_s=0.005)
    assert (report.calls, report.failed) == (10, 0)


async def test_a_driver_that_cannot_keep_up_calls_its_run_invalid():
    async def ask():
        # Holds up the loop of the driver itself.
        end = asyncio.get_running_loop().time() + 0.02
        while asyncio.get_running_loop().time() < end:
            pass
        return "OK"

    report = await drive(ask, rate=1000, seconds=0.02, warm_up_s=0)
    assert not report.is_valid


async def test_the_gap_is_the_longest_time_without_a_good_answer():
    seen = 0

    async def ask():
        nonlocal seen
        seen += 1
        return "UNAVAILABLE" if 10 <= seen < 20 else "OK"

    report = await drive(ask, rate=100, seconds=0.3, warm_up_s=0)
    assert 0.1 <= report.gap_s() < 0.25
