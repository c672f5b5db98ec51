"""Which column of a file means what: one header rule for the import, training tools and benchmarks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cohortlens.core.errors import InvalidArgument, Violation

ACCEPTED: dict[str, tuple[str, ...]] = {
    "customer": (
        "customer_id",
        "customer",
        "client_id",
        "user_id",
        "account_id",
        "cliente",
        "id_cliente",
    ),
    "time": (
        "ts",
        "timestamp",
        "datetime",
        "date",
        "order_date",
        "invoice_date",
        "occurred_at",
        "created_at",
        "time",
        "fecha",
    ),
    "amount": (
        "amount",
        "revenue",
        "total",
        "sales",
        "sales_value",
        "spend",
        "value",
        "net_amount",
        "price_total",
        "importe",
    ),
    "order": ("order_id", "invoice", "invoice_no", "basket_id", "transaction_id", "receipt"),
    "sku": ("sku", "stock_code", "product_id", "item"),
    "quantity": ("quantity", "qty", "units", "items"),
    "unit_price": ("unit_price", "price"),
    "cancelled": ("cancelled", "is_cancelled"),
    "currency": ("currency",),
    "country": ("country",),
    "known_at": ("known_at",),
}
"""Accepted column names by field; the name that stands first wins."""


class HeaderFault(InvalidArgument):
    """The header cannot be used; ``reason`` is HEADER_MISSING or HEADER_AMBIGUOUS."""

    reason = "HEADER_MISSING"


@dataclass(frozen=True)
class ColumnMap:
    """What each column of a file is used for.

    Attributes:
        used: Position of the column in the file, by field.
        header: Column names as the file has them.
    """

    used: dict[str, int]
    header: tuple[str, ...]

    @property
    def columns_used(self) -> dict[str, str]:
        """Column name by field."""
        return {field: self.header[position] for field, position in self.used.items()}

    @property
    def columns_unused(self) -> list[str]:
        """Columns of the file that no field uses, in file order."""
        taken = set(self.used.values())
        return [name for position, name in enumerate(self.header) if position not in taken and name.strip()]


def normalise(name: str) -> str:
    """A column name without case, blanks, ``_`` and ``-``."""
    return re.sub(r"[\s_\-]+", "", name).casefold()


def check_fields(explicit: Mapping[str, str]) -> None:
    """Raise InvalidArgument for the first key that is no field."""
    for field in explicit:
        if field not in ACCEPTED:
            where, known = f"options.columns[{field[:40]}]", ", ".join(ACCEPTED)
            raise InvalidArgument(
                f"{where}: no such field; one of {known}",
                violations=(Violation(where, f"no such field; one of {known}"),),
            )


def recognise(header: Sequence[str], explicit: Mapping[str, str]) -> ColumnMap:
    """Find the fields in a header.

    Args:
        header: Column names of the file.
        explicit: Column name by field, as the caller states; wins over recognition.

    Raises:
        HeaderFault: Two columns of one name (HEADER_AMBIGUOUS); a required field without a column, or an
            explicit column that the file does not have (HEADER_MISSING).
        InvalidArgument: ``explicit`` names a field that does not exist, or one column for two fields.
    """
    names = [normalise(name) for name in header]
    _check_unique(header, names)
    used = _explicit(header, names, explicit)
    taken = set(used.values())
    for field, accepted in ACCEPTED.items():
        if field in used:
            continue
        found = next((names.index(normalise(n)) for n in accepted if normalise(n) in names), None)
        if found is not None and found not in taken:
            used[field] = found
    _check_required(header, used)
    if "amount" in used:
        used.pop("unit_price", None)
    return ColumnMap(used, tuple(header))


def _check_unique(header: Sequence[str], names: Sequence[str]) -> None:
    for name, count in Counter(name for name in names if name).items():
        if count > 1:
            same = [shown for shown, own in zip(header, names, strict=True) if own == name]
            raise HeaderFault(
                f"the columns {', '.join(map(repr, same))} have the same name; rename all but one",
                reason="HEADER_AMBIGUOUS",
                metadata={"column": same[0][:80]},
            )


def _explicit(header: Sequence[str], names: Sequence[str], explicit: Mapping[str, str]) -> dict[str, int]:
    check_fields(explicit)
    used: dict[str, int] = {}
    for field, column in explicit.items():
        where = f"options.columns[{field[:40]}]"
        if column in header:
            position = list(header).index(column)
        elif column and normalise(column) in names:
            position = list(names).index(normalise(column))
        else:
            raise HeaderFault(
                f"{where}: the file has no column {column[:80]!r}; it has {_shown(header)}",
                metadata={"field": field, "column": column[:80]},
                violations=(Violation(where, "the file has no such column"),),
            )
        if position in used.values():
            raise InvalidArgument(
                f"{where}: the column {column[:80]!r} is used for two fields",
                violations=(Violation(where, "the column is used for two fields"),),
            )
        used[field] = position
    return used


def _check_required(header: Sequence[str], used: Mapping[str, int]) -> None:
    for field in ("customer", "time", "amount"):
        if field in used or (field == "amount" and "unit_price" in used):
            continue
        expected = ", ".join(ACCEPTED[field][:4])
        raise HeaderFault(
            f"no column for {field}: expected one of {expected}, ...; the file has {_shown(header)}; "
            f"name the column with the option columns[{field}]",
            metadata={"field": field},
        )


def _shown(header: Sequence[str]) -> str:
    shown = ", ".join(name[:40] for name in header[:12])
    return shown + (", ..." if len(header) > 12 else "") if shown else "no columns"
