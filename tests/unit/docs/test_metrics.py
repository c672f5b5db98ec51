"""The reference of metrics names what the processes show, and nothing else."""

import re

import gateway.app
import gateway.http.app
import gateway.microbatch.metrics
from cohortlens.core.telemetry import REGISTRY
from docs.metrics import ROOT, metrics

_SERIES = re.compile(r"`((?:grpc|gateway|microbatch|worker_call|outbox|otlp|ratelimit)_[a-z_]+)[`{]")


def shown():
    """Names and kinds of what this process shows."""
    modules = (gateway.app, gateway.http.app, gateway.microbatch.metrics)
    assert all(modules)
    found = {}
    for family in REGISTRY.collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found[name] = family.type
    return found


def test_every_metric_that_the_gateway_shows_is_in_the_reference_with_its_kind():
    listed = {row.name: row.kind for row in metrics()}
    found = shown()
    assert len(found) > 25
    assert {name: kind for name, kind in found.items() if listed.get(name) != kind} == {}


def test_every_series_that_the_guide_names_exists():
    named = set(_SERIES.findall((ROOT / "docs/guides/observability.md").read_text(encoding="utf-8")))
    assert len(named) > 15
    assert named <= {row.name for row in metrics()}


def test_only_one_metric_has_a_label_of_tenants_and_none_of_persons_or_requests():
    labels = {row.name: set(row.labels) for row in metrics()}
    assert [name for name, found in labels.items() if "tenant" in found] == ["gateway_tenant_calls_total"]
    assert not set().union(*labels.values()) & {"user", "path", "request_id", "customer", "email"}
