"""From a snapshot of purchase-days to training rows: features at a cut, and what was bought after it.

Every row looks backwards from its cut for features and at most to the end of the data for its targets, so a
model trained for one day never sees a later one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cohortlens.contracts.features import SCHEMA
from cohortlens.contracts.featurize import featurize
from cohortlens.contracts.purchase_days import PurchaseDays, PurchaseDaysInvalid
from cohortlens.contracts.sequences import weekly_sequences
from workers.training.faults import TrainingFault

HORIZONS_DAYS = (30, 60, 90, 180)
"""Horizons a prediction is trained for, as far as the history reaches."""

MIN_CUSTOMERS = 30
"""Customers that segments need, and a period that is judged."""

FIRST_CUT_DAYS = 60
"""History that the earliest cut must have behind it."""

_HISTORY_SHARE = 0.45
_CUTS = 6
_STEP_DAYS = 30
_MAX_ROWS = 200_000
"""Training rows at most; more customers than that are sampled, since time grows and accuracy does not."""

_NONE = np.zeros(0, np.intp)


@dataclass(frozen=True)
class Snapshot:
    """Purchase-days known at the end of a day.

    Attributes:
        days: Purchase-days up to ``as_of``, rows of returns included.
        customers: Number of customer numbers.
        first_day: Day of the first purchase.
        as_of: Last day of the data.
    """

    days: PurchaseDays
    customers: int
    first_day: int
    as_of: int

    @property
    def buyers(self) -> int:
        """Customers who have bought."""
        return len(np.unique(self.days.customer[self.days.orders > 0]))

    def check_buyers(self, needed: int) -> None:
        """Raise TrainingFault ``TOO_FEW_CUSTOMERS`` when fewer customers than ``needed`` have bought."""
        found = self.buyers
        if found < needed:
            have = "1 customer has" if found == 1 else f"{found} customers have"
            raise TrainingFault(
                "TOO_FEW_CUSTOMERS",
                f"{have} bought; at least {needed} are needed. Import more transactions.",
            )

    @property
    def history_days(self) -> int:
        """Days from the first purchase to the last day of the data."""
        return self.as_of - self.first_day


@dataclass(frozen=True)
class Rows:
    """Training rows, one per customer, cut and horizon.

    Attributes:
        features: Features at the cut with the horizon, shape (n, columns), float32.
        targets: ``purchases`` (purchase-days), ``spend`` (major units) and ``churn`` (1: no purchase) within
            the horizon, shape (n,); empty where they are not known.
        customer: Number of the customer, shape (n,), int32.
        cut: Day of the cut, shape (n,), int32.
        sequence: Weekly sequences at the cut, shape (n, 40, 4), float32; None when no member wants them.
    """

    features: NDArray[np.float32]
    targets: dict[str, NDArray[np.float64]]
    customer: NDArray[np.int32]
    cut: NDArray[np.int32]
    sequence: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.features)

    def select(self, keep: NDArray[np.bool_] | NDArray[np.intp]) -> Rows:
        """The rows where ``keep`` (a mask of shape (n,), or positions) says so."""
        return Rows(
            self.features[keep],
            {name: values[keep] for name, values in self.targets.items()},
            self.customer[keep],
            self.cut[keep],
            None if self.sequence is None else self.sequence[keep],
        )

    def column(self, name: str) -> NDArray[np.float64]:
        """A column of the features, shape (n,)."""
        return self.features[:, SCHEMA.index(name)].astype(np.float64)

    def at_horizon(self, days: float) -> Rows:
        """The same rows asked for another horizon; their targets are not known."""
        features = self.features.copy()
        features[:, SCHEMA.index("horizon")] = days
        return Rows(features, {}, self.customer, self.cut, self.sequence)


def read_snapshot(path: Path, as_of_day: int) -> Snapshot:
    """Read a training snapshot.

    Args:
        path: Parquet of purchase-days.
        as_of_day: Last day of the data, days since 1970-01-01; later rows are ignored.

    Raises:
        TrainingFault: ``SNAPSHOT_UNREADABLE``, or ``TOO_FEW_CUSTOMERS`` when nobody bought by that day.
    """
    try:
        table = pq.ParquetFile(path).read()
        columns = {name: table.column(name).to_numpy() for name in table.column_names}
        days = PurchaseDays.from_columns(columns).until(as_of_day)
    except (pa.ArrowException, PurchaseDaysInvalid, OSError, ValueError, TypeError) as error:
        raise TrainingFault(
            "SNAPSHOT_UNREADABLE", "The training snapshot cannot be read; start the training again."
        ) from error
    bought = days.select(days.orders > 0)
    if not len(bought):
        raise TrainingFault("TOO_FEW_CUSTOMERS", "No customer has bought yet. Import transactions.")
    return Snapshot(days, int(days.customer.max()) + 1, int(bought.day.min()), as_of_day)


def horizons_of(history_days: int) -> tuple[int, ...]:
    """Horizons that a history can teach and judge.

    Args:
        history_days: Days of history.

    Returns:
        Those of ``HORIZONS_DAYS`` within .45 of the history that leave, before a hold-out window and a
        training window of that length, ``FIRST_CUT_DAYS`` of history.

    Raises:
        TrainingFault: ``HISTORY_TOO_SHORT``: none is left.
    """
    found = tuple(
        h
        for h in HORIZONS_DAYS
        if h <= _HISTORY_SHARE * history_days and history_days - 2 * h >= FIRST_CUT_DAYS
    )
    if not found:
        needed = FIRST_CUT_DAYS + 2 * HORIZONS_DAYS[0]
        raise TrainingFault(
            "HISTORY_TOO_SHORT",
            f"The data covers {history_days} days; at least {needed} days are needed to learn and judge a "
            f"horizon of {HORIZONS_DAYS[0]} days. Import older transactions.",
        )
    return found


def served_horizons(history_days: int) -> tuple[int, ...]:
    """Horizons that a version is made for: those of ``horizons_of``, and the shortest where none is left.

    Args:
        history_days: Days of history.
    """
    try:
        return horizons_of(history_days)
    except TrainingFault:
        return HORIZONS_DAYS[:1]


def cuts_of(snapshot: Snapshot, end_day: int, horizon_days: int) -> list[int]:
    """Cuts whose horizon ends by ``end_day``, latest first, 30 days apart, at most six."""
    latest = end_day - horizon_days
    cuts = [latest - _STEP_DAYS * j for j in range(_CUTS)]
    return [cut for cut in cuts if cut - snapshot.first_day >= FIRST_CUT_DAYS]


def rows_at(
    days: PurchaseDays,
    customers: int,
    cut: int,
    horizons_days: tuple[int, ...],
    *,
    sequences: bool = False,
) -> list[Rows]:
    """Rows of the customers who had bought by a cut, one set per horizon.

    Args:
        days: Purchase-days known at the time of training.
        customers: Number of customer numbers.
        cut: Day of the cut.
        horizons_days: Horizons; each must end within the data.
        sequences: Give the rows their weekly sequences.
    """
    features = featurize(days, cut, customers)
    seen = np.flatnonzero(~np.isnan(features[:, SCHEMA.index("age")]))
    weekly = weekly_sequences(days, cut, customers)[seen] if sequences else None
    features = features[seen]
    return [
        replace(_with_targets(days, customers, cut, horizon, features, seen), sequence=weekly)
        for horizon in horizons_days
    ]


def _with_targets(
    days: PurchaseDays,
    customers: int,
    cut: int,
    horizon: int,
    features: NDArray[np.float32],
    seen: NDArray[np.intp],
) -> Rows:
    inside = (days.day > cut) & (days.day <= cut + horizon) & (days.orders > 0)
    who = days.customer[inside]
    purchases = np.bincount(who, minlength=customers)[seen].astype(np.float64)
    spend = np.bincount(who, weights=days.amount[inside], minlength=customers)[seen]
    with_horizon = features.copy()
    with_horizon[:, SCHEMA.index("horizon")] = horizon
    targets = {
        "purchases": purchases,
        "spend": spend.astype(np.float64),
        "churn": (purchases == 0).astype(np.float64),
    }
    return Rows(with_horizon, targets, seen.astype(np.int32), np.full(len(seen), cut, np.int32))


def training_rows(
    snapshot: Snapshot,
    horizons_days: tuple[int, ...],
    end_day: int,
    rng: np.random.Generator,
    *,
    sequences: bool = False,
) -> Rows:
    """Rows of all cuts and horizons whose targets end by ``end_day``.

    Args:
        snapshot: The data.
        horizons_days: Horizons.
        end_day: Nothing after this day is looked at.
        rng: Draws the customers when there are too many.
        sequences: Give the rows their weekly sequences.
    """
    days = snapshot.days.until(end_day)
    plan: dict[int, list[int]] = {}
    for horizon in horizons_days:
        for cut in cuts_of(snapshot, end_day, horizon):
            plan.setdefault(cut, []).append(horizon)
    pairs = sum(len(horizons) for horizons in plan.values())
    share = _MAX_ROWS / max(1, pairs * snapshot.customers)
    drawn = rng.random(snapshot.customers) < share if share < 1 else np.ones(snapshot.customers, np.bool_)
    parts = []
    for cut in sorted(plan):
        features = featurize(days, cut, snapshot.customers)
        seen = np.flatnonzero(drawn & ~np.isnan(features[:, SCHEMA.index("age")]))
        weekly = weekly_sequences(days, cut, snapshot.customers)[seen] if sequences else None
        parts += [
            replace(
                _with_targets(days, snapshot.customers, cut, horizon, features[seen], seen), sequence=weekly
            )
            for horizon in plan[cut]
        ]
    # A history too short for any cut teaches nothing: the rows of its end have no future, so none is kept.
    return concatenate(parts or [rows_at(days, snapshot.customers, end_day, (0,))[0].select(_NONE)])


def concatenate(parts: list[Rows]) -> Rows:
    """All rows of several sets, in order."""
    targets = {name: np.concatenate([part.targets[name] for part in parts]) for name in parts[0].targets}
    sequences = [part.sequence for part in parts if part.sequence is not None]
    return Rows(
        np.concatenate([part.features for part in parts]),
        targets,
        np.concatenate([part.customer for part in parts]),
        np.concatenate([part.cut for part in parts]),
        np.concatenate(sequences) if len(sequences) == len(parts) else None,
    )
