"""Vectors of cohorts: ``data`` names a file of transactions, ``calendar`` and ``rolling30`` its cohorts by month.

Every array of a cohort is a case: it ends where cells become null, so ours must be null from there on, and for
no earlier cell. The file is read as an import reads it, and counted as the service counts.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from cohortlens.analytics.cohorts.matrix import Align, Matrix, count, timed_members
from cohortlens.analytics.cohorts.orders import Orders, counted, sorted_orders
from cohortlens.analytics.cohorts.periods import Period, local_days, name_of, zone_of
from cohortlens.contracts.currency import minor_digits
from cohortlens.customers.importer import Reading, accepted_batches, read_file
from cohortlens.customers.models import ImportOptions
from tests.vectors.cases import Case, Format, Vector, differing

ALIGNS = {"calendar": Align.CALENDAR, "rolling30": Align.ROLLING}
_ARRAYS = ("on", "on_or_after", "revenue", "ltv_per_customer")
_STEMS = ("", "_orders", "_lines")
_ENDINGS = (".csv", ".csv.gz", ".parquet")
_TOLERANCES = {"revenue": {"absolute": 0.005}, "ltv_per_customer": {"relative": 1e-6}}


def recognises(content: Mapping[str, Any]) -> bool:
    """Whether a vector is about cohorts."""
    return "data" in content and any(align in content for align in ALIGNS)


def cases(vector: Vector) -> Iterator[Case]:
    """Compare every array of every cohort, and who is missing or extra."""
    name = str(vector.content["data"])
    path = _found(name, vector.folders)
    if path is None:
        yield Case(
            "data", (f"DATA_NOT_FOUND: no file of transactions is called {name}; give DATA its folder",)
        )
        return
    orders, unit, last_day = _read(path)
    for key, align in ALIGNS.items():
        if key in vector.content:
            yield from _compared(key, vector.content[key], _counted(orders, align, last_day), unit)


def _found(name: str, folders: Sequence[Path]) -> Path | None:
    for stem in _STEMS:
        for folder in folders:
            for ending in _ENDINGS:
                if (path := folder / f"{name}{stem}{ending}").is_file():
                    return path
    return None


def _read(path: Path) -> tuple[Orders, int, int]:
    """Orders of a file in UTC, minor units of one unit of its money, and its last day."""
    with tempfile.TemporaryDirectory() as folder:
        reading, accepted = Reading(), Path(folder) / "accepted.parquet"
        read_file(path, accepted, ImportOptions(), "", datetime.now(UTC), reading)
        rows = pa.Table.from_batches(list(accepted_batches(accepted, reading)))
    at = rows["occurred_at"].cast(pa.int64()).to_numpy()
    customer = rows["external_id"].combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
    amount = rows["amount_minor"].to_numpy()
    refs = rows["order_ref"].combine_chunks().dictionary_encode().indices
    # Without a reference every row is an order of its own.
    order = np.where(refs.is_null(), len(at) + np.arange(len(at)), refs.fill_null(0))
    _, first, group = np.unique(
        np.stack([customer, order], axis=1), axis=0, return_index=True, return_inverse=True
    )
    earliest = np.full(len(first), np.iinfo(np.int64).max)
    np.minimum.at(earliest, group.ravel(), at)
    total = np.zeros(len(first), np.int64)
    np.add.at(total, group.ravel(), amount)
    zone = zone_of("")
    customers = int(customer.max()) + 1
    orders = sorted_orders(customer[first], local_days(earliest, zone), total, customers)
    last_day = int(local_days(np.array([at.max()]), zone)[0])
    return counted(orders, net=False), 10 ** minor_digits(reading.currency), last_day


def _counted(orders: Orders, align: Align, last_day: int) -> dict[str, tuple[Matrix, int]]:
    members, months = timed_members(orders, Period.MONTH)
    matrix = count(orders, members, Period.MONTH, align, 0, last_day)
    return {name_of(int(month), Period.MONTH): (matrix, row) for row, month in enumerate(months)}


def _compared(
    key: str, expected: Sequence[Mapping[str, Any]], found: Mapping[str, tuple[Matrix, int]], unit: int
) -> Iterator[Case]:
    wanted = {str(one["cohort"]): one for one in expected}
    if len(wanted) < len(expected):
        yield Case(f"{key}/cohorts", ("expected each cohort once, found one twice",))
    for name in sorted(wanted.keys() | found.keys()):
        case = f"{key}/{name}"
        if name not in found or name not in wanted:
            have = ("a cohort", "none") if name in wanted else ("no such cohort", "one")
            yield Case(case, (f"expected {have[0]}, found {have[1]}",))
            continue
        matrix, row = found[name]
        ours = arrays(matrix, row, unit)
        yield Case(f"{case}/size", differing(wanted[name]["size"], int(matrix.size[row])))
        for field in _ARRAYS:
            yield Case(
                f"{case}/{field}", _array(wanted[name][field], ours[field], _TOLERANCES.get(field, {}))
            )


def arrays(matrix: Matrix, row: int, unit: int) -> dict[str, list[float]]:
    """The observed cells of one cohort by the names of the vectors; money in major units."""
    seen = int(np.count_nonzero(matrix.observed[row]))
    revenue = matrix.revenue[row, :seen] / unit
    return {
        "on": matrix.active[row, :seen].tolist(),
        "on_or_after": matrix.returning[row, :seen].tolist(),
        "revenue": revenue.tolist(),
        "ltv_per_customer": (np.cumsum(revenue) / matrix.size[row]).tolist(),
    }


def _array(
    expected: Sequence[float], found: Sequence[float], tolerance: Mapping[str, float]
) -> tuple[str, ...]:
    faults = [
        f"period {k}: {fault}"
        for k, (one, ours) in enumerate(zip(expected, found, strict=False))
        for fault in differing(one, ours, **tolerance)
    ]
    if len(expected) != len(found):
        faults.append(f"expected {len(expected)} observed periods, found {len(found)}")
    return tuple(faults)


COHORT = Format("cohort", recognises, cases)
