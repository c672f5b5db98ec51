"""How the pages of billing write figures: money from minor units, counts, times with their zone."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from babel.numbers import format_currency, format_decimal, get_currency_precision
from google.protobuf.timestamp_pb2 import Timestamp

_LOCALE: Final = "en_US"


def money(amount_minor: int, currency: str) -> str:
    """An amount such as ``$1,299.00`` or ``JPY 500``, with as many decimals as its currency has.

    Args:
        amount_minor: Amount in the smallest unit of the currency.
        currency: ISO 4217 code, in either case.
    """
    code = currency.upper()
    amount = Decimal(amount_minor).scaleb(-get_currency_precision(code))
    return format_currency(amount, code, locale=_LOCALE)


def count(number: int) -> str:
    """A count with its thousands set apart."""
    return format_decimal(number, locale=_LOCALE)


def day(moment: Timestamp) -> str:
    """A day such as ``1 December 2026``; days begin at midnight UTC."""
    at = _at(moment)
    return f"{at.day} {at:%B %Y}"


def minute(moment: Timestamp) -> str:
    """A moment such as ``1 December 2026, 14:05 UTC``."""
    return f"{day(moment)}, {_at(moment):%H:%M} UTC"


def machine(moment: Timestamp) -> str:
    """A moment as ``<time datetime>`` takes it."""
    return f"{_at(moment):%Y-%m-%dT%H:%M:%SZ}"


def share(part: int, whole: int) -> int:
    """How many percent ``part`` is of ``whole``, rounded down, from 0 to 100; a limit of 0 is used up."""
    return 100 if whole <= 0 else max(0, min(100, part * 100 // whole))


def _at(moment: Timestamp) -> datetime:
    return moment.ToDatetime(tzinfo=UTC)
