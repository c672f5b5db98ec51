"""Receipts: what a stranger can check, and what they are told when something has changed."""

from __future__ import annotations

import asyncio
import json
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from cohortlens.consent.models import ActType
from tests.integration.consent.crew import crew_of

G, W = ActType.GIVEN, ActType.WITHDRAWN
ROOT = Path(__file__).resolve().parents[3]
SCHEMA = ROOT / "cohortlens" / "consent" / "receipt_schema.json"
CHECK = (
    "import json, sys, jsonschema; schema = json.load(open(sys.argv[1])); "
    "jsonschema.Draft7Validator.check_schema(schema); "
    "print(len(list(jsonschema.Draft7Validator(schema).iter_errors(json.load(sys.stdin)))))"
)


@pytest.fixture
async def crew(runtime, tenants):
    return await crew_of(runtime, tenants[0])


async def given(crew):
    done = await crew.act(G, purposes=[("profiling", 0), ("marketing", 0)])
    return await crew.receipts.get(crew.ctx, done.receipt_id)


async def test_a_receipt_is_genuine_until_something_of_it_is_withdrawn(crew):
    receipt = await given(crew)
    record = receipt.record.decode()
    found = await crew.receipts.verify(json.dumps(json.loads(record), indent=2), receipt.signature)
    assert (found.valid, found.revoked, found.superseded_by) == (True, False, None)
    crew.moment[0] += timedelta(seconds=1)
    later = await crew.act(W)
    found = await crew.receipts.verify(record, receipt.signature)
    assert (found.valid, found.revoked, found.superseded_by) == (True, True, later.receipt_id)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda r, s: (r.replace("ConsentGiven", "ConsentRefused", 1), s), "RECEIPT_SIGNATURE_INVALID"),
        (lambda r, s: (r, s[:-4] + ("AAAA" if s[-4:] != "AAAA" else "BBBB")), "RECEIPT_SIGNATURE_INVALID"),
        (lambda r, s: (r, s.replace("..", ".e30.")), "RECEIPT_SIGNATURE_INVALID"),
        (lambda r, s: (r, "e30.." + s.split(".")[2]), "RECEIPT_SIGNATURE_INVALID"),
        (lambda r, s: (r, "no signature"), "RECEIPT_SIGNATURE_INVALID"),
        (lambda r, s: ('{"a": 1, "a": 2}', s), "RECEIPT_INVALID"),
        (lambda r, s: ("[" * 5000, s), "RECEIPT_INVALID"),
        (lambda r, s: ("[]", s), "RECEIPT_INVALID"),
    ],
)
async def test_what_is_not_exactly_what_was_signed_is_refused_with_its_reason(crew, change, reason):
    receipt = await given(crew)
    found = await crew.receipts.verify(*change(receipt.record.decode(), receipt.signature))
    assert (found.valid, found.reason) == (False, reason)


def faults(record):
    """How many faults a JSON Schema validator of another environment finds."""
    python = ROOT / ".venv-workers" / "bin" / "python"
    told = subprocess.run(
        [python, "-c", CHECK, SCHEMA], input=record, capture_output=True, check=True, timeout=60
    )
    return int(told.stdout)


async def test_a_receipt_names_no_person_and_follows_the_published_schema(crew):
    done = await crew.act(G, "external:ann@example.com")
    receipt = await crew.receipts.get(crew.ctx, done.receipt_id)
    assert b"ann@" not in receipt.record
    assert await asyncio.to_thread(faults, receipt.record) == 0
    broken = json.loads(receipt.record)
    del broken["dpv:hasProcess"][0]["dpv:hasLegalBasis"]
    assert await asyncio.to_thread(faults, json.dumps(broken).encode()) == 1
