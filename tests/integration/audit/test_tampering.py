"""Each way to falsify a chain is found, with its place, by the call and by the offline verifier."""

from __future__ import annotations

import hashlib
import struct

import pytest

from cohortlens.audit import lines
from cohortlens.audit.export_file import verify_export
from cohortlens.audit.filters import Condition
from cohortlens.audit.models import FIRST_PREVIOUS

ROWS = 12
RESEALED = 8


async def change(attacker, tenant_id):
    await attacker.execute(
        "UPDATE audit_log SET canonical = convert_to(replace(convert_from(canonical, 'UTF8'), '192.0.2', '198.51.100'), "
        "'UTF8') WHERE tenant_id = $1 AND seq = 5",
        tenant_id,
    )


async def change_shown(attacker, tenant_id):
    await attacker.execute(
        "UPDATE audit_log SET actor = 'user:nobody' WHERE tenant_id = $1 AND seq = 5", tenant_id
    )


async def retime(attacker, tenant_id):
    await attacker.execute(
        "UPDATE audit_log SET created_at = created_at + interval '1 microsecond' WHERE tenant_id = $1 AND seq = 5",
        tenant_id,
    )


async def remove(attacker, tenant_id):
    await attacker.execute("DELETE FROM audit_log WHERE tenant_id = $1 AND seq = 5", tenant_id)


async def reorder(attacker, tenant_id):
    for old, new in ((5, 1005), (6, 5), (1005, 6)):
        await attacker.execute(
            "UPDATE audit_log SET seq = $3 WHERE tenant_id = $1 AND seq = $2", tenant_id, old, new
        )


async def insert(attacker, tenant_id):
    await attacker.execute(
        "UPDATE audit_log SET seq = seq + 1000 WHERE tenant_id = $1 AND seq >= 5", tenant_id
    )
    await attacker.execute(
        "UPDATE audit_log SET seq = seq - 999 WHERE tenant_id = $1 AND seq >= 1005", tenant_id
    )
    await attacker.execute(
        "INSERT INTO audit_log SELECT tenant_id, created_at + interval '1 microsecond', 5, previous_hash, hash, "
        "canonical, actor, on_behalf_of, action, resource, outcome, request_id FROM audit_log "
        "WHERE tenant_id = $1 AND seq = 4",
        tenant_id,
    )
    await attacker.execute("UPDATE audit_heads SET seq = seq + 1 WHERE tenant_id = $1", tenant_id)


async def rechain_one(attacker, tenant_id):
    """Change a row and compute its hash anew, so that only the next row gives it away."""
    await change(attacker, tenant_id)
    await _rechain(attacker, tenant_id, 5, 5)


async def rechain_all(attacker, tenant_id):
    """Change a row and compute every hash behind it anew: only the checkpoint gives it away."""
    await change(attacker, tenant_id)
    await _rechain(attacker, tenant_id, 5, None)


async def forge_checkpoint(attacker, tenant_id):
    await attacker.execute(
        "UPDATE audit_checkpoints SET signature = set_byte(signature, 7, get_byte(signature, 7) # 1) "
        "WHERE tenant_id = $1 AND seq = $2",
        tenant_id,
        RESEALED,
    )


async def _rechain(attacker, tenant_id, first, last):
    rows = await attacker.fetch(
        "SELECT seq, (extract(epoch FROM created_at) * 1000000)::bigint AS us, hash, canonical FROM audit_log "
        "WHERE tenant_id = $1 ORDER BY seq",
        tenant_id,
    )
    previous = FIRST_PREVIOUS
    for row in rows:
        made = row["hash"]
        if first <= row["seq"] <= (last or row["seq"]):
            message = (
                b"CLA1"
                + tenant_id.bytes
                + previous
                + struct.pack(">qq", row["seq"], row["us"])
                + row["canonical"]
            )
            made = hashlib.sha256(message).digest()
            await attacker.execute(
                "UPDATE audit_log SET previous_hash = $3, hash = $4 WHERE tenant_id = $1 AND seq = $2",
                tenant_id,
                row["seq"],
                previous,
                made,
            )
        previous = made
    if last is None:
        await attacker.execute("UPDATE audit_heads SET hash = $2 WHERE tenant_id = $1", tenant_id, previous)


