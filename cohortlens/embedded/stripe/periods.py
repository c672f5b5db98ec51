"""Billing periods and what they cost: months clamped to their ends, whole periods, parts of periods."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime, timedelta

from cohortlens.embedded.stripe import invoicing, meters
from cohortlens.embedded.stripe.blanks import Object
from cohortlens.embedded.stripe.provider import Provider

DAY = 86_400


def shown(amount: int, currency: str) -> str:
    """An amount for a person, such as ``29.00 EUR``."""
    return f"{amount / 100:,.2f} {currency.upper()}"


def after(anchor: int, interval: str, count: int) -> int:
    """The end of ``count`` intervals from an anchor; days of the month that do not exist become its last."""
    begin = datetime.fromtimestamp(anchor, UTC)
    if interval in {"day", "week"}:
        return int((begin + timedelta(days=count * (7 if interval == "week" else 1))).timestamp())
    months = begin.month - 1 + count * (12 if interval == "year" else 1)
    year, month = begin.year + months // 12, months % 12 + 1
    day = min(begin.day, calendar.monthrange(year, month)[1])
    return int(begin.replace(year=year, month=month, day=day).timestamp())


def period_at(anchor: int, recurring: Object, at: int) -> tuple[int, int]:
    """The period that holds a time, counted from an anchor before it."""
    step, number = recurring["interval_count"], 0
    while after(anchor, recurring["interval"], (number + 1) * step) <= at:
        number += 1
    interval = recurring["interval"]
    return after(anchor, interval, number * step), after(anchor, interval, (number + 1) * step)


def full_lines(provider: Provider, items: list[Object], ended: tuple[int, int] | None = None) -> list[Object]:
    """Lines of whole periods: licensed ones ahead, metered ones for the period that ended, if one did."""
    lines = []
    for item in items:
        price, period = item["price"], (item["current_period_start"], item["current_period_end"])
        if price["recurring"]["usage_type"] == "metered":
            if ended is not None:
                lines.append(_metered_line(provider, item, ended))
            continue
        amount = price["unit_amount"] * item["quantity"]
        lines.append(invoicing.line(provider, item, amount, period, description=_description(provider, item)))
    return lines


def trial_lines(provider: Provider, items: list[Object]) -> list[Object]:
    """Lines of a trial, which cost nothing."""
    return [
        invoicing.line(
            provider,
            item,
            0,
            (item["current_period_start"], item["current_period_end"]),
            description=f"Free trial for {item['quantity'] or 1} x {_product(provider, item)}",
        )
        for item in items
    ]


def change_lines(provider: Provider, before: list[Object], after_: list[Object], at: int) -> list[Object]:
    """What a change in mid-period gives back and costs, item by item.

    Args:
        provider: The provider.
        before: Items as they were.
        after_: Items as they are.
        at: When.
    """
    was, now = ({item["id"]: item for item in items} for items in (before, after_))
    lines = []
    for identifier, old in was.items():
        new = now.get(identifier)
        if new is None or _terms(new) != _terms(old):
            lines += _part(provider, old, at, "Unused time on", -1)
    for identifier, new in now.items():
        old_item = was.get(identifier)
        if old_item is None or _terms(new) != _terms(old_item):
            lines += _part(provider, new, at, "Remaining time on", 1)
    return lines


def _terms(item: Object) -> tuple[str, int, int]:
    return item["price"]["id"], item["quantity"], item["current_period_end"]


def _part(provider: Provider, item: Object, at: int, words: str, sign: int) -> list[Object]:
    price, start, end = item["price"], item["current_period_start"], item["current_period_end"]
    if price["recurring"]["usage_type"] == "metered" or end <= max(at, start):
        return []
    whole = price["unit_amount"] * item["quantity"]
    amount = sign * round(whole * (end - max(at, start)) / (end - start))
    day = datetime.fromtimestamp(at, UTC).strftime("%d %b %Y")
    return [
        invoicing.line(
            provider,
            item,
            amount,
            (max(at, start), end),
            description=f"{words} {_product(provider, item)} after {day}",
            is_proration=True,
        )
    ]


def _metered_line(provider: Provider, item: Object, ended: tuple[int, int]) -> Object:
    meter = provider.store.get("billing.meter", item["price"]["recurring"]["meter"] or "")
    customer = provider.get("subscription", item["subscription"])["customer"]
    units = 0.0 if meter is None else meters.used(provider, meter, customer, *ended)
    quantity = int(units)
    amount = item["price"]["unit_amount"] * quantity
    words = f"{quantity} x {_product(provider, item)}"
    return invoicing.line(provider, item, amount, ended, description=words, quantity=quantity)


def _description(provider: Provider, item: Object) -> str:
    price = item["price"]
    cost = shown(price["unit_amount"], price["currency"])
    return f"{item['quantity']} x {_product(provider, item)} (at {cost} / {price['recurring']['interval']})"


def _product(provider: Provider, item: Object) -> str:
    found = provider.store.get("product", item["price"]["product"])
    return str(found["name"]) if found else "a deleted product"
