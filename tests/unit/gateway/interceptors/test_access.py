"""Which calls leave an entry in the access log, and what it says."""

from __future__ import annotations

from types import SimpleNamespace
from uuid import UUID

import numpy as np
import pytest

from cohortlens.core.context import Principal
from cohortlens.core.errors import InvalidArgument, NotFound, PermissionDenied, Unauthenticated, Unavailable
from cohortlens.core.ids import SessionId, TenantId
from cohortlens.v1 import analytics_pb2, audit_pb2, auth_pb2, customers_pb2
from gateway.interceptors.access import REFUSED, AccessStep
from gateway.interceptors.chain import Call
from gateway.registry import MethodTable
from gateway.wire.vectors import VectorRequest

TABLE = MethodTable()
TABLE.add_public_api(one.DESCRIPTOR for one in (analytics_pb2, audit_pb2, auth_pb2, customers_pb2))
ID = UUID("01930000-0000-7000-8000-000000000001")
WHO = Principal(TenantId(ID), ID, SessionId(ID), "owner", frozenset())


class Notes:
    def __init__(self, is_full=False):
        self.taken = []
        self.is_full = is_full

    def note(self, access):
        self.taken.append(access)


async def run(path, request=None, fault=None, principal=WHO, is_full=False):
    notes = Notes(is_full)
    call = Call("grpc", TABLE.get(f"/cohortlens.v1.{path}"), {}, peer="192.0.2.7")
    call.request, call.principal, call.request_id = request, principal, "r-1"

    async def proceed(_):
        if fault is not None:
            raise fault

    step = AccessStep(notes, lambda: 1_700_000_000_000_000_123)
    if fault is not None:
        with pytest.raises(type(fault)):
            await step(call, proceed)
    else:
        await step(call, proceed)
    return notes.taken


async def test_a_read_of_a_customer_is_noted_with_the_customer():
    (entry,) = await run(
        "CustomersService/GetCustomer", customers_pb2.GetCustomerRequest(customer="external:4")
    )
    assert (entry.action, entry.customers, entry.outcome) == ("customers.customer.read", ["external:4"], "OK")
    assert (entry.actor, entry.tenant_id, entry.request_id) == (f"user:{ID}", ID, "r-1")
    assert (entry.address, entry.at_us) == ("192.0.2.7", 1_700_000_000_000_000)


async def test_vectors_that_were_read_by_hand_are_nobodys_and_a_refusal_of_them_is_noted():
    request = VectorRequest(analytics_pb2.PredictRequest(), np.zeros((1, 3)))
    assert await run("AnalyticsService/Predict", request) == []
    (entry,) = await run("AnalyticsService/Predict", request, PermissionDenied("no"))
    assert (entry.outcome, entry.customers) == ("DENIED", [])


async def test_a_prediction_for_customers_is_noted_and_one_for_vectors_is_not():
    (entry,) = await run("AnalyticsService/Predict", analytics_pb2.PredictRequest(customers=["a", "b"]))
    assert entry.customers == ["a", "b"]
    assert await run("AnalyticsService/Predict", analytics_pb2.PredictRequest(vectors=[{}])) == []


async def test_a_list_without_a_customer_is_noted_all_the_same():
    (entry,) = await run("AnalyticsService/ListPredictions", analytics_pb2.ListPredictionsRequest())
    assert entry.customers == []


async def test_what_is_no_read_about_customers_is_not_noted():
    assert await run("CustomersService/ListImports", customers_pb2.ListImportsRequest()) == []


@pytest.mark.parametrize(
    ("fault", "noted"),
    [
        (NotFound("gone"), True),
        (PermissionDenied("no"), True),
        (InvalidArgument("what"), False),
        (Unavailable("off"), False),
    ],
)
async def test_a_refused_call_is_noted_whatever_it_is(fault, noted):
    request = customers_pb2.GetImportRequest(**{"import": str(ID)})
    taken = await run("CustomersService/GetImport", request, fault)
    assert [(it.action, it.resource, it.outcome, it.reason) for it in taken] == (
        [(REFUSED, f"import/{ID}", "DENIED", fault.reason)] if noted else []
    )


async def test_a_credential_that_ended_is_noted_for_the_tenant_it_named():
    ended = Unauthenticated("over", reason="TOKEN_EXPIRED")
    ended.principal = WHO
    (entry,) = await run("CustomersService/ListImports", None, ended, principal=None)
    assert (entry.tenant_id, entry.outcome, entry.reason) == (ID, "DENIED", "TOKEN_EXPIRED")
    assert await run("CustomersService/ListImports", None, Unauthenticated("whose?"), principal=None) == []


async def test_a_stream_that_broke_off_is_noted_since_part_of_it_was_sent():
    request = audit_pb2.DownloadAuditExportRequest(export=str(ID))
    (entry,) = await run("AuditService/DownloadAuditExport", request, Unavailable("off"))
    assert (entry.outcome, entry.resource) == ("FAILED", f"export/{ID}")


async def test_while_the_log_is_behind_no_read_goes_unseen_and_other_calls_go_on():
    notes = Notes(is_full=True)
    call = Call("grpc", TABLE.get("/cohortlens.v1.CustomersService/GetCustomer"), {})
    with pytest.raises(Unavailable) as fault:
        await AccessStep(notes)(call, _never)
    assert (fault.value.reason, fault.value.retry_delay_s) == ("ACCESS_LOG_BEHIND", 1.0)
    assert await run("CustomersService/ListImports", is_full=True) == []


async def _never(_):
    raise AssertionError("a read that cannot be noted was answered")


async def test_a_chain_without_an_access_log_runs_as_before():
    ran = SimpleNamespace(count=0)

    async def proceed(_):
        ran.count += 1

    await AccessStep(None)(
        Call("grpc", TABLE.get("/cohortlens.v1.CustomersService/GetCustomer"), {}), proceed
    )
    assert ran.count == 1
