"""What the sidecar signs is what it pins in clear: receipts, terms of offers and status lists fit their forms."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from cohortlens.core.config import Url
from sidecars.web3.config import Web3Config
from sidecars.web3.credentials import claims
from sidecars.web3.credentials.area import open_credentials
from sidecars.web3.credentials.issuer import CONSENT, Item, Operation
from sidecars.web3.pinning.privacy import check_public

RECEIPT = {
    "type": "ConsentReceiptPin",
    "version": 1,
    "revision": 1,
    "hour": "2026-01-31T12:00:00Z",
    "receipt": "ab" * 32,
    "credential": "cd" * 32,
    "transaction": "ef" * 32,
    "reward": "paid",
    "state": "active",
}
TERMS = {
    "uid": "urn:uuid:0198f3c2-0000-7000-8000-000000000001",
    "version": 1,
    "permission": [{"action": "odrl:aggregate", "purpose": ["data_sharing"]}],
    "prohibition": [{"action": "reidentify"}],
    "contributors": 120,
}
CLAIMS = {
    "purpose": "profiling",
    "purposeVersion": 1,
    "activities": ["profiling.predict"],
    "grantedAt": "2026-01-31T12:00:00Z",
    "noticeDigest": "ab" * 32,
    "recordCommitment": "cd" * 32,
}


@pytest.fixture
async def credentials(journal, kek, tmp_path):
    config = Web3Config(data=tmp_path, public_url=Url("https://consent.example"))
    area = await open_credentials(config, journal, kek)
    if area._contexts.missing:
        pytest.skip(
            f"NOT CHECKED: the JSON-LD contexts of npm are missing: {', '.join(area._contexts.missing)}"
        )
    yield area
    await area.close()


def _operation(tenant):
    return Operation(tenant, uuid4(), bytes(32))


async def test_a_signed_receipt_and_signed_terms_may_be_pinned(credentials):
    tenant = uuid4()
    receipt = await credentials.issuer.sign_document(
        _operation(tenant),
        lambda did: claims.read_document(json.dumps(RECEIPT).encode(), claims.RECEIPT, did),
        bytes,
    )
    check_public("RECEIPT", receipt)
    terms = await credentials.issuer.sign_document(
        _operation(tenant), lambda did: claims.read_terms(json.dumps(TERMS).encode(), did), bytes
    )
    check_public("OFFER_TERMS", terms)


async def test_a_published_status_list_may_be_pinned(credentials, journal):
    tenant = uuid4()
    item = Item(
        uuid4(),
        CONSENT,
        json.dumps(CLAIMS).encode(),
        uuid4(),
        datetime.now(UTC) + timedelta(days=30),
        "",
        "eddsa-jcs-2022",
    )
    await credentials.issuer.issue(_operation(tenant), [item], lambda issued: b"issued")
    async with journal.transaction(tenant) as tx:
        list_id = await tx.fetchval("SELECT list_id FROM status_list WHERE tenant_id = $1", tenant)
    check_public("STATUS_LIST", (await credentials.lists.published(list_id)).body)
