"""Step 1: the credential of a consent."""

from __future__ import annotations

from uuid import UUID

from cohortlens.audit.trail import AuditTrail
from cohortlens.consent.fulfilment.consents import ConsentReading, GivenConsent
from cohortlens.consent.fulfilment.documents import claims_of, valid_until
from cohortlens.consent.fulfilment.following import want
from cohortlens.consent.fulfilment.models import (
    BY_JOBS,
    END_WANTED,
    REWARD_WANTED,
    Fulfilment,
    operation_id,
)
from cohortlens.consent.fulfilment.rows import FulfilmentRows
from cohortlens.consent.fulfilment.steps import Means, is_permanent, renew_pin
from cohortlens.consent.web3_models import CredentialKind, CredentialOrder, IssuedCredential
from cohortlens.core.errors import CohortLensError
from cohortlens.core.failpoints import failpoint
from cohortlens.core.ids import TenantId

_DONE = frozenset({"ISSUED", "REVOKED", "SKIPPED", "FAILED"})


class Crediting:
    """Issues the credential of a consent, once.

    Args:
        means: What it works with.
    """

    def __init__(self, means: Means) -> None:
        self._means = means

    async def run(self, tenant_id: TenantId, event_id: UUID) -> None:
        """Issue, store, and have the reward follow. Safe to repeat at any point.

        Raises:
            CohortLensError: The sidecar does not answer or refuses for now; try again.
        """
        try:
            order = await self._begun(tenant_id, event_id)
            if order is None:
                return
            operation = operation_id("issue", order.source_id)
            issued = await self._means.issuer.issue(tenant_id, operation, [order])
        except CohortLensError as error:
            if not is_permanent(error):
                raise
            await self._refused(tenant_id, event_id, error.reason)
            return
        failpoint("fulfilment.F3")
        await self._store(tenant_id, event_id, issued[0])

    async def _begun(self, tenant_id: TenantId, event_id: UUID) -> CredentialOrder | None:
        """What to issue; None when there is nothing to do any more."""
        means = self._means
        async with means.db.tenant_transaction(tenant_id) as tx:
            rows, reading = FulfilmentRows(tx), ConsentReading(tx)
            of = await rows.find(event_id, lock=True)
            if of is None or of.credential_state in _DONE:
                return None
            standing = await reading.standing(of.identity_id, of.purpose_key)
            goes_on = of.ended_at is None and standing.holds(event_id)
            if not goes_on and of.credential_state == "PENDING":
                await _skip(rows, of, of.end_reason or standing.end_reason)
                return None
            # From here on the sidecar may have issued it: whatever comes, it has to be asked.
            consent, secret = await reading.event(event_id), await means.secret(tx, of)
            if consent is None or secret is None:
                await _skip(rows, of, "CUSTOMER_ERASED")
                return None
            order = self._order(of, consent, secret)
            await rows.change(event_id, credential_state="ISSUING")
            return order

    def _order(self, of: Fulfilment, consent: GivenConsent, secret: bytes) -> CredentialOrder:
        return CredentialOrder(
            source_id=of.source_id,
            kind=CredentialKind.CONSENT,
            claims=claims_of(consent, secret),
            subject_id=of.identity_id,
            # From the act, not from now: a repeat must be the same request.
            valid_until=valid_until(consent, consent.collected_at),
        )

    async def _store(self, tenant_id: TenantId, event_id: UUID, issued: IssuedCredential) -> None:
        async with self._means.db.tenant_transaction(tenant_id) as tx:
            rows = FulfilmentRows(tx)
            of = await rows.find(event_id, lock=True)
            if of is None or of.credential_state in _DONE:
                return
            await rows.store_credential(of, issued)
            await rows.change(
                event_id,
                credential_state="ISSUED",
                credential_id=issued.credential_id,
                attempts=0,
                last_reason="",
            )
            if of.reward_state == "PENDING":
                await want(tx, REWARD_WANTED, event_id)
            else:
                # Issued again under a new key: what is pinned commits to the old one.
                await renew_pin(tx, of)
            standing = await ConsentReading(tx).standing(of.identity_id, of.purpose_key)
            if of.ended_at is not None or not standing.holds(event_id):
                await rows.end(event_id, standing.end_reason)
                await want(tx, END_WANTED, event_id)
            await AuditTrail(tx).append(
                BY_JOBS,
                "consent.credential.issued",
                resource=f"credentials/{issued.credential_id}",
                details={"event": str(event_id), "issuer": issued.issuer_did, "suite": issued.suite.value},
            )

    async def _refused(self, tenant_id: TenantId, event_id: UUID, reason: str) -> None:
        async with self._means.db.tenant_transaction(tenant_id) as tx:
            rows = FulfilmentRows(tx)
            of = await rows.find(event_id, lock=True)
            if of is None or of.credential_state in _DONE:
                return
            await rows.change(
                event_id,
                credential_state="FAILED",
                reward_state="SKIPPED",
                pin_state="SKIPPED",
                last_reason=reason,
            )
            await AuditTrail(tx).append(
                BY_JOBS,
                "consent.credential.issued",
                resource=f"consentEvents/{event_id}",
                outcome="FAILED",
                details={"reason": reason},
            )


async def _skip(rows: FulfilmentRows, of: Fulfilment, reason: str) -> None:
    if of.credential_id is not None:
        # To be issued again after a change of the key, and not wanted any more: the old one is revoked.
        await rows.change(of.event_id, credential_state="REVOKED", last_reason=reason)
        return
    await rows.change(
        of.event_id,
        credential_state="SKIPPED",
        reward_state="SKIPPED",
        pin_state="SKIPPED",
        last_reason=reason,
    )
