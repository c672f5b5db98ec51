"""Calls by tenant: never more series than seats, no counter that falls, no call that is lost."""

import random

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from cohortlens.core.busiest import Busiest


def counter(seats=3):
    registry, now = CollectorRegistry(), [0.0]
    calls = Busiest("calls_total", "Calls", "tenant", registry=registry, seats=seats, clock=lambda: now[0])
    return calls, registry, now


def shown(registry):
    (family,) = text_string_to_metric_families(generate_latest(registry).decode())
    return {one.labels["tenant"]: one.value for one in family.samples}


def test_the_first_tenants_have_series_and_the_rest_are_other():
    calls, registry, _ = counter()
    for tenant in ("a", "b", "c", "d", "e", "d"):
        calls.inc(tenant)
    assert shown(registry) == {"a": 1, "b": 1, "c": 1, "other": 3}


def test_a_tenant_that_becomes_busy_takes_the_seat_of_the_quietest():
    calls, registry, now = counter()
    for tenant in ("a", "b", "b", "c", "c"):
        calls.inc(tenant)
    for _ in range(20):
        calls.inc("late")
    now[0] = 61.0
    calls.inc("late")
    for _ in range(5):
        calls.inc("late")
    assert shown(registry) == {"b": 2, "c": 2, "late": 5, "other": 22}


def test_ten_thousand_tenants_make_no_more_series_than_seats_and_no_call_is_lost():
    calls, registry, now = counter(seats=50)
    chance, before = random.Random(7), {}
    for number in range(60_000):
        calls.inc(str(int(chance.paretovariate(0.5)) % 10_000))
        if number % 5_000 == 0:
            now[0] += 61.0
            after = shown(registry)
            assert len(after) <= 51
            assert after["other"] >= before.get("other", 0)
            before = after
    assert sum(shown(registry).values()) == 60_000
    assert len(calls._lately) <= 2_000
