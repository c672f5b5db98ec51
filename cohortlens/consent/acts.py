"""Giving, refusing, withdrawing and confirming consent: every act is recorded, the greatest one counts.

One transaction stores the events, the states they lead to, the receipt, the audit row and what the outbox
tells. The person's row is locked first, so acts of one person are recorded one after another (``states`` says
which counts), and the audit row comes with the COMMIT, which also gives the changed states their version.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.audit.customer_refs import CUSTOMER_REF, customer_ref
from cohortlens.audit.models import truncated_address
from cohortlens.audit.trail import AuditTrail, entry_of
from cohortlens.consent.event_rows import EventRows, NewEvent, StoredState
from cohortlens.consent.identities import Identities, Identity
from cohortlens.consent.models import (
    ActType,
    CollectionMethod,
    ConsentRequired,
    ConsentState,
    CustomerErased,
    field_fault,
)
from cohortlens.consent.receipts import ReceiptDraft, ReceiptKey, Receipts
from cohortlens.consent.signals import Signals, given_by, refused_by
from cohortlens.consent.states import expiry
from cohortlens.consent.terms import STAMP, Terms, TermsMemory, TermsReading, Wanted
from cohortlens.core import idempotency
from cohortlens.core.clock import Clock, now
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database, retried
from cohortlens.core.deferred import call_at_commit
from cohortlens.core.ids import uuid7
from cohortlens.core.tenant_keys import TenantKeys

AHEAD = timedelta(minutes=5)
"""How far a decision may lie ahead: clocks differ."""
BATCH_MAX = 1000
_COMMIT = "app.consent_commit"
_GIVING = (ActType.GIVEN, ActType.REAFFIRMED)


@dataclass(frozen=True)
class Evidence:
    """Where and how a decision was made; stored sealed.

    Attributes:
        address: Network address of the customer; only its network is kept.
        user_agent: User agent of the browser.
        url: Page; its query and fragment are not kept.
    """

    address: str = ""
    user_agent: str = ""
    url: str = ""

    def kept(self) -> dict[str, str]:
        """What is stored of it."""
        url = self.url.partition("#")[0].partition("?")[0]
        found = {"address": truncated_address(self.address), "user_agent": self.user_agent, "url": url}
        return {name: value for name, value in found.items() if value}


@dataclass(frozen=True)
class Act:
    """A decision of one customer, as it is asked for.

    Attributes:
        customer: Who: an identifier, or ``external:`` and the tenant's own one.
        type: What was decided.
        purposes: Names and versions; version 0 is the one of the notice, or the one that holds. None: all.
        notice_id: The notice that was shown; None for none.
        locale: Language it was shown in; empty: that of the notice.
        method: How it was collected.
        collected_at: When it was made; None: now.
        evidence: Where and how.
        path: What stands before the fields in the request, such as ``records[3].``.
    """

    customer: str
    type: ActType
    purposes: Sequence[tuple[str, int]] | None
    notice_id: UUID | None = None
    locale: str = ""
    method: CollectionMethod = CollectionMethod.API
    collected_at: datetime | None = None
    evidence: Evidence = field(default_factory=Evidence)
    path: str = ""


@dataclass(frozen=True)
class Recorded:
    """What became of an act.

    Attributes:
        identity: The person.
        receipt_id: Its receipt; None where there is none.
        events: The events, one for each purpose.
        notice_version: Version of the notice that was shown; 0 for none.
        standing: How the person stands after all acts of the request; empty for a batch.
    """

    identity: Identity
    receipt_id: UUID | None
    events: tuple[NewEvent, ...]
    notice_version: int = 0
    standing: tuple[StoredState, ...] = ()


class ConsentActs:
    """The use cases of decisions.

    Args:
        db: Database as the runtime role.
        tenant_keys: The tenants' keys.
        receipts: Makes receipts.
        clock: Current time.
    """

    def __init__(self, db: Database, tenant_keys: TenantKeys, receipts: Receipts, clock: Clock = now) -> None:
        self._db = db
        self._tenant_keys = tenant_keys
        self._receipts = receipts
        self._terms = TermsMemory()
        self._clock = clock

    async def record(self, ctx: RequestContext, act: Act, signals: Signals | None = None) -> Recorded:
        """Record the decision of one customer, with what their browser signals.

        Args:
            ctx: The request.
            act: The decision.
            signals: What is refused beside it, and what is given with a consent; None for nothing.

        Raises:
            InvalidArgument: FIELD_INVALID.
            NotFound: RESOURCE_NOT_FOUND: the customer, a purpose or the notice.
            FailedPrecondition: NOTICE_OUTDATED, CUSTOMER_ERASED, or CONSENT_REQUIRED for a confirmation.
        """
        acts = with_signals(act, signals or Signals())
        key = await self._receipts.signer()

        async def work() -> Recorded:
            async with self._db.tenant_transaction(ctx.tenant_id, generic_plans=True) as tx:
                done, deciding = await self._recorded(tx, ctx, acts, key)
                first = done[0]
                idempotency.made(identity=str(first.identity.id), receipt=str(first.receipt_id or ""))
                decided = sorted({event.purpose_key for one in done for event in one.events})
                idempotency.made(decided=decided)
                secret = await self._tenant_keys.mac_key(tx, ctx.tenant_id, CUSTOMER_REF)
                for place, one in enumerate(done):
                    person = one.identity.customer_id or one.identity.id
                    details = {
                        "purposes": {event.purpose_key: event.purpose_version for event in one.events},
                        "method": one.events[0].method,
                    }
                    resource = f"consents/{customer_ref(secret, str(person))}"
                    action = f"consent.decision.{one.events[0].type.value.lower()}"
                    if place + 1 < len(done):
                        await AuditTrail(tx).append(ctx, action, resource=resource, details=details)
                    else:
                        noted_at_commit(tx, ctx, action, resource, details)
                standing = await _standing(tx, done, deciding)
            return replace(first, standing=standing)

        return await retried(work)

    async def record_batch(self, ctx: RequestContext, acts: Sequence[Act]) -> list[Recorded]:
        """Record decisions of many customers, all or none; one row of the audit log tells of them.

        Raises:
            As ``record``; the fault names the record.
        """
        key = await self._receipts.signer()

        async def work() -> list[Recorded]:
            async with self._db.tenant_transaction(ctx.tenant_id) as tx:
                done, _ = await self._recorded(tx, ctx, acts, key)
                events = [str(event.id) for one in done for event in one.events]
                digest = hashlib.sha256("\n".join(events).encode()).hexdigest()
                idempotency.made(events=len(events), receipt_ids=[str(one.receipt_id or "") for one in done])
                details = {"records": len(acts), "events": len(events), "events_sha256": digest}
                noted_at_commit(tx, ctx, "consent.decision.batched", "consents", details)
            return done

        return await retried(work)

    async def _recorded(
        self, tx: AsyncConnection, ctx: RequestContext, acts: Sequence[Act], key: ReceiptKey
    ) -> tuple[list[Recorded], frozenset[UUID]]:
        """What became of each act, and the events that decide now; two statements where terms are known."""
        at = self._clock()
        _require_times(acts, at)
        people = Identities(tx, ctx.tenant_id, self._tenant_keys)
        names, fields = [one.customer for one in acts], [f"{one.path}customer" for one in acts]
        found, stamp = await people.locked_asking(names, fields, STAMP)
        _require_not_erased(acts, found)
        terms = await TermsReading(tx, self._terms.of(ctx.tenant_id, stamp)).of(
            [Wanted(one.type, one.purposes, one.notice_id, _made_at(one, at), one.path) for one in acts]
        )
        rows = EventRows(tx)
        if any(one.type is ActType.REAFFIRMED for one in acts):
            standing = await rows.standing(one.id for one in found)
            for act, identity, term in zip(acts, found, terms, strict=True):
                if act.type is ActType.REAFFIRMED:
                    _require_given(act, identity, term, standing, at)
        drafts: list[ReceiptDraft] = []
        done: list[Recorded] = []
        for act, identity, term in zip(acts, found, terms, strict=True):
            receipt_id = None if term.receipt_notice is None else uuid7()
            recorded = await self._events(people, act, identity, term, at, receipt_id)
            done.append(recorded)
            if receipt_id is not None:
                drafts.append(ReceiptDraft(receipt_id, identity.id, recorded.events, term))
        deciding = await rows.record(
            [event for one in done for event in one.events],
            self._receipts.signed(key, drafts, at),
            people.made_keys,
            ctx.caller.actor,
            ctx.request_id,
        )
        return done, deciding

    async def _events(
        self,
        people: Identities,
        act: Act,
        identity: Identity,
        term: Terms,
        at: datetime,
        receipt_id: UUID | None,
    ) -> Recorded:
        collected = _made_at(act, at)
        kept = act.evidence.kept()
        sealer = None
        if kept and identity.erased_at is None:
            sealer = await people.evidence_sealer(identity)
        events = []
        for purpose in term.purposes:
            event_id = uuid7()
            events.append(
                NewEvent(
                    id=event_id,
                    identity_id=identity.id,
                    purpose_key=purpose.key,
                    purpose_version=purpose.version,
                    type=act.type,
                    collected_at=collected,
                    expires_at=expiry(collected, purpose.validity_days) if act.type in _GIVING else None,
                    method=act.method.value,
                    locale=act.locale or (term.notice.locale if term.notice else ""),
                    notice_id=term.notice.id if term.notice else None,
                    notice_sha256=term.notice.sha256 if term.notice else None,
                    receipt_id=receipt_id,
                    evidence_enc=sealer.seal(json.dumps(kept).encode(), event_id.bytes) if sealer else None,
                )
            )
        version = term.notice.version if term.notice else 0
        return Recorded(identity, receipt_id, tuple(events), version)


def with_signals(act: Act, signals: Signals) -> list[Act]:
    """The act, with what signals give, and the refusals that they add.

    Raises:
        InvalidArgument: FIELD_INVALID: nothing is decided at all.
    """
    named = list(act.purposes or ())
    if act.type is ActType.GIVEN:
        named += [(key, 0) for key in given_by(signals) if key not in {one for one, _ in named}]
    refused = refused_by(signals)
    acts = []
    if act.type is ActType.WITHDRAWN and act.purposes is None:
        acts.append(act)
    elif named:
        acts.append(_with(act, act.type, named, act.method))
    if refused:
        acts.append(_with(act, ActType.REFUSED, [(key, 0) for key in refused], CollectionMethod.SIGNAL))
    if not acts:
        raise field_fault("purposes", "name a purpose, or send signals that decide something")
    return acts


def _with(act: Act, kind: ActType, purposes: Sequence[tuple[str, int]], method: CollectionMethod) -> Act:
    notice = act.notice_id if method is not CollectionMethod.SIGNAL else None
    return Act(
        act.customer, kind, purposes, notice, act.locale, method, act.collected_at, act.evidence, act.path
    )


async def _standing(
    tx: AsyncConnection, done: Sequence[Recorded], deciding: frozenset[UUID]
) -> tuple[StoredState, ...]:
    """How a person stands about what was decided, by purpose; read only where an act did not decide."""
    decided = {event.purpose_key for one in done for event in one.events}
    known = {
        event.purpose_key: _state(event, one.notice_version)
        for one in done
        for event in one.events
        if event.id in deciding
    }
    if len(known) < len(decided):
        held = await EventRows(tx).standing([done[0].identity.id])
        known = {one.purpose_key: one for one in held.values() if one.purpose_key in decided}
    return tuple(known[key] for key in sorted(known))


def _state(event: NewEvent, notice_version: int) -> StoredState:
    """The state that an event leads to which decides."""
    return StoredState(
        identity_id=event.identity_id,
        purpose_key=event.purpose_key,
        state=ActType.GIVEN if event.type in _GIVING else event.type,
        event_id=event.id,
        since=event.collected_at,
        expires_at=event.expires_at,
        purpose_version=event.purpose_version,
        decided_at=event.collected_at,
        version=0,
        receipt_id=event.receipt_id,
        notice_version=notice_version,
    )


def noted_at_commit(
    tx: AsyncConnection, ctx: RequestContext, action: str, resource: str, details: Mapping[str, object]
) -> None:
    """Chain the audit row with the COMMIT, and give the states that changed its place as their version."""
    entry = entry_of(ctx, action, resource=resource, outcome="OK", details=details)
    call_at_commit(tx, _COMMIT, entry.canonical())


def _made_at(act: Act, at: datetime) -> datetime:
    """When a decision was made; never ahead of its recording, or a later withdrawal would seem the older."""
    return min(act.collected_at or at, at)


def _require_times(acts: Sequence[Act], at: datetime) -> None:
    for act in acts:
        if act.collected_at is not None and act.collected_at > at + AHEAD:
            raise field_fault(f"{act.path}collect_time", "lies more than 5 minutes ahead")


def _require_not_erased(acts: Sequence[Act], found: Sequence[Identity]) -> None:
    for act, identity in zip(acts, found, strict=True):
        if identity.erased_at is not None and act.type is not ActType.WITHDRAWN:
            raise CustomerErased(
                f"{act.path}customer: the customer was erased; only a withdrawal is recorded",
                metadata={"field": f"{act.path}customer"},
            )


def is_over(stored: StoredState, at: datetime) -> bool:
    """Whether a consent has ended by the clock of this process."""
    return stored.expires_at is not None and stored.expires_at <= at


def _require_given(
    act: Act,
    identity: Identity,
    term: Terms,
    standing: Mapping[tuple[UUID, str], StoredState],
    at: datetime,
) -> None:
    for purpose in term.purposes:
        stored = standing.get((identity.id, purpose.key))
        if stored is None or stored.state != ConsentState.GIVEN or is_over(stored, at):
            raise ConsentRequired(
                f"{act.path}purposes: there is no consent for {purpose.key} to confirm; ask for one",
                metadata={"purpose": purpose.key},
            )
