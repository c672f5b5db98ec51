"""The worker of the inbox: claim by customer, fetch without a transaction, apply in one.

A crash at any point repeats from the claim and changes nothing twice: what is written is guarded by the
number of the fetch, what is told by a row for each event, and both commit with the end of the events.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.billing.payments.alarms import DIFFERENCES, EVENTS, alarm
from cohortlens.billing.payments.event_types import RECONCILE, WRITTEN, Subject
from cohortlens.billing.payments.fetching import Fetched, customer_of, fetch, subject_of
from cohortlens.billing.payments.inbox_rows import LEASE_S, MAX_ATTEMPTS, Claim, InboxEvent, InboxRows
from cohortlens.billing.payments.models import PaymentProviderUnavailable
from cohortlens.billing.payments.ports import CheckoutOutcomes, ProviderReads
from cohortlens.billing.payments.projecting import Projected, Projection
from cohortlens.billing.payments.telling import Telling
from cohortlens.core.db import Database
from cohortlens.core.errors import CohortLensError
from cohortlens.core.failpoints import failpoint
from cohortlens.core.ids import TenantId
from cohortlens.core.mail import MailSealer
from cohortlens.core.outbox import Outbox
from cohortlens.core.telemetry import bound, get_logger
from cohortlens.identity.models import TENANT_DELETION
from cohortlens.identity.tenancy.tenant_rows import TenantRows

_LOG = get_logger(__name__)


class CustomerUnknown(LookupError):
    """Nobody here pays as this customer, or the provider does not know it."""


class _Overtaken(Exception):
    """Another worker has the customer by now."""


@dataclass(frozen=True)
class Rules:
    """How events are followed.

    Attributes:
        grace: How long an unpaid invoice changes nothing.
        lease_s: Seconds a claim holds.
    """

    grace: timedelta = timedelta(days=7)
    lease_s: float = LEASE_S


class Following:
    """Follows the events of the inbox.

    Args:
        db: Database as the role of jobs.
        provider: The payment provider.
        sealer: Seals mails.
        worker: Name of this process, unique among those alive.
        checkouts: Told of checkouts that ended; nobody when None.
        rules: How events are followed.
        suspended: Called after a tenant was suspended, so that all processes hear of it at once.
    """

    def __init__(
        self,
        db: Database,
        provider: ProviderReads,
        sealer: MailSealer,
        worker: str,
        *,
        checkouts: CheckoutOutcomes | None = None,
        rules: Rules | None = None,
        suspended: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        self._db, self._provider, self._sealer, self._worker = db, provider, sealer, worker
        self._checkouts, self._rules, self._suspended = checkouts, rules or Rules(), suspended

    async def claim(self) -> Claim | None:
        """Take the events of one customer; None when nothing is due."""
        async with self._db.transaction() as tx:
            claim = await InboxRows(tx).claim(
                self._worker, livemode=self._provider.livemode, lease_s=self._rules.lease_s
            )
        if claim is not None:
            failpoint("billing.claimed")
        return claim

    async def work(self, claim: Claim) -> None:
        """Follow what was claimed; a failure is stored with the events, to be tried again later."""
        tenant = str(claim.tenant_id) if claim.tenant_id else ""
        with bound(request_id=claim.events[0].id if claim.events else "", tenant_id=tenant):
            try:
                await self._follow(await self._without_spent(claim))
            except _Overtaken:
                _LOG.warning("billing_claim_lost", customer=claim.customer_id)
            except PaymentProviderUnavailable as fault:
                await self._failed(claim, fault, is_outage=True)
            except (CohortLensError, OSError, LookupError) as fault:
                await self._failed(claim, fault)
            except Exception as fault:
                _LOG.exception("billing_events_failed", customer=claim.customer_id)
                await self._failed(claim, fault)

    async def _follow(self, claim: Claim) -> None:
        if not claim.customer_id:
            await self._nameless(claim)
            return
        if not claim.events:
            async with self._db.transaction() as tx:
                await InboxRows(tx).free(claim, is_done=False)
            return
        if claim.tenant_id is None:
            await self._of_nobody(claim)
            return
        fetched = await fetch(self._provider, claim.customer_id, claim.events)
        failpoint("billing.fetched")
        if fetched.customer is None:
            raise CustomerUnknown(
                "the payment provider does not know this customer; is the key of its account?"
            )
        is_suspended = await self._apply(claim, claim.tenant_id, fetched)
        if is_suspended and self._suspended is not None:
            await self._suspended()

    async def _apply(self, claim: Claim, tenant_id: TenantId, fetched: Fetched) -> bool:
        """Write what was fetched and end the events, in one transaction; True when a tenant was suspended."""
        good, forged = _compared(claim, tenant_id, fetched)
        suspended = False
        async with self._db.tenant_transaction(tenant_id) as tx:
            inbox = InboxRows(tx)
            if not await inbox.hold(claim):
                raise _Overtaken
            status = await _status(tx, tenant_id)
            if status == "ERASED":
                # Between claim and now: nothing of it may come back.
                await inbox.done(claim.events)
                await inbox.free(claim, is_done=True)
                return False
            if status == "DELETING" and fetched.still_pays:
                # Paid in the moment of the deletion, or brought back at the provider.
                await Outbox(tx).record(TENANT_DELETION, f"tenant:{tenant_id}", {})
            projected = await Projection(tx, tenant_id, self._rules.grace).store(claim, fetched)
            telling = Telling(tx, tenant_id, self._sealer, self._rules.grace)
            for event in good:
                suspended |= await telling.follow(event, fetched, projected.after)
                session = fetched.checkouts.get(event.id)
                if session is not None and self._checkouts is not None:
                    await self._checkouts.settled(tx, tenant_id, session)
            if _turned_read_only(projected):
                await telling.read_only(projected.after)
            await inbox.done(good)
            await inbox.dead(forged, "the tenant written on it is not the one that pays as this customer")
            await inbox.free(claim, is_done=True)
            failpoint("billing.applying")
        failpoint("billing.applied")
        for event in forged:
            alarm("metadata_mismatch", event_id=event.id, tenant_id=str(tenant_id))
        _count(good, forged, projected)
        return suspended

    async def _of_nobody(self, claim: Claim) -> None:
        """Events of a customer that is nobody's: over, once it is deleted, as that of an erased tenant is."""
        customer = await self._provider.customer(claim.customer_id)
        if customer is None or not customer.deleted:
            raise CustomerUnknown("no tenant pays as this customer")
        async with self._db.transaction() as tx:
            inbox = InboxRows(tx)
            if not await inbox.hold(claim):
                raise _Overtaken
            await inbox.done(claim.events)
            await inbox.free(claim, is_done=True)
        EVENTS.labels("done").inc(len(claim.events))

    async def _nameless(self, claim: Claim) -> None:
        """Events that do not say whom they are about: ask the provider, then they wait with that customer."""
        for event in claim.events:
            customer_id = await customer_of(self._provider, event)
            if customer_id:
                async with self._db.transaction() as tx:
                    await InboxRows(tx).name_customer(event, customer_id)
                continue
            if subject_of(event) is Subject.CATALOGUE:
                alarm("catalogue_drift", event_id=event.id, subject=event.object_id)
            async with self._db.transaction() as tx:
                await InboxRows(tx).done([event])
            EVENTS.labels("done").inc()

    async def _without_spent(self, claim: Claim) -> Claim:
        """The claim without events whose worker died in every attempt: they end here."""
        spent = [one for one in claim.events if one.attempts > MAX_ATTEMPTS]
        if not spent:
            return claim
        async with self._db.transaction() as tx:
            await InboxRows(tx).dead(spent, "the worker died in every attempt")
        self._died(spent)
        left = tuple(one for one in claim.events if one.attempts <= MAX_ATTEMPTS)
        return Claim(claim.livemode, claim.customer_id, claim.tenant_id, claim.fetch_no, claim.worker, left)

    async def _failed(self, claim: Claim, fault: Exception, *, is_outage: bool = False) -> None:
        _LOG.warning(
            "billing_events_later",
            customer=claim.customer_id,
            events=len(claim.events),
            error=f"{type(fault).__name__}: {fault}",
        )
        dead: list[InboxEvent] = []
        try:
            async with self._db.transaction() as tx:
                inbox = InboxRows(tx)
                for event in claim.events:
                    error = f"{type(fault).__name__}: {fault}"
                    if not await inbox.later(event, error, is_outage=is_outage):
                        dead.append(event)
                await inbox.free(claim, is_done=False)
        except (CohortLensError, OSError) as error:
            # The lease ends by itself, and with it the claim.
            _LOG.warning("billing_events_not_given_back", error=str(error))
            return
        self._died(dead)

    def _died(self, events: list[InboxEvent]) -> None:
        for event in events:
            EVENTS.labels("dead").inc()
            alarm(
                "event_dead", event_id=event.id, type=event.type, next="ListBillingEvents, ReplayBillingEvent"
            )


