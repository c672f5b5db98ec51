"""The audit log over the network: what was done is in it, it verifies, and an export is proof elsewhere."""

import json
import time

import pytest

from cohortlens.audit.export_file import verify_export
from cohortlens.cli.audit import read_keys
from cohortlens.client.errors import ApiError
from cohortlens.v1 import audit_pb2, common_pb2


def _listed(client, expression):
    request = audit_pb2.ListAuditEventsRequest(filter=expression)
    return list(client.call(client.audit.ListAuditEvents, request).events)


def test_an_import_and_a_promotion_are_in_the_log_and_the_chain_holds(demo):
    (imported, *_) = _listed(demo, 'action = "customers.customer.imported"')
    details = json.loads(imported.details)
    assert (imported.actor, len(details["file_sha256"])) == ("job:import", 64)
    assert details["rows_accepted"] > 0
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
    request = audit_pb2.CreateAuditExportRequest()
    export = demo.call(demo.audit.CreateAuditExport, request).export
    for _ in range(100):
        if export.state in {common_pb2.WORK_STATE_SUCCEEDED, common_pb2.WORK_STATE_FAILED}:
            break
        time.sleep(0.2)
        asked = audit_pb2.GetAuditExportRequest(export=export.export)
        export = demo.call(demo.audit.GetAuditExport, asked).export
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
