"""Step 3: what is pinned about a consent, renewed with each change of what it says."""

from __future__ import annotations

import json
from uuid import UUID

import rfc8785
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.audit.trail import AuditTrail
from cohortlens.consent.fulfilment.consents import ConsentReading
from cohortlens.consent.fulfilment.documents import pinned_words
from cohortlens.consent.fulfilment.models import BY_JOBS, Fulfilment, operation_id
from cohortlens.consent.fulfilment.pin_rows import PinRows, ReceiptPin
from cohortlens.consent.fulfilment.reward_rows import RewardRows
from cohortlens.consent.fulfilment.rows import FulfilmentRows
from cohortlens.consent.fulfilment.steps import Means, is_permanent
from cohortlens.consent.web3_models import DocumentKind, PinKind
from cohortlens.core.errors import CohortLensError
from cohortlens.core.failpoints import failpoint
from cohortlens.core.ids import TenantId


class Pinning:
    """Pins the newest state of a consent.

    Args:
        means: What it works with.
    """

    def __init__(self, means: Means) -> None:
        self._means = means

    async def run(self, tenant_id: TenantId, event_id: UUID) -> None:
        """Sign and pin the revision that is wanted. Safe to repeat at any point.

        Raises:
            CohortLensError: The sidecar does not answer or refuses for now; try again.
        """
        wanted = await self._wanted(tenant_id, event_id)
        if wanted is None:
            return
        try:
            await self._pin(tenant_id, wanted)
        except CohortLensError as error:
            if not is_permanent(error):
                raise
            await self._refused(tenant_id, wanted, error.reason)

    async def _pin(self, tenant_id: TenantId, wanted: ReceiptPin) -> None:
        means = self._means
        operation = operation_id(f"sign-{wanted.revision}", wanted.event_id)
        signed = await means.issuer.sign_document(
            tenant_id, operation, DocumentKind.RECEIPT, json.loads(wanted.body)
        )
        failpoint("fulfilment.F7")
        pin = await means.pinner.pin(tenant_id, wanted.pin_id, PinKind.RECEIPT, signed.signed_json)
        failpoint("fulfilment.F9")
        async with means.db.tenant_transaction(tenant_id) as tx:
            of = await FulfilmentRows(tx).find(wanted.event_id, lock=True)
            stored = await PinRows(tx).pinned(wanted.event_id, wanted.revision, signed.signed_json, pin.cid)
            if of is not None and of.pin_wanted == wanted.revision:
                await FulfilmentRows(tx).change(wanted.event_id, pin_state="PINNED", attempts=0)
            if stored:
                await AuditTrail(tx).append(
                    BY_JOBS,
                    "consent.receipt.pinned",
                    resource=f"consentEvents/{wanted.event_id}",
                    details={"cid": pin.cid, "revision": str(wanted.revision)},
                )

    async def _wanted(self, tenant_id: TenantId, event_id: UUID) -> ReceiptPin | None:
        """What is to be pinned now, stored; None when there is nothing."""
        async with self._means.db.tenant_transaction(tenant_id) as tx:
            of = await FulfilmentRows(tx).find(event_id, lock=True)
            if of is None or of.pin_wanted == 0 or of.pin_state in {"PINNED", "SKIPPED", "FAILED"}:
                return None
            rows = PinRows(tx)
            found = await rows.find(event_id, of.pin_wanted)
            if found is None:
                await self._record(tx, of)
                found = await rows.find(event_id, of.pin_wanted)
            return found

    async def _record(self, tx: AsyncConnection, of: Fulfilment) -> None:
        secret = await self._means.secret(tx, of)
        consent = await ConsentReading(tx).event(of.event_id)
        if secret is None or consent is None or of.credential_id is None:
            await FulfilmentRows(tx).change(of.event_id, pin_state="SKIPPED", last_reason="CUSTOMER_ERASED")
            return
        reward = None if of.reward_id is None else await RewardRows(tx).find(of.reward_id)
        sha256 = await FulfilmentRows(tx).credential_sha256(of.credential_id)
        before = await PinRows(tx).current(of.event_id)
        supersedes = None if before is None else before.cid
        words = pinned_words(of, consent, reward, sha256, secret, supersedes, self._means.now())
        pin_id = operation_id(f"pin-{of.pin_wanted}", of.event_id)
        await PinRows(tx).record(of.event_id, of.pin_wanted, pin_id, rfc8785.dumps(dict(words)))

    async def _refused(self, tenant_id: TenantId, wanted: ReceiptPin, reason: str) -> None:
        async with self._means.db.tenant_transaction(tenant_id) as tx:
            of = await FulfilmentRows(tx).find(wanted.event_id, lock=True)
            if of is None or of.pin_wanted != wanted.revision:
                return
            await FulfilmentRows(tx).change(wanted.event_id, pin_state="FAILED", last_reason=reason)
            await AuditTrail(tx).append(
                BY_JOBS,
                "consent.receipt.pinned",
                resource=f"consentEvents/{wanted.event_id}",
                outcome="FAILED",
                details={"reason": reason},
            )
