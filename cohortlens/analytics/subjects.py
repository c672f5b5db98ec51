"""From customers or vectors of a request to checked feature rows; shared by predict, segment and explain."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cohortlens.analytics.models import Rows, Subjects, SubjectsInvalid, VectorInvalid, Vectors
from cohortlens.analytics.ports import Features
from cohortlens.contracts.features import SCHEMA, ContractFault
from cohortlens.core.context import RequestContext
from cohortlens.core.errors import InvalidArgument, Violation
from cohortlens.core.ids import CustomerId, TenantId
from cohortlens.customers.models import DataState, FeatureRows, TrainingSnapshot
from cohortlens.customers.usability import Activity

HORIZON = SCHEMA.index("horizon")


class CustomerData(Protocol):
    """What the analytics slice reads of customers; ``CustomersService`` has it."""

    async def features_by_name(
        self, ctx: RequestContext, names: list[str], activity: Activity, *, wide: bool = False
    ) -> FeatureRows:
        """Features of customers named by id or ``external:`` id, in the order given; wide with sequences.

        Customers who may not be used for the activity are left out and counted.

        Raises:
            NotFound: An unknown customer, naming the field.
            ConsentRequired: None of them may be used.
        """

    async def features_after(
        self, tenant_id: TenantId, after: CustomerId | None, limit: int, activity: Activity
    ) -> FeatureRows | None:
        """Features of the usable customers behind ``after``, by identifier; None when there are no more."""

    async def count_customers(self, tenant_id: TenantId, activity: Activity) -> tuple[int, int]:
        """Customers that have features: those who may be used, and those left out."""

    async def data_state(self, tenant_id: TenantId) -> DataState:
        """How much data there is, and of which day."""

    async def training_snapshot(self, tenant_id: TenantId) -> TrainingSnapshot:
        """Purchase-days of the customers whom models may be trained on, without identifiers."""


async def rows_of(
    ctx: RequestContext, subjects: Subjects, source: CustomerData, activity: Activity, *, wide: bool = False
) -> Rows:
    """The feature rows of a request, the horizon column still 0.

    Args:
        ctx: The request.
        subjects: Customers or vectors.
        source: Reads features of customers.
        activity: What the customers are used for.
        wide: Whether those of customers come with their weekly sequence; vectors have none.

    Raises:
        SubjectsInvalid: Neither or both of customers and vectors.
        VectorInvalid: A vector that does not keep to the schema.
        InvalidArgument: ``FEATURE_SCHEMA_MISMATCH``: the vectors were built for another schema.
        NotFound: An unknown customer.
        ConsentRequired: None of the customers may be used.
    """
    has_vectors = len(subjects.vectors) > 0
    if bool(subjects.customers) == has_vectors:
        raise SubjectsInvalid
    if has_vectors:
        if subjects.schema_hash and subjects.schema_hash != SCHEMA.hash:
            raise InvalidArgument(
                "schema_hash is not that of the present feature schema; read it from GetFeatureSchema",
                reason="FEATURE_SCHEMA_MISMATCH",
                metadata={"schema_hash": SCHEMA.hash},
                violations=(Violation("schema_hash", f"must be {SCHEMA.hash}"),),
            )
        return Rows((), (), _matrix(subjects.vectors), None)
    found = await source.features_by_name(ctx, list(subjects.customers), activity, wide=wide)
    return Rows(
        found.customer_ids,
        found.external_ids,
        np.array(found.matrix, np.float32),
        found.as_of,
        found.currency,
        found.excluded_no_consent,
    )


def _matrix(vectors: Vectors) -> Features:
    width = len(SCHEMA.columns)
    lengths = [vectors.shape[1]] if isinstance(vectors, np.ndarray) else list(map(len, vectors))
    for row, length in enumerate(lengths):
        if length != width:
            why = f"has {length} values, {SCHEMA.name} v{SCHEMA.version} has {width} columns"
            raise VectorInvalid(row, None, "", "FEATURE_SCHEMA_MISMATCH", why)
    wide = np.asarray(vectors, np.float64)
    with np.errstate(over="ignore"):
        matrix = wide.astype(np.float32)
    try:
        SCHEMA.check(matrix)
    except ContractFault as fault:
        if not fault.column:
            raise
        raise _vector_fault(fault, wide) from None
    return matrix


def _vector_fault(fault: ContractFault, wide: NDArray[np.float64]) -> VectorInvalid:
    position = SCHEMA.index(fault.column)
    column, value = SCHEMA.columns[position], float(wide[fault.row, position])
    # A finite double beyond single precision became infinite on the way: it is out of range.
    is_finite = fault.reason != "VALUE_NOT_FINITE" or math.isfinite(value)
    why = (
        f"{value:g} lies outside {column.minimum:g} to {column.maximum:g} ({column.unit})"
        if is_finite
        else f"{value} is not finite"
    )
    reason = "FEATURE_OUT_OF_RANGE" if is_finite else "VALUE_NOT_FINITE"
    return VectorInvalid(fault.row, position, fault.column, reason, why)
