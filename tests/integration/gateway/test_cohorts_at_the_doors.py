"""Cohorts of the published data through both doors of a gateway over real PostgreSQL: the same numbers."""

import httpx
import pytest
from google.protobuf.json_format import ParseDict

from cohortlens.core.paging import PageTokens
from cohortlens.core.tenant_keys import TenantKeys
from cohortlens.customers.models import ImportOptions
from cohortlens.customers.service import CustomersService
from cohortlens.v1 import analytics_pb2_grpc, cohorts_pb2
from tests.fixtures.public_data import public_data
from tests.integration.gateway.test_idempotency import token_of

QUESTIONS = {
    "cohorts:query": ("QueryCohorts", {"align": "COHORT_ALIGN_ROLLING", "periods": 3}),
    "survival:query": ("QuerySurvival", {"gapDays": 90, "maxDays": 60}),
    "retention:project": ("ProjectRetention", {"periods": 24, "seed": 3, "cohortBy": "COHORT_BY_MONTH"}),
}


@pytest.fixture
async def token(database, redis_client, tenants, tmp_path):
    async def pieces():
        yield public_data("cdnow_sample.csv.gz").read_bytes()

    shop = CustomersService(database, tmp_path / "spool", PageTokens(b"k" * 32), TenantKeys(b"k" * 32))
    stored = await shop.start_import(tenants[0].context(), ImportOptions(), pieces())
    await shop.run_import(tenants[0].tenant_id, stored.import_id)
    return await token_of(database, redis_client, tenants[0])


@pytest.fixture
async def http(gateway, token):
    headers = {"authorization": f"Bearer {token}"}
    base = f"http://127.0.0.1:{gateway.http_port}"
    async with httpx.AsyncClient(base_url=base, headers=headers, timeout=30) as client:
        yield client


async def test_both_doors_tell_the_same(http, channel, token):
    stub = analytics_pb2_grpc.AnalyticsServiceStub(channel)
    told = {}
    for path, (name, body) in QUESTIONS.items():
        answer = await http.post(f"/api/v1/{path}", json=body)
        assert answer.status_code == 200, answer.text
        assert "NaN" not in answer.text
        requests = getattr(cohorts_pb2, f"{name}Request")
        by_grpc = await getattr(stub, name)(
            ParseDict(body, requests()), metadata=[("authorization", f"Bearer {token}")]
        )
        assert ParseDict(answer.json(), type(by_grpc)()) == by_grpc
        told[name] = by_grpc

    assert [one.size for one in told["QueryCohorts"].cohorts] == [777, 854, 718]
    assert [cell.value for cell in told["QueryCohorts"].cohorts[0].cells] == [777, 118, 74]
    (curve,) = told["QuerySurvival"].curves
    assert (curve.size, curve.steps[0].day, curve.steps[0].at_risk) == (2349, 0, 2349)
    assert [len(one.points) for one in told["ProjectRetention"].projections] == [25] * 3


REFUSED = [
    ("cohorts:query", {"timeZone": "Mars/Olympus"}, "time_zone"),
    ("cohorts:query", {"periods": 121}, "periods"),
    ("survival:query", {"event": "SURVIVAL_EVENT_ORDER", "orderNumber": 1}, "order_number"),
    ("survival:query", {"cohortBy": "COHORT_BY_DAY", "filter": {"firstTo": "1997-13-01"}}, "filter.first_to"),
    ("retention:project", {"survivors": [10, 12]}, "survivors"),
    ("retention:project", {"survivors": [10]}, "survivors"),
]


async def test_what_cannot_be_answered_is_refused_by_its_field(http):
    for path, body, field in REFUSED:
        answer = await http.post(f"/api/v1/{path}", json=body)
        assert answer.status_code == 400, body
        violations = [one for detail in answer.json()["details"] for one in detail.get("fieldViolations", [])]
        assert [one["field"] for one in violations] == [field]

    unpublished = await http.post("/api/v1/cohorts:query", json={"cohortBy": "COHORT_BY_SEGMENT"})
    assert unpublished.status_code == 400
    assert "RUN_NOT_PUBLISHED" in unpublished.text
