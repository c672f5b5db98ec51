"""Money that goes back: refunds, disputes, early warnings of fraud."""

from __future__ import annotations

from cohortlens.embedded.stripe import forms, listing
from cohortlens.embedded.stripe.blanks import Object
from cohortlens.embedded.stripe.faults import Refusal, required
from cohortlens.embedded.stripe.periods import DAY
from cohortlens.embedded.stripe.provider import Provider
from cohortlens.embedded.stripe.routing import Call, Route, route

_REASONS = ("duplicate", "fraudulent", "requested_by_customer")
_DISPUTES = ("won", "lost", "warning_closed")


def create(call: Call) -> Object:
    """Refund a charge, in part or as a whole."""
    provider, params = call.provider, call.params
    charge = _charge_of(call)
    left = charge["amount_captured"] - charge["amount_refunded"]
    amount = forms.number(params, "amount", left) or 0
    if left == 0:
        raise Refusal(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
    if not 0 < amount <= left:
        raise Refusal(
            f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left}).", param="amount"
        )
    reason = forms.text(params, "reason")
    if reason is not None:
        forms.choice(params, "reason", _REASONS, reason)
    made = provider.make(
        "refund",
        amount=amount,
        charge=charge["id"],
        created=provider.now(charge["customer"]),
        currency=charge["currency"],
        metadata=forms.metadata(params),
        payment_intent=charge["payment_intent"],
        reason=reason,
    )
    provider.store.add(made)
    provider.emit("refund.created", made)
    total = charge["amount_refunded"] + amount
    refunds = {**charge["refunds"], "data": [made, *charge["refunds"]["data"]]}
    provider.change(
        charge,
        "charge.refunded",
        amount_refunded=total,
        refunded=total == charge["amount_captured"],
        refunds=refunds,
    )
    return made


def read(call: Call) -> Object:
    """One refund."""
    return call.provider.get("refund", call.id)


def listed(call: Call) -> Object:
    """Refunds, the newest first."""
    return _of_charge(call, "refund")


def read_dispute(call: Call) -> Object:
    """One dispute."""
    return call.provider.get("dispute", call.id)


def list_disputes(call: Call) -> Object:
    """Disputes, the newest first."""
    return _of_charge(call, "dispute")


def update_dispute(call: Call) -> Object:
    """Hand in evidence."""
    provider, dispute = call.provider, call.provider.get("dispute", call.id)
    if dispute["status"] != "needs_response":
        raise Refusal("This dispute is already closed or under review.")
    evidence = {**dispute["evidence"], **forms.tree(call.params, "evidence")}
    details = {**dispute["evidence_details"], "has_evidence": True}
    return provider.change(
        dispute,
        "charge.dispute.updated",
        evidence=evidence,
        evidence_details=details,
        metadata=forms.metadata(call.params, dispute["metadata"]),
    )


def close_dispute(call: Call) -> Object:
    """Accept a dispute: it is lost."""
    dispute = call.provider.get("dispute", call.id)
    return decide(call.provider, dispute, "lost")


def open_dispute(provider: Provider, charge: Object, reason: str = "fraudulent") -> Object:
    """Let the bank of a customer dispute a charge."""
    if charge["disputed"] or not charge["paid"]:
        raise Refusal("This charge is disputed already, or was never paid.")
    now = provider.now(charge["customer"])
    made = provider.make(
        "dispute",
        amount=charge["amount"],
        charge=charge["id"],
        created=now,
        currency=charge["currency"],
        payment_intent=charge["payment_intent"],
        reason=reason,
        status="needs_response",
    )
    made["evidence_details"]["due_by"] = now + 10 * DAY
    provider.store.add(made)
    provider.change(charge, "charge.updated", disputed=True)
    provider.emit("charge.dispute.created", made)
    provider.emit("charge.dispute.funds_withdrawn", made)
    return made


def decide(provider: Provider, dispute: Object, status: str) -> Object:
    """End a dispute: ``won``, ``lost`` or ``warning_closed``."""
    if status not in _DISPUTES:
        raise Refusal(f"Invalid status: must be one of {', '.join(_DISPUTES)}", param="status")
    if dispute["status"] in _DISPUTES:
        raise Refusal("This dispute is already closed.")
    dispute["status"] = status
    provider.store.put(dispute)
    if status == "won":
        provider.emit("charge.dispute.funds_reinstated", dispute)
    provider.emit("charge.dispute.closed", dispute)
    return dispute


def warn_of_fraud(provider: Provider, charge: Object) -> Object:
    """Let the card's network warn of a charge."""
    made = provider.make("radar.early_fraud_warning", charge=charge["id"])
    provider.store.add(made)
    provider.emit("radar.early_fraud_warning.created", made)
    return made


def _of_charge(call: Call, kind: str) -> Object:
    """Objects of one kind, of the charge or the payment that is asked for."""
    params = call.params
    wanted = {name: forms.text(params, name) for name in ("charge", "payment_intent")}
    found = (
        one
        for one in call.provider.store.newest(kind)
        if all(value in {None, one[name]} for name, value in wanted.items())
        and listing.within(params, "created", one["created"])
    )
    return listing.page(found, params, call.path)


def _charge_of(call: Call) -> Object:
    provider, params = call.provider, call.params
    charge, intent = forms.text(params, "charge"), forms.text(params, "payment_intent")
    if charge is None and intent is None:
        raise required("payment_intent")
    if charge is None:
        charge = provider.get("payment_intent", intent or "", "payment_intent")["latest_charge"]
    found = provider.get("charge", charge or "", "charge")
    if not found["paid"]:
        raise Refusal("This charge was never paid.", param="charge")
    return found


_LIST = f"charge payment_intent created {listing.PARAMS}"
ROUTES: list[Route] = [
    route("POST", "/v1/refunds", create, "charge payment_intent amount reason metadata"),
    route("GET", "/v1/refunds", listed, _LIST),
    route("GET", "/v1/refunds/{id}", read),
    route("GET", "/v1/disputes", list_disputes, _LIST),
    route("GET", "/v1/disputes/{id}", read_dispute),
    route("POST", "/v1/disputes/{id}", update_dispute, "evidence metadata submit"),
    route("POST", "/v1/disputes/{id}/close", close_dispute),
]