async def _status(tx: AsyncConnection, tenant_id: TenantId) -> str:
    """Status of a tenant; one that is deleted is kept from being erased until the transaction ends."""
    rows = TenantRows(tx, tenant_id)
    found = await rows.get()
    if found is not None and found.status == "DELETING":
        found = await rows.get(lock=True)
    return found.status if found is not None else "ERASED"


def _compared(
    claim: Claim, tenant_id: TenantId, fetched: Fetched
) -> tuple[list[InboxEvent], list[InboxEvent]]:
    """Events whose metadata names our tenant or none, and those that name another one."""
    good: list[InboxEvent] = []
    forged: list[InboxEvent] = []
    for event in claim.events:
        session = fetched.checkouts.get(event.id)
        named = {event.refs.get("tenant", ""), event.refs.get("client_reference", "")}
        if session is not None:
            named.add(session.client_reference_id)
        (good if named <= {"", str(tenant_id)} else forged).append(event)
    return good, forged


def _turned_read_only(projected: Projected) -> bool:
    was = projected.before.access if projected.before is not None else "FULL"
    return projected.is_changed and projected.after.access == "READ_ONLY" != was


def _is_unasked(event: InboxEvent) -> bool:
    """Whether an event looks for what the provider should have told."""
    return event.type == RECONCILE and not event.id.startswith(WRITTEN)


def _count(good: list[InboxEvent], forged: list[InboxEvent], projected: Projected) -> None:
    EVENTS.labels("done").inc(len(good))
    EVENTS.labels("dead").inc(len(forged))
    if projected.is_changed and good and all(_is_unasked(one) for one in good):
        DIFFERENCES.labels().inc()
        _LOG.warning(
            "billing_reconcile_difference", status=projected.after.status, plan=projected.after.plan_id
        )
