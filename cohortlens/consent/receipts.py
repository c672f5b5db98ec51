"""Receipts: what a person can show, signed; made with the act, or when first asked for after an import."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from cohortlens.consent.event_rows import NewEvent
from cohortlens.consent.models import ConsentRowMissing, StoredReceipt
from cohortlens.consent.receipt_record import record_of
from cohortlens.consent.receipt_rows import ReceiptRows
from cohortlens.consent.terms import Terms
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database
from cohortlens.core.ids import parse_uuid

ALGORITHM = "EdDSA"
RECORD_BYTES_MAX = 65_536
_NOT_JSON, _BAD_SIGNATURE, _UNKNOWN = "RECEIPT_INVALID", "RECEIPT_SIGNATURE_INVALID", "RECEIPT_UNKNOWN"


class ReceiptKey(Protocol):
    """The key that signs now."""

    @property
    def kid(self) -> str:
        """Its identifier."""
        ...

    @property
    def private(self) -> Ed25519PrivateKey:
        """The private half."""
        ...


class ReceiptKeyRow(Protocol):
    """A key of receipts, in whatever state."""

    @property
    def kid(self) -> str:
        """Its identifier."""
        ...

    @property
    def public_key(self) -> bytes:
        """The public half, 32 bytes."""
        ...


class ReceiptKeys(Protocol):
    """The keys of receipts; a receipt verifies for ever, so keys that retired count."""

    async def active(self) -> ReceiptKey:
        """The key that signs now."""
        ...

    async def rows(self) -> Sequence[ReceiptKeyRow]:
        """Every key there ever was, oldest first."""
        ...


@dataclass(frozen=True)
class ReceiptDraft:
    """A receipt to make.

    Attributes:
        id: Its identifier.
        identity_id: The person.
        events: The events of the act.
        terms: What they are about, in the same order.
    """

    id: UUID
    identity_id: UUID
    events: tuple[NewEvent, ...]
    terms: Terms


@dataclass(frozen=True)
class ReceiptStanding:
    """What a verification found.

    Attributes:
        valid: Whether exactly this record was signed.
        revoked: Whether a consent it tells of does not hold any more.
        superseded_by: Receipt of a later decision; None for none.
        reason: Why it is not valid; empty when it is.
    """

    valid: bool
    revoked: bool = False
    superseded_by: UUID | None = None
    reason: str = ""


class Receipts:
    """The use cases of receipts.

    Args:
        db: Database as the runtime role.
        keys: The keys of receipts.
    """

    def __init__(self, db: Database, keys: ReceiptKeys) -> None:
        self._db = db
        self._keys = keys

    async def signer(self) -> ReceiptKey:
        """The key that signs now; read before a transaction begins, since reading it may take another one."""
        return await self._keys.active()

    def signed(self, key: ReceiptKey, drafts: Sequence[ReceiptDraft], at: datetime) -> list[StoredReceipt]:
        """Receipts, signed, to be stored with their events (``EventRows.record``).

        Args:
            key: As ``signer`` gave it.
            drafts: What they tell.
            at: When the acts were recorded.
        """
        made = []
        for one in drafts:
            notice = one.terms.receipt_notice
            assert notice is not None
            record = record_of(one.id, one.identity_id, one.events, one.terms.purposes, notice, at)
            made.append(_signed(one.id, one.identity_id, record, key))
        return made

    async def get(self, ctx: RequestContext, receipt_id: UUID) -> StoredReceipt:
        """A receipt of the tenant; that of an imported decision is made when it is first asked for.

        Raises:
            NotFound: RESOURCE_NOT_FOUND.
        """
        key = await self.signer()
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            rows = ReceiptRows(tx)
            found = await rows.get(receipt_id)
            if found is not None:
                return found
            told = await rows.told(receipt_id)
            if told is None:
                raise ConsentRowMissing("receipt")
            record = record_of(
                receipt_id, told.identity_id, told.events, told.purposes, told.notice, told.recorded_at
            )
            await rows.add([_signed(receipt_id, told.identity_id, record, key)])
            found = await rows.get(receipt_id)
        assert found is not None
        return found

    async def verify(self, record_json: str, signature: str) -> ReceiptStanding:
        """Whether a receipt is genuine, and whether what it says still stands.

        Args:
            record_json: The record, in any spelling of the same JSON.
            signature: The detached JWS.
        """
        record = _parsed(record_json)
        if record is None:
            return ReceiptStanding(False, reason=_NOT_JSON)
        canonical = rfc8785.dumps(record)
        keys = {row.kid: row.public_key for row in await self._keys.rows()}
        if not _is_signed(canonical, signature, keys):
            return ReceiptStanding(False, reason=_BAD_SIGNATURE)
        receipt_id = parse_uuid(str(record.get("dct:identifier", "")))
        async with self._db.transaction() as tx:
            standing = None
            if receipt_id is not None:
                standing = await ReceiptRows(tx).standing(receipt_id, hashlib.sha256(canonical).digest())
        if standing is None:
            # Erased with its tenant, or restored from a backup that did not have it.
            return ReceiptStanding(False, reason=_UNKNOWN)
        return ReceiptStanding(True, *standing)

    async def public_keys(self) -> list[tuple[str, bytes]]:
        """Identifier and public half of every key, oldest first."""
        return [(row.kid, row.public_key) for row in await self._keys.rows()]


def _signed(receipt_id: UUID, identity_id: UUID, record: dict[str, Any], key: ReceiptKey) -> StoredReceipt:
    canonical = rfc8785.dumps(record)
    header = _text64(rfc8785.dumps({"alg": ALGORITHM, "kid": key.kid}))
    signature = key.private.sign(f"{header}.{_text64(canonical)}".encode())
    return StoredReceipt(receipt_id, identity_id, canonical, f"{header}..{_text64(signature)}", key.kid)


def _is_signed(canonical: bytes, signature: str, keys: dict[str, bytes]) -> bool:
    parts = signature.split(".")
    if len(parts) != 3 or parts[1]:
        return False
    try:
        header = json.loads(_bytes64(parts[0]))
        raw = _bytes64(parts[2])
    except ValueError:
        return False
    if not isinstance(header, dict) or set(header) != {"alg", "kid"} or header["alg"] != ALGORITHM:
        return False
    public = keys.get(str(header["kid"]))
    if public is None:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(raw, f"{parts[0]}.{_text64(canonical)}".encode())
    except InvalidSignature:
        return False
    return True


def _parsed(record_json: str) -> dict[str, Any] | None:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) != len(pairs):
            raise ValueError("a name stands twice")
        return dict(pairs)

    try:
        record = json.loads(record_json, object_pairs_hook=unique)
        rfc8785.dumps(record)
    except (ValueError, RecursionError, rfc8785.CanonicalizationError):
        return None
    return record if isinstance(record, dict) else None


def _text64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes64(text: str) -> bytes:
    raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if _text64(raw) != text:
        raise ValueError("not the one spelling of these bytes")
    return raw
