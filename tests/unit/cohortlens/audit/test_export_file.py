"""The offline verifier on files that are not what an export is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cohortlens.audit import lines
from cohortlens.audit.export_file import ExportInvalid, verify_export
from cohortlens.audit.models import ChainedRow, Checkpoint
from cohortlens.audit.verifier import checkpoint_message, row_hash

TENANT = UUID("01930000-0000-7000-8000-000000000001")
BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
PRIVATE = Ed25519PrivateKey.generate()
KEYS = {"k1": PRIVATE.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)}


def chain(count):
    rows, previous = [], bytes(32)
    for seq in range(1, count + 1):
        at, canonical = BEGIN + timedelta(seconds=seq), b'{"n":%d}' % seq
        made = row_hash(TENANT, previous, seq, at, canonical)
        rows.append(ChainedRow(seq, at, previous, made, canonical))
        previous = made
    return rows


def sealed(row, private=PRIVATE):
    at = BEGIN + timedelta(hours=1)
    return Checkpoint(
        row.seq, row.hash, at, "k1", private.sign(checkpoint_message(TENANT, row.seq, row.hash, at))
    )


def export(rows, *seals, first=1):
    written = [lines.header(TENANT, first, rows[-1].seq, KEYS)]
    at = {it.seq: it for it in seals}
    if first - 1 in at:
        written.append(lines.checkpoint(at[first - 1]))
    for row in rows[first - 1 :]:
        written.append(lines.event(row))
        if row.seq in at:
            written.append(lines.checkpoint(at[row.seq]))
    return [lines.written(line) for line in [*written, lines.end(rows[-1].seq)]]


def test_a_whole_export_holds_from_any_row_on():
    rows = chain(5)
    for first in (1, 2, 4):
        report = verify_export(export(rows, sealed(rows[4]), sealed(rows[2]), first=first), KEYS)
        assert (report.fault, report.rows) == (None, 6 - first)


def test_an_export_without_a_seal_at_its_end_is_no_proof():
    rows = chain(3)
    fault = verify_export(export(rows, sealed(rows[1])), KEYS).fault
    assert (fault.seq, fault.kind) == (3, "CHECKPOINT")


def test_a_seal_by_a_key_that_the_file_alone_vouches_for_is_no_proof():
    rows, other = chain(3), Ed25519PrivateKey.generate()
    fault = verify_export(export(rows, sealed(rows[2], other)), KEYS).fault
    assert (fault.seq, fault.kind) == (3, "CHECKPOINT")
    fault = verify_export(export(rows, sealed(rows[2])), {"another": KEYS["k1"]}).fault
    assert (fault.seq, fault.kind) == (3, "CHECKPOINT")


def test_another_tenants_rows_under_this_header_are_found():
    rows = chain(3)
    stolen = export(rows, sealed(rows[2]))
    stolen[0] = stolen[0].replace(b"000000000001", b"000000000002")
    fault = verify_export(stolen, KEYS).fault
    assert (fault.seq, fault.kind) == (1, "CONTENT")


@pytest.mark.parametrize("cut", [1, 2, 3, 4])
def test_an_export_that_was_cut_off_is_refused(cut):
    rows = chain(3)
    with pytest.raises(ExportInvalid, match="stops before the end"):
        verify_export(export(rows, sealed(rows[2]))[:-cut], KEYS)


@pytest.mark.parametrize(
    ("number", "line", "told"),
    [
        (0, b"{}\n", "line 1 is not an object with a type"),
        (0, b'{"type":"header","format":"other"}\n', "no header"),
        (0, b"\xff\xfe\n", "line 1 is not JSON"),
        (2, b"[1]\n", "line 3 is not an object"),
        (2, b'{"type":"event","seq":"2"}\n', "line 3 is no event"),
        (2, b'{"type":"event","seq":2,"at_us":99999999999999999999999}\n', "line 3 is no event"),
        (2, b'{"type":"checkpoint","seq":2}\n', "line 3 is no checkpoint"),
        (2, b'{"type":"surprise"}\n', "unknown type 'surprise'"),
        (2, b'{"type":"end"}\n', "behind the end"),
    ],
)
def test_a_line_that_is_none_is_named(number, line, told):
    rows = chain(3)
    broken = export(rows, sealed(rows[2]))
    broken[number] = line
    with pytest.raises(ExportInvalid, match=told):
        verify_export(broken, KEYS)


def test_keys_are_read_as_they_were_written_and_nothing_else_is():
    import json

    assert lines.read_jwks(json.dumps(lines.jwks(KEYS)).encode()) == KEYS
    for wrong in (
        b"",
        b"[]",
        b"{}",
        b'{"keys":[]}',
        b'{"kty":"OKP","crv":"Ed25519","kid":"a","x":"AAAA"}',
        b"\xff",
    ):
        with pytest.raises(lines.LineInvalid):
            lines.read_jwks(wrong)
