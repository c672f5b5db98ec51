"""Settlement of an agreement in five steps, each with its effect once, whatever is lost or repeated.

T1 paid and contributors frozen; T2 entries; T3 rewards; T4 the agreement's credential; T5 its terms pinned.
No call to the sidecar is made inside a transaction.
"""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from uuid import UUID

import rfc8785
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.audit.trail import AuditTrail
from cohortlens.consent.fulfilment.models import operation_id
from cohortlens.consent.fulfilment.owing import want_release
from cohortlens.consent.fulfilment.steps import Means, is_permanent
from cohortlens.consent.tariffs import TariffRows
from cohortlens.consent.web3_models import (
    CredentialKind,
    CredentialOrder,
    DocumentKind,
    IssuedCredential,
    PinKind,
)
from cohortlens.core.errors import CohortLensError, NotFound
from cohortlens.core.failpoints import failpoint
from cohortlens.core.ids import TenantId, uuid7
from cohortlens.core.outbox import Event, Outbox
from cohortlens.marketplace.agreement_rows import AgreementRows
from cohortlens.marketplace.contributors import Contributors
from cohortlens.marketplace.models import BY_JOBS, ENDING_WANTED, SETTLEMENT_WANTED, Agreement
from cohortlens.marketplace.offer_rows import OfferRows
from cohortlens.marketplace.settlement_rows import TOKEN, Settlement, SettlementRows
from cohortlens.marketplace.split import FEE_BPS, LEAST_PAYOUT_MICRO, platform_fee, shares
from cohortlens.marketplace.states import AgreementState
from cohortlens.marketplace.terms import agreement_terms, second

_PLATFORM = "PLATFORM"
_VALID_AT_MOST = timedelta(days=365)


async def begin(tx: AsyncConnection, agreement: Agreement, fee_bps: int = FEE_BPS) -> UUID:
    """T1: both agree and what was to be paid is paid, so contributors and their shares are frozen.

    Args:
        tx: A connection inside ``Database.tenant_transaction`` of the seller, who has just agreed.
        agreement: The agreement, locked.
        fee_bps: The platform's part of the price, ten-thousandths.

    Returns:
        The settlement.
    """
    settlement_id = uuid7()
    people = await Contributors(tx, agreement.purpose).identities()
    split = shares(settlement_id, people, agreement.incentive_micro)
    await SettlementRows(tx).start(settlement_id, agreement.id, agreement.buyer_id, fee_bps, split)
    payload = {"settlement_id": str(settlement_id)}
    await Outbox(tx).record(SETTLEMENT_WANTED, f"{SETTLEMENT_WANTED}:{settlement_id}", payload)
    return settlement_id


