"""What a plan does not allow is told alike at both doors, and a larger plan counts at a running gateway."""

from __future__ import annotations

import grpc
import httpx
import pytest
from google.protobuf.json_format import MessageToDict
from google.rpc import error_details_pb2, status_pb2

from cohortlens.billing.models import Limits, Override
from cohortlens.v1 import (
    analytics_pb2,
    analytics_pb2_grpc,
    audit_pb2,
    audit_pb2_grpc,
    auth_pb2_grpc,
    auth_users_pb2,
    customers_pb2,
    customers_pb2_grpc,
)
from tests.fixtures.tenants import grant, register
from tests.fixtures.waiting import eventually
from tests.integration.gateway.test_idempotency import token_of

ME = "/api/v1/users/me"
PREDICT = {"task": "PREDICTION_TASK_SPEND", "customers": ["external:1"]}
GUEST = {"email": "guest@shop.example", "role": "viewer"}
# Read as JSON, details must be known to the process that reads them.
DETAILS = error_details_pb2.DESCRIPTOR


@pytest.fixture
async def tenant(database):
    """A tenant on the free plan."""
    return await register(database, "corner", "basic")


@pytest.fixture
async def metadata(database, redis_client, tenant):
    token = await token_of(database, redis_client, tenant)
    return [("authorization", f"Bearer {token}")]


@pytest.fixture
async def http(gateway, metadata):
    base = f"http://127.0.0.1:{gateway.http_port}"
    async with httpx.AsyncClient(base_url=base, headers=dict(metadata), timeout=30) as client:
        yield client


async def one_call(database, superuser, tenant, http):
    limits = Limits(max_api_calls_per_month=1)
    await grant(database, tenant.tenant_id, Override("what a test needs", limits=limits))
    assert (await http.get("/api/v1/customers")).status_code == 200


async def one_user(database, superuser, tenant, http):
    await grant(database, tenant.tenant_id, Override("what a test needs", limits=Limits(max_users=1)))


async def read_only(database, superuser, tenant, http):
    await superuser.execute(
        "UPDATE entitlements SET access = 'READ_ONLY', version = version + 1 WHERE tenant_id = $1",
        tenant.tenant_id,
    )


async def nothing(database, superuser, tenant, http):
    pass


REFUSALS = {
    "PLAN_FEATURE_REQUIRED": (
        nothing,
        ("POST", "/api/v1/auditExports", {}),
        (audit_pb2_grpc.AuditServiceStub, "CreateAuditExport", audit_pb2.CreateAuditExportRequest()),
        (403, grpc.StatusCode.PERMISSION_DENIED),
        {"feature": "audit.export", "upgrade_to": "enterprise"},
    ),
    "SUBSCRIPTION_INACTIVE": (
        read_only,
        ("POST", "/api/v1/predict", PREDICT),
        (
            analytics_pb2_grpc.AnalyticsServiceStub,
            "Predict",
            analytics_pb2.PredictRequest(task="PREDICTION_TASK_SPEND", customers=["external:1"]),
        ),
        (400, grpc.StatusCode.FAILED_PRECONDITION),
        {},
    ),
    "QUOTA_EXCEEDED": (
        one_call,
        ("GET", "/api/v1/customers", None),
        (customers_pb2_grpc.CustomersServiceStub, "ListCustomers", customers_pb2.ListCustomersRequest()),
        (429, grpc.StatusCode.RESOURCE_EXHAUSTED),
        {"meter": "api_calls", "used": "1", "limit": "1", "upgrade_to": "professional"},
    ),
    "USER_QUOTA_EXCEEDED": (
        one_user,
        ("POST", "/api/v1/users:invite", GUEST),
        (auth_pb2_grpc.AuthServiceStub, "InviteUser", auth_users_pb2.InviteUserRequest(**GUEST)),
        (429, grpc.StatusCode.RESOURCE_EXHAUSTED),
        {"limit": "1", "used": "1", "adding": "1", "upgrade_to": "professional"},
    ),
}


def by_type(details: list[dict]) -> dict[str, dict]:
    found = {one["@type"].rpartition(".")[2]: one for one in details}
    found.pop("RequestInfo")
    return found


def told(headers) -> dict[str, str]:
    """The headers that say how a limit stands; what moves from call to call is left out."""
    names = ("retry-after", "ratelimit-policy")
    return {name: headers[name] for name in names if name in headers}


@pytest.mark.parametrize("reason", REFUSALS)
async def test_a_refusal_of_the_plan_is_told_alike_at_both_doors(
    reason, database, superuser, tenant, gateway, channel, http, metadata
):
    arrange, (verb, path, body), (stub, method, request), codes, wanted = REFUSALS[reason]
    await arrange(database, superuser, tenant, http)

    by_http = await http.request(verb, path, json=body)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await getattr(stub(channel), method)(request, metadata=metadata)

    by_grpc = caught.value
    trailers = dict(by_grpc.trailing_metadata())
    status = MessageToDict(status_pb2.Status.FromString(trailers["grpc-status-details-bin"]))
    theirs, ours = by_type(by_http.json()["details"]), by_type(status["details"])
    ours["ErrorInfo"].setdefault("metadata", {})
    assert (by_http.status_code, by_grpc.code()) == codes
    assert theirs == ours
    assert by_http.json()["message"] == status["message"] == by_grpc.details()
    assert theirs["ErrorInfo"]["reason"] == reason
    assert theirs["ErrorInfo"]["metadata"].items() >= wanted.items()
    assert ("QuotaFailure" in theirs) == (codes[0] == 429)
    shown = {**dict(by_grpc.initial_metadata() or ()), **trailers}
    assert told(by_http.headers) == told(shown)
    # Waiting does not help against a plan.
    assert "retry-after" not in shown


async def test_a_larger_plan_raises_the_rate_within_two_seconds(database, tenant, http):
    async def policy() -> str:
        return (await http.get(ME)).headers["ratelimit-policy"].partition(";pk=")[0]

    # Four fifths of four seconds at 5 calls a second, and at 20.
    assert await policy() == '"read";q=16;w=4'
    await grant(database, tenant.tenant_id, Override("what a test needs", "professional"))

    async def is_raised() -> bool:
        return await policy() == '"read";q=64;w=4'

    await eventually(is_raised, 2, "the rate of the larger plan holds")
