"""Who is told of what, each event once: owners of invoices and trials, staff of refunds and disputes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from babel.numbers import format_currency, get_currency_precision
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.audit.trail import AuditTrail
from cohortlens.billing.notices import tell
from cohortlens.billing.payments.alarms import alarm
from cohortlens.billing.payments.event_types import EVENT_TYPES, PAYMENT_FAILED, TRIAL_ENDS
from cohortlens.billing.payments.fetching import Fetched
from cohortlens.billing.payments.inbox_rows import InboxEvent
from cohortlens.billing.payments.mails import READ_ONLY, STAFF
from cohortlens.billing.payments.models import Invoice, SubscriptionStatus
from cohortlens.billing.payments.projecting import WHO
from cohortlens.billing.payments.rows import PaymentRows, SubscriptionRecord
from cohortlens.core.db import go_on_for
from cohortlens.core.ids import PLATFORM_TENANT_ID, TenantId
from cohortlens.core.mail import MailQueue, MailSealer
from cohortlens.identity.tenancy.members import Members
from cohortlens.identity.tenancy.platform import suspend_in

_TOLD_MAX = 100
_LOST = "lost"
_DISPUTE_LOST = "DISPUTE_LOST"


class Telling:
    """Tells people, within the transaction of the events.

    Args:
        tx: A connection inside ``Database.tenant_transaction``, as the role of jobs.
        tenant_id: The tenant.
        sealer: Seals mails.
        grace: How long an unpaid invoice changes nothing.
    """

    def __init__(
        self, tx: AsyncConnection, tenant_id: TenantId, sealer: MailSealer, grace: timedelta
    ) -> None:
        self._tx, self._tenant_id, self._grace = tx, tenant_id, grace
        self._sealer = sealer
        self._rows = PaymentRows(tx, tenant_id)

    async def follow(self, event: InboxEvent, fetched: Fetched, record: SubscriptionRecord) -> bool:
        """Tell whom an event concerns, unless it was told before; True when the tenant was suspended."""
        notice = EVENT_TYPES[event.type].notice if event.type in EVENT_TYPES else ""
        if notice:
            await self._owners_of(event, notice, fetched, record)
        if event.id in fetched.disputes or event.id in fetched.charges:
            return await self._money(event, fetched)
        return False

    async def read_only(self, record: SubscriptionRecord) -> None:
        """Tell the owners that they may only read, once for each time an invoice stays unpaid."""
        since = record.past_due_since.isoformat() if record.past_due_since else record.status
        if await self._rows.mark("READ_ONLY", f"{record.stripe_subscription_id}:{since}"):
            await self._to_owners(READ_ONLY, {})

    async def _owners_of(
        self, event: InboxEvent, notice: str, fetched: Fetched, record: SubscriptionRecord
    ) -> None:
        values = self._values(event, notice, fetched, record)
        if values is not None and await self._rows.mark("NOTICE", event.id, {"mail": notice}):
            await self._to_owners(notice, values)

    def _values(
        self, event: InboxEvent, notice: str, fetched: Fetched, record: SubscriptionRecord
    ) -> dict[str, str] | None:
        """What the mail says; None when what the event told is over."""
        if notice == TRIAL_ENDS:
            if record.status != SubscriptionStatus.TRIALING.value or record.trial_end is None:
                return None
            return {"plan": record.plan_id or "-", "date": _day(record.trial_end)}
        invoice = fetched.invoices.get(event.object_id)
        if invoice is None or invoice.status != "open":
            return None
        values = {"number": invoice.number or "-", "amount": _amount(invoice)}
        if notice == PAYMENT_FAILED:
            values["date"] = _day((record.past_due_since or fetched.at) + self._grace)
        return values

    async def _to_owners(self, template: str, values: Mapping[str, str]) -> None:
        await tell(self._tx, self._tenant_id, self._sealer, template, values)

    async def _money(self, event: InboxEvent, fetched: Fetched) -> bool:
        """Note a refund, a dispute or a warning; a lost dispute suspends, the first time it is heard of."""
        found = _reversal(event, fetched)
        if found is None or not await self._rows.mark(found.kind, found.subject, found.facts):
            return False
        await AuditTrail(self._tx).append(
            WHO, _ACTIONS[found.kind], resource="subscription", details=found.facts
        )
        suspended = found.kind == _DISPUTE_LOST and await suspend_in(
            self._tx, WHO, self._tenant_id, f"the dispute {found.subject} of a payment was lost"
        )
        await self._to_staff(found.what, found.facts)
        return suspended

    async def _to_staff(self, what: str, facts: Mapping[str, str]) -> None:
        alarm("money_back", tenant_id=str(self._tenant_id), what=what, **facts)
        await go_on_for(self._tx, PLATFORM_TENANT_ID)
        values = {**facts, "what": what, "tenant": str(self._tenant_id)}
        mails = MailQueue(self._tx, self._sealer)
        for member in await Members(self._tx, PLATFORM_TENANT_ID).page("", None, _TOLD_MAX):
            await mails.put(member.email, STAFF, values)
        await go_on_for(self._tx, UUID(int=self._tenant_id.int))


class _Reversal(NamedTuple):
    """Money that goes back, or may.

    Attributes:
        kind: What happened, as it is noted.
        subject: What it is noted for, once.
        what: The same in words, for the staff.
        facts: For audit log and staff.
    """

    kind: str
    subject: str
    what: str
    facts: dict[str, str]


def _reversal(event: InboxEvent, fetched: Fetched) -> _Reversal | None:
    dispute, charge = fetched.disputes.get(event.id), fetched.charges.get(event.id)
    if dispute is not None:
        facts = {
            "dispute": dispute.id,
            "charge": dispute.charge_id,
            "status": dispute.status,
            "reason": dispute.reason,
            "amount": f"{dispute.amount_minor} {dispute.currency}",
        }
        if dispute.status == _LOST:
            return _Reversal(_DISPUTE_LOST, dispute.id, "a dispute was lost; the tenant is suspended", facts)
        return _Reversal("DISPUTE", event.id, f"a dispute: {dispute.status}", facts)
    if charge is None:
        return None
    if event.type == "charge.refunded":
        facts = {"charge": charge.id, "amount": f"{charge.refunded_minor} {charge.currency}"}
        return _Reversal("REFUND", event.id, "a charge was refunded", facts)
    facts = {"charge": charge.id, "amount": f"{charge.amount_minor} {charge.currency}"}
    return _Reversal("FRAUD_WARNING", event.id, "a charge may be a fraud", facts)


_ACTIONS = {
    "REFUND": "billing.charge.refunded",
    "DISPUTE": "billing.dispute.changed",
    _DISPUTE_LOST: "billing.dispute.lost",
    "FRAUD_WARNING": "billing.charge.warned",
}


def _day(at: datetime) -> str:
    return f"{at:%Y-%m-%d}"


def _amount(invoice: Invoice) -> str:
    currency = invoice.currency.upper()
    amount = Decimal(invoice.amount_due_minor).scaleb(-get_currency_precision(currency))
    return str(format_currency(amount, currency, locale="en"))
