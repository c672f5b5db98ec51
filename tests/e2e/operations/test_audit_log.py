"""The audit log over the network: what was done is in it, it verifies, and an export is proof elsewhere."""

import json

import pytest

from cohortlens.audit.export_file import verify_export
from cohortlens.cli.audit import read_keys
from cohortlens.cli.errors import ApiError
from cohortlens.core.ids import uuid7
from cohortlens.v1 import audit_pb2, auth_pb2, common_pb2, customers_pb2
from tests.fixtures.waiting import eventually_blocking


def _listed(client, expression):
    request = audit_pb2.ListAuditEventsRequest(filter=expression)
    return list(client.call(client.audit.ListAuditEvents, request).events)


def test_an_import_and_a_promotion_are_in_the_log_and_the_chain_holds(demo):
    # The first one is that of the sample; stories of consent import more, some of it refused.
    (*_, imported) = _listed(demo, 'action = "customers.customer.imported"')
    details = json.loads(imported.details)
    assert (imported.actor, len(details["file_sha256"])) == ("job:import", 64)
    assert (details["rows_accepted"], details["customers_created"]) == (6919, 2357)
    assert _listed(demo, 'action = "registry.model.promoted" AND outcome = OK')
    found = demo.call(demo.audit.GetAuditEvent, audit_pb2.GetAuditEventRequest(seq=imported.seq)).event
    assert found == imported
    report = demo.call(demo.audit.VerifyAuditChain, audit_pb2.VerifyAuditChainRequest())
    assert (report.ok, report.rows) == (True, report.to_seq)


def test_a_filter_that_cannot_be_read_names_what_is_expected(demo):
    with pytest.raises(ApiError) as fault:
        _listed(demo, "hash = x")
    assert (fault.value.code, fault.value.reason) == ("INVALID_ARGUMENT", "FIELD_INVALID")
    assert "actor, on_behalf_of, action" in fault.value.message


def test_an_export_verifies_without_a_database(demo):
    asked = demo.call(demo.audit.CreateAuditExport, audit_pb2.CreateAuditExportRequest()).export

    def ended():
        found = demo.call(
            demo.audit.GetAuditExport, audit_pb2.GetAuditExportRequest(export=asked.export)
        ).export
        return (
            found if found.state in {common_pb2.WORK_STATE_SUCCEEDED, common_pb2.WORK_STATE_FAILED} else None
        )

    export = eventually_blocking(ended, 20.0)
    assert export.state == common_pb2.WORK_STATE_SUCCEEDED
    lines = b"".join(demo.download_audit_export(export.export)).splitlines(keepends=True)
    keys = read_keys(demo.call(demo.audit.ListAuditKeys, audit_pb2.ListAuditKeysRequest()))
    report = verify_export(lines, keys)
    assert (report.fault, report.to_seq) == (None, export.to_seq)
    lines[1] = lines[1].replace(b'\\"outcome\\":\\"OK\\"', b'\\"outcome\\":\\"NO\\"')
    assert verify_export(lines, keys).fault.kind == "CONTENT"
    sealed = demo.call(demo.audit.GetAuditCheckpoint, audit_pb2.GetAuditCheckpointRequest()).checkpoint
    assert sealed.seq >= export.to_seq
    assert sealed.kid in keys


def test_whoever_looks_for_what_is_not_there_is_found_in_the_access_log(demo):
    missing = str(uuid7())
    with pytest.raises(ApiError) as refused:
        demo.call(demo.customers.GetImport, customers_pb2.GetImportRequest(**{"import": missing}))
    assert refused.value.reason == "RESOURCE_NOT_FOUND"
    actor = "user:" + demo.call(demo.auth.GetMe, auth_pb2.GetMeRequest()).user
    (entry,) = _entries(demo, lambda it: it.resource == f"import/{missing}", actor=actor)
    assert (entry.action, entry.method) == (
        "gateway.call.refused",
        "/cohortlens.v1.CustomersService/GetImport",
    )
    assert (entry.outcome, entry.reason) == (audit_pb2.AUDIT_OUTCOME_DENIED, "RESOURCE_NOT_FOUND")
    assert entry.request_id == refused.value.request_id
    assert entry.address == "127.0.0.0/24"
    assert json.loads(entry.leaf)["resource"] == entry.resource

    nobody = "external:nobody-of-that-name"
    with pytest.raises(ApiError):
        demo.call(demo.customers.GetCustomer, customers_pb2.GetCustomerRequest(customer=nobody))
    (entry,) = _entries(demo, lambda it: it.method.endswith("/GetCustomer"), customer=nobody)
    assert (entry.outcome, len(entry.customer_refs), nobody.encode() in entry.leaf) == (
        audit_pb2.AUDIT_OUTCOME_DENIED,
        1,
        False,
    )


def _entries(client, wanted, **narrowed):
    """The entries that a list finds, once there are any: they are stored within a second."""
    request = audit_pb2.ListAccessEntriesRequest(page_size=1000, **narrowed)
    return eventually_blocking(
        lambda: [it for it in client.call(client.audit.ListAccessEntries, request).entries if wanted(it)]
    )