class Settling:
    """The steps after the first, as jobs run them.

    Args:
        means: What they work with: those of fulfilment.
    """

    def __init__(self, means: Means) -> None:
        self._means, self._db = means, means.db

    async def run(self, event: Event) -> None:
        """Do every step that is not done yet. Safe to repeat at any point.

        Raises:
            CohortLensError: The sidecar does not answer or refuses for now; try again.
        """
        settlement_id = UUID(event.payload["settlement_id"])
        try:
            await self.book(event.tenant_id, settlement_id)
            failpoint("marketplace.T2")
            await self.owe(event.tenant_id, settlement_id)
            failpoint("marketplace.T3")
            await self.credit(event.tenant_id, settlement_id)
            failpoint("marketplace.T4")
            await self.pin(event.tenant_id, settlement_id)
        except CohortLensError as error:
            async with self._db.tenant_transaction(event.tenant_id) as tx:
                await SettlementRows(tx).failed(settlement_id, event.attempts, error.reason)
            if not is_permanent(error):
                raise

    async def end(self, event: Event) -> None:
        """Revoke the credential of an agreement that ended, if it has one.

        Raises:
            CohortLensError: The sidecar does not answer; try again.
        """
        settlement_id = UUID(event.payload["settlement_id"])
        settlement, _agreement = await self._read(event.tenant_id, settlement_id)
        if settlement.credential_id is None or settlement.revoked_at is not None:
            return
        operation = operation_id("market-revoke", settlement_id)
        await self._means.issuer.revoke(
            event.tenant_id, operation, settlement.credential_id, "AGREEMENT_TERMINATED"
        )
        async with self._db.tenant_transaction(event.tenant_id) as tx:
            await SettlementRows(tx).done(settlement_id, "revoked_at")
            await AuditTrail(tx).append(
                BY_JOBS,
                "marketplace.credential.revoked",
                resource=f"agreements/{settlement.agreement_id}",
                details={"credential": str(settlement.credential_id)},
            )

    async def book(self, tenant_id: TenantId, settlement_id: UUID) -> None:
        """T2: the entries, all in one transaction."""
        async with self._db.tenant_transaction(tenant_id) as tx:
            rows = SettlementRows(tx)
            settlement = await _locked(rows, settlement_id)
            if settlement.booked_at is not None:
                return
            agreement = await _agreement(tx, settlement)
            await rows.book(settlement_id, entries_of(agreement, settlement))
            await AuditTrail(tx).append(
                BY_JOBS,
                "marketplace.settlement.booked",
                resource=f"agreements/{agreement.id}",
                details={"settlement": str(settlement_id)},
            )

    async def owe(self, tenant_id: TenantId, settlement_id: UUID) -> None:
        """T3: one reward for each contributor who has earned enough; what is less accrues."""
        async with self._db.tenant_transaction(tenant_id) as tx:
            rows = SettlementRows(tx)
            if (await _locked(rows, settlement_id)).owed_at is not None:
                return
            tariff = await TariffRows(tx).read()
            ready = await rows.owe(settlement_id, LEAST_PAYOUT_MICRO, tariff.delivery, "")
            for identity_id in ready:
                await want_release(tx, identity_id)

    async def credit(self, tenant_id: TenantId, settlement_id: UUID) -> None:
        """T4: the credential, from the seller's DID to the buyer's."""
        settlement, agreement = await self._read(tenant_id, settlement_id)
        if settlement.credited_at is not None:
            return
        if agreement.state is AgreementState.TERMINATED and settlement.asked_at is None:
            return
        async with self._db.tenant_transaction(tenant_id) as tx:
            version = await OfferRows(tx).version(agreement.offer_id, agreement.offer_version)
            if settlement.asked_at is None:
                # From here on the sidecar may have issued it: whatever comes, it has to be asked.
                await SettlementRows(tx).done(settlement_id, "asked_at")
        buyer = await self._means.issuer.issuer(agreement.buyer_id)
        order = credential_order(settlement, agreement, version.terms, buyer.did)
        [issued] = await self._means.issuer.issue(
            tenant_id, operation_id("market-issue", settlement_id), [order]
        )
        async with self._db.tenant_transaction(tenant_id) as tx:
            await self._credited(tx, settlement_id, issued)

    async def pin(self, tenant_id: TenantId, settlement_id: UUID) -> None:
        """T5: the terms of the agreement, signed by the seller and pinned."""
        settlement, agreement = await self._read(tenant_id, settlement_id)
        if settlement.pinned_at is not None or agreement.state is AgreementState.TERMINATED:
            return
        async with self._db.tenant_transaction(tenant_id) as tx:
            version = await OfferRows(tx).version(agreement.offer_id, agreement.offer_version)
            words = agreement_terms(
                settlement_id,
                agreement.offer_id,
                agreement.offer_version,
                version.spec,
                json.loads(version.terms),
                agreement.agreed_at or settlement.created_at,
            )
            await SettlementRows(tx).keep_body(settlement_id, rfc8785.dumps(words))
        signed = await self._means.issuer.sign_document(
            tenant_id, operation_id("market-sign", settlement_id), DocumentKind.OFFER_TERMS, words
        )
        pin_id = operation_id("market-pin", settlement_id)
        pin = await self._means.pinner.pin(tenant_id, pin_id, PinKind.OFFER_TERMS, signed.signed_json)
        failpoint("marketplace.T5")
        async with self._db.tenant_transaction(tenant_id) as tx:
            rows = SettlementRows(tx)
            settlement = await _locked(rows, settlement_id)
            if settlement.pinned_at is None:
                await rows.done(settlement_id, "pinned_at", signed_json=signed.signed_json, cid=pin.cid)
                await _moved(tx, settlement, AgreementState.VERIFIED, AgreementState.FINALIZED)

    async def _credited(self, tx: AsyncConnection, settlement_id: UUID, issued: IssuedCredential) -> None:
        rows = SettlementRows(tx)
        settlement = await _locked(rows, settlement_id)
        if settlement.credited_at is not None:
            return
        await rows.done(
            settlement_id,
            "credited_at",
            credential_id=issued.credential_id,
            credential_json=issued.credential_json,
        )
        if not await _moved(tx, settlement, AgreementState.AGREED, AgreementState.VERIFIED):
            # It ended while the sidecar issued.
            payload = {"settlement_id": str(settlement_id)}
            await Outbox(tx).record(ENDING_WANTED, f"{ENDING_WANTED}:{settlement_id}", payload)
        await AuditTrail(tx).append(
            BY_JOBS,
            "marketplace.credential.issued",
            resource=f"agreements/{settlement.agreement_id}",
            details={"credential": str(issued.credential_id), "issuer": issued.issuer_did},
        )

    async def _read(self, tenant_id: TenantId, settlement_id: UUID) -> tuple[Settlement, Agreement]:
        async with self._db.tenant_transaction(tenant_id) as tx:
            settlement = await SettlementRows(tx).find(settlement_id)
            if settlement is None:
                raise NotFound("the settlement is not there")
            return settlement, await _agreement(tx, settlement)