FORGERIES = {
    "changed": (change, 5, "CONTENT"),
    "re-timed": (retime, 5, "CONTENT"),
    "removed": (remove, 5, "GAP"),
    "reordered": (reorder, 5, "LINK"),
    "inserted": (insert, 5, "LINK"),
    "one hash made anew": (rechain_one, 6, "LINK"),
    "all hashes made anew": (rechain_all, RESEALED, "CHECKPOINT"),
    "checkpoint forged": (forge_checkpoint, RESEALED, "CHECKPOINT"),
}


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_a_forgery_is_found_at_its_place_by_the_call_and_offline(
    tenants, append, attacker, log, checkpoints, exports, signer, forgery
):
    falsify, seq, kind = FORGERIES[forgery]
    north = tenants[0]
    await append(north.tenant_id, ROWS - await _present(log, north))
    await checkpoints.seal(north.tenant_id, RESEALED)
    good = await _export(exports, north)
    report = await log.verify(north.context())
    assert (report.fault, report.checkpoints) == (None, 2)
    assert verify_export(good, await signer.public_keys()).fault is None

    await falsify(attacker, north.tenant_id)

    fault = (await log.verify(north.context())).fault
    assert (fault.seq, fault.kind) == (seq, kind)
    falsified = await _export(exports, north)
    offline = verify_export(falsified, await signer.public_keys()).fault
    assert (offline.seq, offline.kind) == (seq, kind)


async def test_columns_that_say_something_else_than_the_row_are_found(tenants, append, attacker, log):
    await append(tenants[0].tenant_id, 6)
    await change_shown(attacker, tenants[0].tenant_id)
    fault = (await log.verify(tenants[0].context())).fault
    assert (fault.seq, fault.kind) == (5, "CONTENT")


async def test_a_tail_that_was_cut_off_is_found_by_the_head_and_by_the_checkpoint(
    tenants, append, attacker, log, checkpoints
):
    tenant_id = tenants[0].tenant_id
    await append(tenant_id, 6)
    await checkpoints.seal(tenant_id)
    last = (await log.latest_checkpoint(tenants[0].context())).seq
    await attacker.execute("DELETE FROM audit_log WHERE tenant_id = $1 AND seq = $2", tenant_id, last)
    fault = (await log.verify(tenants[0].context())).fault
    assert (fault.seq, fault.kind) == (last, "GAP")
    await attacker.execute(
        "UPDATE audit_heads h SET seq = l.seq, hash = l.hash FROM audit_log l "
        "WHERE h.tenant_id = $1 AND l.tenant_id = $1 AND l.seq = $2",
        tenant_id,
        last - 1,
    )
    fault = (await log.verify(tenants[0].context())).fault
    assert (fault.seq, fault.kind) == (last, "GAP")


async def test_a_chain_that_was_broken_gets_no_checkpoint(tenants, append, attacker, log, checkpoints):
    tenant_id = tenants[0].tenant_id
    await append(tenant_id, 6)
    await change(attacker, tenant_id)
    await checkpoints.seal_all()
    assert await _sealed_seq(attacker, tenant_id) is None


async def test_each_tenant_has_a_chain_of_its_own(tenants, append, attacker, log):
    north, south = tenants
    await append(north.tenant_id, 6)
    await append(south.tenant_id, 6)
    await change(attacker, north.tenant_id)
    assert (await log.verify(south.context())).fault is None
    assert (await log.verify(north.context())).fault is not None


async def _present(log, tenant):
    return len(await log.page(tenant.context(), Condition(), None, 1000))


async def _sealed_seq(superuser, tenant_id):
    return await superuser.fetchval("SELECT max(seq) FROM audit_checkpoints WHERE tenant_id = $1", tenant_id)


async def _export(exports, tenant):
    """The lines of an export; the rows that ask for exports stand behind it."""
    stored = await exports.start(tenant.context(), to_seq=ROWS)
    await exports.run(tenant.tenant_id, stored.export_id)
    content = b"".join([piece async for piece in await exports.content(tenant.context(), stored.export_id)])
    assert lines.read(content.splitlines()[-1]) == {"type": "end", "to_seq": ROWS}
    return content.splitlines()
