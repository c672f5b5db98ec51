"""What followed a consent, as callers see it; and receipts that are pinned, as a stranger verifies them."""

from __future__ import annotations

import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.consent.fulfilment.consents import ConsentReading
from cohortlens.consent.fulfilment.documents import pin_salt
from cohortlens.consent.fulfilment.models import Fulfilment, Reward, commitment, waiting
from cohortlens.consent.fulfilment.pin_rows import PinRows, ReceiptPin
from cohortlens.consent.fulfilment.reward_rows import RewardRows
from cohortlens.consent.fulfilment.rows import FulfilmentRows
from cohortlens.consent.fulfilment.steps import Means
from cohortlens.consent.models import ConsentRowMissing
from cohortlens.consent.web3_models import Refusal
from cohortlens.core.context import RequestContext
from cohortlens.core.errors import NotFound
from cohortlens.core.ids import PLATFORM_TENANT_ID

COMMITTED: Final = ("receipt", "credential", "transaction")
_MOST_BYTES = 64 * 1024


@dataclass(frozen=True)
class Progress:
    """How far the fulfilment of a consent is, with what its owner may show of it."""

    of: Fulfilment
    reward: Reward | None
    pin: ReceiptPin | None
    salts: dict[str, str]
    updated_at: datetime


@dataclass(frozen=True)
class Opening:
    """A commitment that the caller can open: what it is of, its salt, what it commits to."""

    of: str
    salt: bytes
    content: bytes


@dataclass(frozen=True)
class PinVerdict:
    """What is found about a pinned receipt."""

    refusals: tuple[Refusal, ...]
    issuer_did: str
    state: str
    superseded_by: str


class ConsentProgress:
    """Use cases of fulfilment's progress and of pinned receipts.

    Args:
        means: What fulfilment works with.
    """

    def __init__(self, means: Means) -> None:
        self._means = means

    async def get(self, ctx: RequestContext, event_id: UUID) -> Progress:
        """The progress of a consent of the caller's tenant.

        Raises:
            NotFound: There is no such consent event, or nothing follows it.
        """
        async with self._means.db.tenant_transaction(ctx.tenant_id) as tx:
            of = await FulfilmentRows(tx).find(event_id)
            if of is None:
                return await self._not_begun(tx, ctx, event_id)
            reward = None if of.reward_id is None else await RewardRows(tx).find(of.reward_id)
            pin = await PinRows(tx).current(event_id)
            secret = await self._means.secret(tx, of)
            salts = {}
            if pin is not None and secret is not None:
                told = json.loads(pin.body)
                salts = {one: pin_salt(secret, pin.revision, one).hex() for one in COMMITTED if one in told}
            updated = await tx.scalar(
                text("SELECT updated_at FROM consent_fulfilments WHERE event_id = :event"),
                {"event": event_id},
            )
            if updated is None:
                raise ConsentRowMissing("event")
        return Progress(of, reward, pin, salts, updated)

    async def _not_begun(self, tx: AsyncConnection, ctx: RequestContext, event_id: UUID) -> Progress:
        """A consent whose act was stored a moment ago, before jobs heard of it."""
        event = await ConsentReading(tx).followed(event_id)
        if event is None:
            raise ConsentRowMissing("event")
        pending = waiting(ctx.tenant_id, event_id, event.identity_id, event.purpose_key)
        return Progress(pending, None, None, {}, event.collected_at)

    async def verify_pin(self, cid: str, signed_json: bytes, openings: Sequence[Opening]) -> PinVerdict:
        """Verify a pinned receipt for anybody who has its CID.

        Args:
            cid: Its CID.
            signed_json: Its content where the caller has it; else it is read from the store.
            openings: Commitments to check.

        Raises:
            NotFound: The content was not given and is not in the store.
        """
        content = await self._content(cid)
        refusals: list[Refusal] = []
        if signed_json and signed_json != content:
            refusals.append(Refusal("PIN_CID_MISMATCH", "The content given is not what the CID names."))
        found = await self._means.issuer.verify_document(content)
        refusals += found.refusals
        words = json.loads(content)
        for one in openings:
            told = str(words.get(one.of, ""))
            if not hmac.compare_digest(told, commitment(one.salt, one.content)):
                refusals.append(
                    Refusal("COMMITMENT_MISMATCH", f"The salt does not open the commitment to the {one.of}.")
                )
        async with self._means.db.transaction() as tx:
            row = (
                await tx.execute(text("SELECT * FROM app.receipt_pin_standing(:cid)"), {"cid": cid})
            ).one_or_none()
        if row is None:
            return PinVerdict(tuple(refusals), found.issuer_did, "unknown", "")
        state = "ended" if row.is_withdrawn else "active"
        return PinVerdict(tuple(refusals), found.issuer_did, state, row.superseded_by or "")

    async def _content(self, cid: str) -> bytes:
        pieces, size = [], 0
        # Public content has no owner: any tenant may read it, so the platform's does.
        async for piece in self._means.pinner.content(PLATFORM_TENANT_ID, cid=cid):
            size += len(piece)
            if size > _MOST_BYTES:
                raise NotFound("cid: names no pinned receipt")
            pieces.append(piece)
        return b"".join(pieces)
