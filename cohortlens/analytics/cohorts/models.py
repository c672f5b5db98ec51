"""Questions about cohorts and their answers; nothing here touches a database."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from cohortlens.analytics.cohorts.matrix import Align
from cohortlens.analytics.cohorts.periods import Period
from cohortlens.core.errors import FailedPrecondition, InvalidArgument, Violation

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

GROUPS_MAX = 100
"""Groups (countries, items, ...) of a reply; the smaller ones make up the group ``OTHERS``."""
OTHERS = "*"
CELLS_MAX = 50_000
"""Cohorts times periods of a reply."""
ORDERS_MAX = 20_000_000
"""Orders that one question may read: 320 MB of histories."""


class TooManyOrders(FailedPrecondition):
    """A question would read more orders than one process may hold."""

    reason = "COHORTS_TOO_LARGE"

    def __init__(self, orders: int) -> None:
        super().__init__(
            f"the question reads {orders} orders, at most {ORDERS_MAX} are possible; "
            "narrow it by filter.countries, filter.segments or filter.attribute"
        )


class CohortBy(StrEnum):
    """What puts customers into one cohort; ALL makes one of everybody."""

    ALL = "ALL"
    MONTH = "MONTH"
    WEEK = "WEEK"
    DAY = "DAY"
    COUNTRY = "COUNTRY"
    SEGMENT = "SEGMENT"
    FIRST_SKU = "FIRST_SKU"
    ATTRIBUTE = "ATTRIBUTE"

    @property
    def period(self) -> Period | None:
        """The period of the first order that tells the cohorts; None for groups."""
        return Period(self.value) if self.value in Period.__members__ else None


class Criterion(StrEnum):
    """When a customer counts in a period."""

    ON = "ON"
    ON_OR_AFTER = "ON_OR_AFTER"
    AT_LEAST_N = "AT_LEAST_N"


class Measure(StrEnum):
    """What a cell tells."""

    CUSTOMERS = "CUSTOMERS"
    ORDERS = "ORDERS"
    REVENUE = "REVENUE"
    LTV_PER_CUSTOMER = "LTV_PER_CUSTOMER"
    MARGIN = "MARGIN"


class ApplyTo(StrEnum):
    """Which orders the conditions on orders are about: those counted, or the one a cohort begins with."""

    RETURNS = "RETURNS"
    DEFINITION = "DEFINITION"


@dataclass(frozen=True)
class Filter:
    """Whose orders, and which.

    Attributes:
        countries: Customers of one of them; all when empty.
        segments: Customers in one of these segments of the published run, by key; all when empty.
        attribute: Name of an attribute of customers; empty for none.
        attribute_values: Customers whose attribute has one of these values.
        skus: Only lines of these items make up an order; all when empty.
        min_amount: Orders of at least this amount, major units.
        max_amount: Orders of at most this amount, major units.
        apply_to: Which orders the three conditions above are about.
        first_from: First order on this day or later, days since 1970-01-01.
        first_to: First order on this day or earlier.
        net: Take same-day reversals out.
    """

    countries: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    attribute: str = ""
    attribute_values: tuple[str, ...] = ()
    skus: tuple[str, ...] = ()
    min_amount: float | None = None
    max_amount: float | None = None
    apply_to: ApplyTo = ApplyTo.RETURNS
    first_from: int | None = None
    first_to: int | None = None
    net: bool = False

    @property
    def has_conditions(self) -> bool:
        """Whether some orders are told from others."""
        return bool(self.skus) or self.min_amount is not None or self.max_amount is not None


@dataclass(frozen=True)
class Population:
    """Whose orders a question is about, and how they fall into cohorts.

    Attributes:
        by: What puts customers into one cohort.
        attribute: Name of the attribute, for ATTRIBUTE.
        time_zone: IANA name; UTC when empty.
        filter: Whose orders, and which.
    """

    by: CohortBy
    attribute: str = ""
    time_zone: str = ""
    filter: Filter = field(default_factory=Filter)


@dataclass(frozen=True)
class CohortQuery:
    """A question about cohorts.

    Attributes:
        population: Whose orders.
        period: Length of a period; None for that of the cohorts, a month for groups.
        align: From where periods are counted.
        criterion: When a customer counts.
        at_least: Orders for AT_LEAST_N.
        measure: What a cell tells.
        margin_ratio: Share of revenue that is margin, for MARGIN.
        periods: Periods; 0 for as many as were seen.
    """

    population: Population
    period: Period | None = None
    align: Align = Align.CALENDAR
    criterion: Criterion = Criterion.ON
    at_least: int = 0
    measure: Measure = Measure.CUSTOMERS
    margin_ratio: float | None = None
    periods: int = 0

    @property
    def unit(self) -> Period:
        """Length of a period."""
        return self.period or self.population.by.period or Period.MONTH


@dataclass(frozen=True)
class DataState:
    """What a reply tells about the data behind it.

    Attributes:
        currency: ISO 4217 code; empty before the first import.
        as_of: Last day of data in the time zone, YYYY-MM-DD; empty likewise.
        revision: Number of the data's last change; 0 likewise.
        excluded_no_consent: Customers asked about who were left out because they may not be used.
    """

    currency: str = ""
    as_of: str = ""
    revision: int = 0
    excluded_no_consent: int = 0


@dataclass(frozen=True)
class CohortTable:
    """One measure of all cohorts; arrays of shape (cohorts, periods) but for ``sizes``.

    Attributes:
        keys: Key of each cohort.
        names: Name of each cohort.
        sizes: Customers of each cohort, shape (cohorts,).
        values: The measure; NaN where a period is not wholly observed.
        per_customer: The same by observed customer.
        observed: Customers a cell is about.
        total: ``values``, ``per_customer`` and ``observed`` of all cohorts together, shape (3, periods).
        data: The data behind it.
    """

    keys: tuple[str, ...]
    names: tuple[str, ...]
    sizes: IntArray
    values: FloatArray
    per_customer: FloatArray
    observed: IntArray
    total: FloatArray
    data: DataState


def refuse(path: str, why: str) -> NoReturn:
    """Raise FIELD_INVALID about one field of a request."""
    raise InvalidArgument(f"{path}: {why}", violations=(Violation(path, why),))


def check_population(population: Population) -> None:
    """Refuse a population whose parts contradict.

    Raises:
        InvalidArgument: FIELD_INVALID; names the field.
    """
    chosen = population.filter
    if (population.by is CohortBy.ATTRIBUTE) != bool(population.attribute):
        refuse("attribute", "names the attribute of COHORT_BY_ATTRIBUTE; give both or neither")
    if bool(chosen.attribute) != bool(chosen.attribute_values):
        refuse("filter.attribute_values", "lists values of filter.attribute; give both or neither")
    if (
        chosen.min_amount is not None
        and chosen.max_amount is not None
        and chosen.min_amount > chosen.max_amount
    ):
        refuse("filter.max_amount", "must not be below filter.min_amount")
    if chosen.apply_to is ApplyTo.DEFINITION and not chosen.has_conditions:
        refuse("filter.apply_to", "needs filter.skus, filter.min_amount or filter.max_amount")
    if chosen.first_from is not None and chosen.first_to is not None and chosen.first_from > chosen.first_to:
        refuse("filter.first_to", "must not be before filter.first_from")
    texts = {
        "attribute": (population.attribute,),
        "filter.attribute": (chosen.attribute,),
        "filter.countries": chosen.countries,
        "filter.segments": chosen.segments,
        "filter.attribute_values": chosen.attribute_values,
        "filter.skus": chosen.skus,
    }
    for path, values in texts.items():
        if any("\0" in value or len(value) > 1000 for value in values):
            refuse(path, "holds a text of over 1,000 characters or with a NUL character")


def check_query(query: CohortQuery) -> None:
    """Refuse a question that cannot be answered as asked.

    Raises:
        InvalidArgument: FIELD_INVALID; names the field.
    """
    check_population(query.population)
    if query.measure is not Measure.CUSTOMERS and query.criterion is not Criterion.ON:
        refuse("criterion", "is for COHORT_MEASURE_CUSTOMERS only")
    if (query.criterion is Criterion.AT_LEAST_N) != (query.at_least > 0):
        refuse("at_least", "is the number of orders of COHORT_CRITERION_AT_LEAST_N; give both or neither")
    if (query.measure is Measure.MARGIN) != (query.margin_ratio is not None):
        refuse("margin_ratio", "is the share of COHORT_MEASURE_MARGIN; give both or neither")
