"""Exports: what a killed job left is gone on with, and the keys that the installation signs with."""

from __future__ import annotations

import pytest

from cohortlens.adapters.checkpoint_signing import StoredCheckpointSigner
from cohortlens.audit import exports as exports_module
from cohortlens.audit import lines
from cohortlens.audit.checkpoints import Checkpoints
from cohortlens.audit.export_file import verify_export
from cohortlens.audit.exports import AuditExports, ExportNotReady
from cohortlens.audit.files import AuditFolder
from cohortlens.audit.models import AuditRowMissing, RangeInvalid
from cohortlens.core.errors import FailedPrecondition
from cohortlens.core.ids import uuid7


class DiedError(Exception):
    pass


async def _content(exports, tenant, export_id):
    return b"".join([piece async for piece in await exports.content(tenant.context(), export_id)])


async def test_a_job_that_died_is_gone_on_with_and_writes_what_is_there_once(
    tenants, append, exports, signer, tmp_path, monkeypatch
):
    monkeypatch.setattr(exports_module, "PART_ROWS", 4)
    north = tenants[0]
    await append(north.tenant_id, 12)
    stored = await exports.start(north.context(), from_seq=2, to_seq=12)
    write, written = exports_module._write, []

    def dying(path, content):
        if len(written) == 2:
            raise DiedError
        written.append(path.name)
        write(path, content)

    monkeypatch.setattr(exports_module, "_write", dying)
    with pytest.raises(DiedError):
        await exports.run(north.tenant_id, stored.export_id)
    under_way = await exports.get(north.context(), stored.export_id)
    assert (under_way.state, under_way.written_seq, round(under_way.progress_ratio, 2)) == (
        "RUNNING",
        9,
        0.73,
    )
    with pytest.raises(ExportNotReady):
        await exports.content(north.context(), stored.export_id)

    def counting(path, content):
        written.append(path.name)
        write(path, content)

    monkeypatch.setattr(exports_module, "_write", counting)
    await exports.run(north.tenant_id, stored.export_id)
    assert len(written) == len(set(written)) == 3
    done = await exports.get(north.context(), stored.export_id)
    content = await _content(exports, north, stored.export_id)
    assert (done.state, done.size_bytes) == ("SUCCEEDED", len(content))
    report = verify_export(content.splitlines(), await signer.public_keys())
    assert (report.fault, report.rows, report.checkpoints) == (None, 11, 1)
    folder = AuditFolder(tmp_path, north.tenant_id).export(stored.export_id)
    assert [it.name for it in folder.iterdir()] == ["export.jsonl"]


async def test_another_tenants_export_is_as_missing_as_one_that_never_was(tenants, append, exports):
    north, south = tenants
    await append(north.tenant_id, 3)
    stored = await exports.start(north.context())
    for export_id in (stored.export_id, uuid7()):
        with pytest.raises(AuditRowMissing):
            await exports.get(south.context(), export_id)


@pytest.mark.parametrize(("span", "field"), [((1, 99), "to_seq"), ((3, 2), "from_seq")])
async def test_rows_that_are_not_there_are_refused_by_field(tenants, append, exports, span, field):
    await append(tenants[0].tenant_id, 4)
    with pytest.raises(RangeInvalid) as fault:
        await exports.start(tenants[0].context(), *span)
    assert fault.value.violations[0].field == field


async def test_checkpoints_are_signed_by_a_stored_key_that_stays_known_after_its_rotation(
    database, superuser, tenants, append, tmp_path
):
    signer = StoredCheckpointSigner(database, b"k" * 32)
    checkpoints = Checkpoints(database, signer, tmp_path)
    north = tenants[0]
    await append(north.tenant_id, 2)
    first = await checkpoints.seal(north.tenant_id)
    copy = AuditFolder(tmp_path, north.tenant_id).checkpoint(first.seq)
    assert lines.read_checkpoint(lines.read(copy.read_bytes())) == first
    await superuser.execute(
        "UPDATE signing_keys SET state = 'RETIRING', retire_at = clock_timestamp() WHERE key_set = 'audit'"
    )
    await append(north.tenant_id, 2)
    second = await checkpoints.seal(north.tenant_id)
    assert second.kid != first.kid
    exports = AuditExports(database, signer, checkpoints, tmp_path)
    stored = await exports.start(north.context(), to_seq=second.seq)
    await exports.run(north.tenant_id, stored.export_id)
    content = (await _content(exports, north, stored.export_id)).splitlines()
    keys = await signer.public_keys()
    report = verify_export(content, keys)
    assert (set(keys), report.fault, report.checkpoints) == ({first.kid, second.kid}, None, 2)
    with pytest.raises(FailedPrecondition) as fault:
        await StoredCheckpointSigner(database, b"x" * 32).sign(b"message")
    assert fault.value.reason == "KEK_MISMATCH"
