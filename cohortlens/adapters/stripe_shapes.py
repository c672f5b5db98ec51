"""Stripe's objects, as plain dictionaries of API version 2026-10-28.endive, turned into our words.

What moved between versions is read where it is now: periods are on the items of a subscription, and an
invoice names its subscription under ``parent``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from cohortlens.billing.payments.models import (
    Charge,
    CheckoutSession,
    Customer,
    Dispute,
    Invoice,
    Item,
    Price,
    Product,
    Schedule,
    Subscription,
    SubscriptionStatus,
)

Shape = Mapping[str, Any]


def moment(seconds: int | None) -> datetime | None:
    """A time of Stripe's, in seconds since 1970."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def sure_moment(seconds: int | None) -> datetime:
    """The same where there always is one."""
    return datetime.fromtimestamp(seconds or 0, UTC)


def id_of(value: Any) -> str:
    """Identifier of what may be expanded, and may be missing."""
    if isinstance(value, Mapping):
        return str(value.get("id") or "")
    return str(value or "")


def inside(shape: Shape, *names: str) -> Any:
    """A member of a member; None when one of them is missing."""
    found: Any = shape
    for name in names:
        if not isinstance(found, Mapping):
            return None
        found = found.get(name)
    return found


def metadata_of(shape: Shape) -> dict[str, str]:
    """What was written on an object."""
    return {str(name): str(value) for name, value in (shape.get("metadata") or {}).items()}


def customer_of(shape: Shape) -> Customer:
    """A customer; one that was deleted has nothing but its identifier."""
    return Customer(
        id=shape["id"],
        email=shape.get("email") or "",
        has_payment_method=bool(
            inside(shape, "invoice_settings", "default_payment_method") or shape.get("default_source")
        ),
        deleted=bool(shape.get("deleted")),
        livemode=bool(shape.get("livemode")),
        metadata=metadata_of(shape),
    )


def product_of(shape: Shape) -> Product:
    """A product."""
    return Product(shape["id"], shape.get("name") or "", bool(shape.get("active")), metadata_of(shape))


def price_of(shape: Shape) -> Price:
    """A price."""
    return Price(
        id=shape["id"],
        product_id=id_of(shape.get("product")),
        currency=shape.get("currency") or "",
        amount_minor=shape.get("unit_amount"),
        interval=inside(shape, "recurring", "interval") or "",
        active=bool(shape.get("active")),
        livemode=bool(shape.get("livemode")),
        lookup_key=shape.get("lookup_key") or "",
        metadata=metadata_of(shape),
    )


def subscription_of(shape: Shape) -> Subscription:
    """A subscription; schedule and latest invoice where they are expanded."""
    schedule, invoice = shape.get("schedule"), shape.get("latest_invoice")
    created = sure_moment(shape.get("created"))
    return Subscription(
        id=shape["id"],
        customer_id=id_of(shape.get("customer")),
        status=SubscriptionStatus(str(shape["status"]).upper()),
        items=tuple(_item(one, shape) for one in inside(shape, "items", "data") or ()),
        created_at=created,
        anchor=moment(shape.get("billing_cycle_anchor")) or created,
        cancel_at_period_end=bool(shape.get("cancel_at_period_end")),
        cancel_at=moment(shape.get("cancel_at")),
        canceled_at=moment(shape.get("canceled_at")),
        ended_at=moment(shape.get("ended_at")),
        trial_end=moment(shape.get("trial_end")),
        schedule=schedule_of(schedule) if isinstance(schedule, Mapping) else None,
        schedule_id=id_of(schedule),
        latest_invoice=invoice_of(invoice) if isinstance(invoice, Mapping) else None,
        has_pending_update=bool(shape.get("pending_update")),
        has_payment_method=bool(shape.get("default_payment_method")),
        livemode=bool(shape.get("livemode")),
        metadata=metadata_of(shape),
    )


def _item(shape: Shape, subscription: Shape) -> Item:
    price = shape.get("price") or {}
    return Item(
        id=shape["id"],
        price_id=id_of(price),
        product_id=id_of(price.get("product")),
        interval=inside(price, "recurring", "interval") or "",
        quantity=int(shape.get("quantity") or 1),
        period_start=sure_moment(shape.get("current_period_start") or subscription.get("start_date")),
        period_end=sure_moment(shape.get("current_period_end") or subscription.get("start_date")),
    )


def schedule_of(shape: Shape) -> Schedule:
    """A schedule, with the phase that comes after the current one."""
    status = str(shape.get("status") or "")
    current = inside(shape, "current_phase", "start_date") or 0
    coming: list[Shape] = []
    if status in {"active", "not_started"}:
        coming = sorted(
            (one for one in shape.get("phases") or () if one["start_date"] > current),
            key=lambda one: one["start_date"],
        )
    items = (coming[0].get("items") or ()) if coming else ()
    price = items[0].get("price") if items else None
    return Schedule(
        id=shape["id"],
        subscription_id=id_of(shape.get("subscription")),
        status=status,
        next_price_id=id_of(price),
        next_at=moment(coming[0]["start_date"]) if coming else None,
    )


def invoice_of(shape: Shape) -> Invoice:
    """A bill."""
    created = sure_moment(shape.get("created"))
    return Invoice(
        id=shape["id"],
        customer_id=id_of(shape.get("customer")),
        subscription_id=id_of(inside(shape, "parent", "subscription_details", "subscription")),
        number=shape.get("number") or "",
        status=shape.get("status") or "draft",
        billing_reason=shape.get("billing_reason") or "",
        currency=shape.get("currency") or "",
        amount_due_minor=int(shape.get("amount_due") or 0),
        amount_paid_minor=int(shape.get("amount_paid") or 0),
        attempt_count=int(shape.get("attempt_count") or 0),
        next_attempt_at=moment(shape.get("next_payment_attempt")),
        hosted_url=shape.get("hosted_invoice_url") or "",
        pdf_url=shape.get("invoice_pdf") or "",
        period_start=moment(shape.get("period_start")) or created,
        period_end=moment(shape.get("period_end")) or created,
        created_at=created,
        finalized_at=moment(inside(shape, "status_transitions", "finalized_at")),
        paid_at=moment(inside(shape, "status_transitions", "paid_at")),
        due_at=moment(shape.get("due_date")),
        livemode=bool(shape.get("livemode")),
    )


def session_of(shape: Shape) -> CheckoutSession:
    """A checkout."""
    return CheckoutSession(
        id=shape["id"],
        url=shape.get("url") or "",
        status=shape.get("status") or "",
        payment_status=shape.get("payment_status") or "",
        customer_id=id_of(shape.get("customer")),
        subscription_id=id_of(shape.get("subscription")),
        client_reference_id=shape.get("client_reference_id") or "",
        expires_at=sure_moment(shape.get("expires_at")),
        livemode=bool(shape.get("livemode")),
        metadata=metadata_of(shape),
    )


def charge_of(shape: Shape) -> Charge:
    """Money that was taken."""
    return Charge(
        id=shape["id"],
        customer_id=id_of(shape.get("customer")),
        amount_minor=int(shape.get("amount") or 0),
        refunded_minor=int(shape.get("amount_refunded") or 0),
        currency=shape.get("currency") or "",
        disputed=bool(shape.get("disputed")),
    )


def dispute_of(shape: Shape) -> Dispute:
    """A charge that is not accepted."""
    return Dispute(
        id=shape["id"],
        charge_id=id_of(shape.get("charge")),
        status=shape.get("status") or "",
        reason=shape.get("reason") or "",
        amount_minor=int(shape.get("amount") or 0),
        currency=shape.get("currency") or "",
    )
