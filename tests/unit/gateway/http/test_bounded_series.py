"""What callers choose makes no series: not their paths, names, identifiers nor headers."""

import re
import uuid

from prometheus_client.parser import text_string_to_metric_families

from cohortlens.core.telemetry import metrics_text
from tests.unit.gateway.http.public_api import TOKEN, public_api

_NEVER = {"user", "principal", "path", "request_id", "trace_id", "customer", "email", "address"}
_IDENTIFIER = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}|@|/[^{}]*[0-9a-f]{12}")
PATHS = 5_000


def series():
    found = {}
    for family in text_string_to_metric_families(metrics_text().decode()):
        for sample in family.samples:
            found[sample.name, tuple(sorted(sample.labels.items()))] = family.type
    return found


async def _ask(client, number):
    name = uuid.uuid4()
    target = (
        f"/{name}/{number}",
        f"/api/v1/customers/external:{name}",
        f"/api/v1/{name}:{number}?x={name}",
        f"/cohortlens.v1.AnalyticsService/{name.hex}",
    )[number % 4]
    headers = {"x-request-id": str(name), "user-agent": str(name), f"x-{name}": "1"}
    await client.request("GET", target, b"", {**TOKEN, **headers})


async def test_five_thousand_random_paths_and_identifiers_add_no_series():
    client, _ = public_api()
    for number in range(40):
        await _ask(client, number)
    before = series()
    for number in range(PATHS):
        await _ask(client, number)
    assert set(series()) == set(before)


async def test_no_series_has_a_label_or_a_value_of_a_caller_and_only_the_bounded_one_names_tenants():
    client, _ = public_api()
    for number in range(40):
        await _ask(client, number)
    named = set()
    for (name, labels), kind in series().items():
        for label, value in labels:
            assert label not in _NEVER, name
            if label == "tenant":
                named.add(name)
            elif label != "le":
                assert not _IDENTIFIER.search(value), (name, label, value)
            if kind == "histogram":
                assert label not in {"tenant", "reason"}, name
    assert named <= {"gateway_tenant_calls_total"}