def entries_of(agreement: Agreement, settlement: Settlement) -> list[tuple[UUID, str, str, int]]:
    """The entries of a settlement beside those of its contributors; see ``SettlementRows.book``.

    Args:
        agreement: Its price and incentive.
        settlement: Its fee and how many contribute.
    """
    fee = platform_fee(agreement.price_minor, settlement.fee_bps)
    amounts = [
        ("BUYER", agreement.currency, -agreement.price_minor),
        ("PLATFORM", agreement.currency, fee),
        ("SELLER", agreement.currency, agreement.price_minor - fee),
        ("INCENTIVE", TOKEN, -agreement.incentive_micro if settlement.contributors else 0),
    ]
    return [(uuid7(), account, currency, amount) for account, currency, amount in amounts if amount]


def credential_order(
    settlement: Settlement, agreement: Agreement, terms: bytes, buyer_did: str
) -> CredentialOrder:
    """What the agreement's credential says: a closed list, digests and times alone."""
    agreed_at = agreement.agreed_at or settlement.created_at
    return CredentialOrder(
        source_id=settlement.id,
        kind=CredentialKind.AGREEMENT,
        claims={
            "agreement": f"urn:uuid:{agreement.id}",
            "offerVersion": agreement.offer_version,
            "termsDigest": hashlib.sha256(terms).hexdigest(),
            "agreedAt": second(agreed_at),
        },
        subject_id=agreement.buyer_id,
        valid_until=min(agreement.expires_at, agreed_at + _VALID_AT_MOST).replace(microsecond=0),
        holder_did=buyer_did,
    )


async def _moved(
    tx: AsyncConnection, settlement: Settlement, before: AgreementState, after: AgreementState
) -> bool:
    agreement = await AgreementRows(tx).find(settlement.agreement_id, lock=True)
    if agreement is None or agreement.state is not before:
        return False
    await AgreementRows(tx).move(agreement, after, _PLATFORM)
    return True


async def _locked(rows: SettlementRows, settlement_id: UUID) -> Settlement:
    found = await rows.find(settlement_id, lock=True)
    if found is None:
        raise NotFound("the settlement is not there")
    return found


async def _agreement(tx: AsyncConnection, settlement: Settlement) -> Agreement:
    found = await AgreementRows(tx).find(settlement.agreement_id)
    if found is None:
        raise NotFound("the agreement is not there")
    return found
