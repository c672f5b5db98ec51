"""Results of a call as columns: an object per row is made only for who asks for that row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from typing import TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from cohortlens.analytics.methods import Method
from cohortlens.analytics.models import Assignment, Attribution, Explanation, Prediction, Rows, Task
from cohortlens.analytics.options import Basis, Loss
from cohortlens.analytics.ports import Values
from cohortlens.contracts.features import SCHEMA, SNAPSHOT_BYTES, snapshot_digests
from cohortlens.contracts.manifest import SegmentProfile
from cohortlens.core.ids import CustomerId, PredictionId

RowT_co = TypeVar("RowT_co", covariant=True)


@dataclass(frozen=True, eq=False)
class Columns(Sequence[RowT_co]):
    """One result per row of ``rows``, in that order.

    Attributes:
        rows: Customers or vectors, and the features that were used, the horizon set.
        schema_hash: Schema of the features, hex.
        model_version: Version that made the results.
    """

    rows: Rows
    schema_hash: str
    model_version: int

    def __len__(self) -> int:
        return len(self.rows.matrix)

    @overload
    def __getitem__(self, at: int) -> RowT_co: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[RowT_co]: ...
    def __getitem__(self, at: int | slice) -> RowT_co | Sequence[RowT_co]:
        """A row as an object, or several."""
        if isinstance(at, slice):
            return [self.row(index) for index in range(*at.indices(len(self)))]
        return self.row(range(len(self))[at])

    def row(self, at: int) -> RowT_co:
        """The result of one row, 0 <= at < n."""
        raise NotImplementedError

    @cached_property
    def snapshots(self) -> str:
        """Names of the feature vectors, 32 hex digits each, joined."""
        return snapshot_digests(self.schema_hash, self.rows.matrix).hex()

    def snapshot(self, at: int) -> str:
        """Name of one row's feature vector."""
        width = 2 * SNAPSHOT_BYTES
        return self.snapshots[at * width : (at + 1) * width]

    def customer_id(self, at: int) -> CustomerId | None:
        """Customer of a row; None for a vector."""
        return self.rows.customer_ids[at] if self.rows.customer_ids else None

    def external_id(self, at: int) -> str:
        """The customer's identifier in the tenant's data; empty for a vector."""
        return self.rows.external_ids[at] if self.rows.external_ids else ""


@dataclass(frozen=True, eq=False)
class Predictions(Columns[Prediction]):
    """Predicted values.

    Attributes:
        prediction_ids: Of the stored rows; empty for vectors.
        task: What is predicted.
        horizon_days: Days looked ahead.
        value: Expected values, shape (n,), float64, finite, in ``unit``.
        lower: Lower ends of the intervals, shape (n,), float64.
        upper: Upper ends, shape (n,), float64.
        level_ratio: Share of outcomes the interval covers.
        unit: ``purchase_days`` or an ISO 4217 code.
        created_at: When they were made: the time in the identifiers.
        request_id: Request that made them.
        basis: What the values rest on.
        loss: What errors cost.
        annual_discount_ratio: Discount a year; None unless they are lifetime values.
    """

    prediction_ids: tuple[PredictionId, ...]
    task: Task
    horizon_days: int
    value: Values
    lower: Values
    upper: Values
    level_ratio: float
    unit: str
    created_at: datetime
    request_id: str = ""
    basis: Basis = Basis.BOOSTING
    loss: Loss = Loss.RMSE
    annual_discount_ratio: float | None = None

    @property
    def as_of(self) -> date | None:
        """Last day of data the features know; None for vectors."""
        return self.rows.as_of

    def row(self, at: int) -> Prediction:
        """One prediction."""
        return Prediction(
            self.prediction_ids[at] if self.prediction_ids else None,
            self.customer_id(at),
            self.external_id(at),
            self.task,
            self.horizon_days,
            float(self.value[at]),
            float(self.lower[at]),
            float(self.upper[at]),
            self.level_ratio,
            self.unit,
            self.model_version,
            self.snapshot(at),
            self.as_of,
            self.created_at,
            self.basis,
            self.loss,
            self.annual_discount_ratio,
        )


@dataclass(frozen=True, eq=False)
class Assignments(Columns[Assignment]):
    """Segments of rows.

    Attributes:
        segments: The segments of the version.
        places: Index into ``segments`` of each row, shape (n,), int64.
        distance: Distance to the segment's centre, shape (n,), float64, standardised units.
    """

    segments: tuple[SegmentProfile, ...]
    places: NDArray[np.int64]
    distance: Values

    def row(self, at: int) -> Assignment:
        """One assignment."""
        segment = self.segments[int(self.places[at])]
        return Assignment(
            self.customer_id(at),
            self.external_id(at),
            segment.key,
            segment.name,
            float(self.distance[at]),
            self.model_version,
            self.snapshot(at),
        )


@dataclass(frozen=True, eq=False)
class Explanations(Columns[Explanation]):
    """Shares of features in predictions; everything but ``value`` in log space.

    Attributes:
        value: Predicted values, shape (n,), float64, > 0, in ``unit``.
        unit: Their unit.
        units: Unit of each feature, one per column of the schema.
        horizon_days: Days looked ahead.
        base_value: Expected log values, shape (n,), float64.
        contributions: Shape (n, columns), float64.
        order: Columns shown, strongest first, equal ones in schema order; shape (n, shown).
        other: Sums of the contributions left out, shape (n,), float64.
        residual: What the explained model gives - base - all contributions, shape (n,), float64.
        surrogate: log(value) - what the explained model gives, shape (n,), float64.
        fidelity: Share of the variance of log(value) that the explained model reproduces, shape (n,).
        method: How they are explained.
        seeds: Seed of each row's samples; empty for methods without any.
        imputed: Columns of each row that were filled in; empty when none was.
    """

    value: Values
    unit: str
    units: tuple[str, ...]
    horizon_days: int
    base_value: Values
    contributions: Values
    order: NDArray[np.intp]
    other: Values
    residual: Values
    surrogate: Values
    fidelity: Values
    method: Method = Method.SHAP
    seeds: tuple[int, ...] = ()
    imputed: tuple[tuple[int, ...], ...] = ()

    def row(self, at: int) -> Explanation:
        """One explanation."""
        return Explanation(
            customer_id=self.customer_id(at),
            external_id=self.external_id(at),
            value=float(self.value[at]),
            unit=self.unit,
            horizon_days=self.horizon_days,
            base_value=float(self.base_value[at]),
            attributions=tuple(self._attribution(at, column) for column in self.order[at].tolist()),
            other_contribution=float(self.other[at]),
            additivity_residual=float(self.residual[at]),
            model_version=self.model_version,
            snapshot_id=self.snapshot(at),
            surrogate_residual=float(self.surrogate[at]),
            fidelity_r2=float(self.fidelity[at]),
        )

    def _attribution(self, at: int, column: int) -> Attribution:
        value = float(self.rows.matrix[at, column])
        return Attribution(
            SCHEMA.names[column],
            None if math.isnan(value) else value,
            self.units[column],
            float(self.contributions[at, column]),
        )
