"""The smallest action that would make a statement about a customer true.

An action is 1 to 3 purchase-days on the days that follow the last day of data, one a day: a customer has at
most one purchase-day a day. Features are computed again from the history with them, by the function that
computes all features, so no vector is asked about that no customer could have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import product
from typing import Protocol

import numpy as np

from cohortlens.analytics.models import MethodUnsupported, Rows, Subjects, Task
from cohortlens.analytics.options import ask_for
from cohortlens.analytics.ports import Features, InferenceClient, Values
from cohortlens.analytics.predictions import check_schema, set_horizon, unit_of
from cohortlens.analytics.subjects import CustomerData, rows_of
from cohortlens.contracts.currency import minor_digits
from cohortlens.contracts.features import SCHEMA
from cohortlens.contracts.featurize import featurize
from cohortlens.contracts.purchase_days import PurchaseDays
from cohortlens.core.context import RequestContext
from cohortlens.core.errors import Internal, InvalidArgument, Violation
from cohortlens.core.ids import CustomerId, TenantId
from cohortlens.customers.usability import Activity
from cohortlens.registry.models import PREDICTION, SEGMENTATION, ModelVersion
from cohortlens.registry.service import RegistryService

MOST_DAYS = 3
"""Purchase-days of an action at most."""

_TIMES_MEAN = (0.5, 1.0, 2.0, 4.0)
"""Money of each of its days, in multiples of what the customer spends on a day."""

_CHURN_BELOW = 0.5
_EPOCH = date(1970, 1, 1)
_WIDTH = len(SCHEMA.columns)
_MEAN, _TREND = SCHEMA.index("mean"), SCHEMA.index("trend_30")


@dataclass(frozen=True)
class Goal:
    """The statement that is to become true; one of the three, churn below one half when none is given.

    Attributes:
        churn_below: Probability of churn, above 0 and at most 1; None for a statement about segments.
        segment: Key of the segment to be in; empty for another statement.
        other_segment: Any other segment than now.
    """

    churn_below: float | None = None
    segment: str = ""
    other_segment: bool = False

    @property
    def is_about_segments(self) -> bool:
        """Whether segments are looked at instead of churn."""
        return bool(self.segment) or self.other_segment


@dataclass(frozen=True)
class Action:
    """Purchase-days to come.

    Attributes:
        purchase_days: How many, one a day.
        amount: Money of each, major units.
    """

    purchase_days: int
    amount: float


@dataclass(frozen=True)
class Counterfactual:
    """What was found for one customer.

    Attributes:
        customer_id: The customer.
        external_id: Its identifier in the tenant's data.
        value: What is predicted of it now, in ``unit``.
        unit: Unit of the value.
        holds_already: Whether the statement is true without any action.
        action: The smallest action found; None when none is needed or found.
        churn: Probability of churn now and after the action; empty for a statement about segments.
        segments: Key of the segment now and after the action; empty for a statement about churn.
        tried: Actions that were tried.
        currency: ISO 4217 code of the action's money.
        horizon_days: Days looked ahead.
        model_version: Prediction version.
    """

    customer_id: CustomerId
    external_id: str
    value: float
    unit: str
    holds_already: bool
    action: Action | None
    churn: tuple[float, ...]
    segments: tuple[str, ...]
    tried: int
    currency: str
    horizon_days: int
    model_version: int


class Histories(Protocol):
    """What it must know of customers; ``customers.purchase_history`` has it."""

    async def of(
        self, tenant_id: TenantId, customer_ids: Sequence[CustomerId], currency: str
    ) -> PurchaseDays:
        """Purchase-days of customers, numbered by their place in ``customer_ids``."""


class CounterfactualsService:
    """Use cases of counterfactuals.

    Args:
        customers: Gives features of customers.
        histories: Gives their purchase-days.
        registry: Gives the active versions.
        client: Asks them.
    """

    def __init__(
        self,
        customers: CustomerData,
        histories: Histories,
        registry: RegistryService,
        client: InferenceClient,
    ) -> None:
        self._customers = customers
        self._histories = histories
        self._registry = registry
        self._client = client

    async def find(
        self, ctx: RequestContext, task: Task, subjects: Subjects, horizon_days: int, goal: Goal
    ) -> list[Counterfactual]:
        """The smallest action for each customer, in the order given.

        Args:
            ctx: The request.
            task: What is told as the customer's value.
            subjects: Customers; a vector has no history to act on.
            horizon_days: Days ahead; the longest the model was trained for when 0.
            goal: What is to become true.

        Raises:
            MethodUnsupported: Vectors are given, or a lifetime value is asked for.
            InvalidArgument: The goal is none, or names a segment that there is not.
            As ``PredictionsService.predict`` otherwise.
        """
        if len(subjects.vectors) or not subjects.customers:
            raise MethodUnsupported("a counterfactual acts on a history; name customers, not vectors")
        if task is Task.CLV:
            raise MethodUnsupported("a lifetime value is made from spend; ask for PREDICTION_TASK_SPEND")
        _check(goal)
        version = await self._registry.active(ctx.tenant_id, PREDICTION)
        rows = await rows_of(ctx, subjects, self._customers, Activity.EXPLANATION)
        horizon = set_horizon(rows.matrix, version, horizon_days)
        statement = await self._statement(ctx, version, goal)
        values = await self.scored(ctx, version, task.target, rows.matrix)
        unique = tuple(dict.fromkeys(rows.customer_ids))
        days = await self._histories.of(ctx.tenant_id, unique, rows.currency)
        found = []
        for at, customer in enumerate(rows.customer_ids):
            own = days.select(days.customer == unique.index(customer))
            told = await statement.smallest(rows, at, own)
            found.append(
                Counterfactual(
                    customer,
                    rows.external_ids[at],
                    float(values[at]),
                    unit_of(task, version),
                    *told,
                    rows.currency,
                    horizon,
                    version.version,
                )
            )
        return found

    async def _statement(self, ctx: RequestContext, version: ModelVersion, goal: Goal) -> _Statement:
        if not goal.is_about_segments:
            ask_for(version.manifest, Task.CHURN.target)
            return _ChurnBelow(self, ctx, version, goal.churn_below or _CHURN_BELOW)
        segmentation = await self._registry.active(ctx.tenant_id, SEGMENTATION)
        check_schema(segmentation)
        keys = [segment.key for segment in segmentation.manifest.segments]
        if goal.segment and goal.segment not in keys:
            text = f"there is no segment {goal.segment[:64]!r}; there are {', '.join(keys)}"
            raise InvalidArgument(text, violations=(Violation("goal.segment", text),))
        return _InSegment(self, ctx, segmentation, goal.segment)

    async def scored(
        self, ctx: RequestContext, version: ModelVersion, target: str, matrix: Features
    ) -> Values:
        """Values of rows, or positions of their segments for an empty target; shape (n,)."""
        scores = await self._client.score(
            version.model,
            version.artifact_digest,
            version.manifest.schema_hash,
            target,
            matrix,
            deadline=ctx.deadline,
            tenant=str(ctx.tenant_id),
        )
        found = scores["value" if target else "segment"]
        if not np.isfinite(found).all():
            raise Internal("a worker answered a value that is not finite", reason="WORKER_FAULT")
        return found


def actions(mean: float, currency: str) -> list[Action]:
    """Actions that are tried, the smallest first: fewer days before more, less money before more.

    Args:
        mean: What the customer spends on a purchase-day, major units.
        currency: ISO 4217 code: amounts are whole minor units of it, and at least one.
    """
    digits = minor_digits(currency)
    least = 10.0**-digits
    amounts = sorted({max(round(mean * times, digits), least) for times in _TIMES_MEAN})
    return [Action(days, amount) for days, amount in product(range(1, MOST_DAYS + 1), amounts)]


def acted(history: PurchaseDays, as_of: date, row: Features, action: Action) -> Features:
    """The features of a customer after an action, as of its last day.

    Args:
        history: The customer's purchase-days.
        as_of: Last day of data.
        row: Its features then, shape (columns,): horizon and population column stay.
        action: What happens on the days after ``as_of``.

    Returns:
        Shape (columns,), float32.
    """
    last = (as_of - _EPOCH).days
    new = np.arange(last + 1, last + 1 + action.purchase_days, dtype=np.int32)
    count = len(new)
    columns = {
        "customer": np.zeros(len(history) + count, np.int32),
        "day": np.concatenate([history.day, new]),
        "amount": np.concatenate([history.amount, np.full(count, action.amount)]),
        "orders": np.concatenate([history.orders, np.ones(count, np.int32)]),
        # Nothing is said about what is bought: unknown, as for a shop without such columns.
        "items": np.concatenate([history.items, np.full(count, np.nan)]),
        "skus": np.concatenate([history.skus, np.zeros(count, np.int32)]),
        "lines": np.concatenate([history.lines, np.zeros(count, np.int32)]),
        "returns": np.concatenate([history.returns, np.zeros(count)]),
    }
    made = featurize(PurchaseDays.from_columns(columns), last + count, 1)[0]
    kept = [_TREND, SCHEMA.index("horizon")]
    made[kept] = row[kept]
    return np.asarray(made, np.float32)


class _Statement:
    """Finds the smallest action that makes one statement true.

    Args:
        service: Asks the models.
        ctx: The request.
        version: The version that is asked.
    """

    def __init__(self, service: CounterfactualsService, ctx: RequestContext, version: ModelVersion) -> None:
        self._service = service
        self._ctx = ctx
        self._version = version

    target = ""

    def holds(self, now: float, then: float) -> bool:
        """Whether the statement is true of ``then``, what it was before being ``now``."""
        raise NotImplementedError

    def told(self, values: Sequence[float]) -> tuple[tuple[float, ...], tuple[str, ...]]:
        """Probabilities and segments of an answer."""
        raise NotImplementedError

    async def smallest(
        self, rows: Rows, at: int, history: PurchaseDays
    ) -> tuple[bool, Action | None, tuple[float, ...], tuple[str, ...], int]:
        """Whether it holds already, the action, both values, and how many actions were tried."""
        # The weekly sequence is left out: before and after are asked about in the same way.
        row = rows.matrix[at, :_WIDTH]
        if rows.as_of is None:
            raise Internal("features of a customer came without their day", reason="FEATURES_UNDATED")
        (now,) = await self._ask(row[None, :])
        if self.holds(now, now):
            return True, None, *self.told([now]), 0
        tried = actions(float(row[_MEAN]), rows.currency)
        made = np.stack([acted(history, rows.as_of, row, action) for action in tried])
        SCHEMA.check(made)
        after = await self._ask(made)
        for action, vector, then in zip(tried, made, after, strict=True):
            if self.holds(now, then):
                # Asked again alone: what is told is what Predict or Segment would say of this vector.
                (verified,) = await self._ask(vector[None, :])
                if self.holds(now, verified):
                    return False, action, *self.told([now, verified]), len(tried)
        return False, None, *self.told([now]), len(tried)

    async def _ask(self, matrix: Features) -> list[float]:
        found = await self._service.scored(
            self._ctx, self._version, self.target, np.ascontiguousarray(matrix, np.float32)
        )
        return [float(value) for value in found]


class _ChurnBelow(_Statement):
    target = Task.CHURN.target

    def __init__(
        self, service: CounterfactualsService, ctx: RequestContext, version: ModelVersion, bound: float
    ) -> None:
        super().__init__(service, ctx, version)
        self._bound = bound

    def holds(self, now: float, then: float) -> bool:  # noqa: ARG002 - the bound is the same for all
        return then < self._bound

    def told(self, values: Sequence[float]) -> tuple[tuple[float, ...], tuple[str, ...]]:
        return tuple(values), ()


class _InSegment(_Statement):
    def __init__(
        self, service: CounterfactualsService, ctx: RequestContext, version: ModelVersion, key: str
    ) -> None:
        super().__init__(service, ctx, version)
        self._keys = [segment.key for segment in version.manifest.segments]
        self._wanted = key

    def holds(self, now: float, then: float) -> bool:
        return self._keys[int(then)] == self._wanted if self._wanted else then != now

    def told(self, values: Sequence[float]) -> tuple[tuple[float, ...], tuple[str, ...]]:
        return (), tuple(self._keys[int(value)] for value in values)


def _check(goal: Goal) -> None:
    if goal.churn_below is not None and not 0 < goal.churn_below <= 1:
        text = "must be above 0 and at most 1"
        raise InvalidArgument(
            f"goal.churn_below_ratio {text}", violations=(Violation("goal.churn_below_ratio", text),)
        )
