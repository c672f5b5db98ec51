"""What the backtest found, for people: every row of the line-up by fold and in total, and the gate on it.

CPU seconds are left out: equal data and seeds must give equal bytes. ``make clv-bench`` prints them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from cohortlens.contracts.asks import CHURN
from cohortlens.contracts.backtest import (
    DROPPED,
    Backtest,
    BacktestChoice,
    BacktestFold,
    BacktestRow,
)
from cohortlens.contracts.manifest import Blend, GateCriterion
from workers.training import intervals
from workers.training.backtest import Fold
from workers.training.calibration import Judged
from workers.training.lineup import TARGETS
from workers.training.members import NAIVE
from workers.training.metrics import area_under_curve, measure

FloatArray = NDArray[np.float64]

DEFAULT = "default"
LOSS_SLACK = 1.02
"""Losses of a default and a naive row within this ratio are the same: differences of 1-2 % are noise."""

_SURE = 2.0
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Report:
    """What is told of a backtest.

    Attributes:
        metrics: Figures of the default at the reported horizon (``purchases.rmse``), at each horizon
            (``purchases.rmse.30d``), and of the naive rows (``purchases.rmse.own_rate``).
        gate: One criterion per target: its loss beside the best naive row's.
        notes: Where a naive row is better.
        backtest: All rows.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    gate: tuple[GateCriterion, ...] = ()
    notes: tuple[str, ...] = ()
    backtest: Backtest = field(default_factory=Backtest)


def report(
    folds: Sequence[Fold],
    unseen: Mapping[str, Sequence[Judged]],
    blends: Mapping[str, Blend],
    reported: int,
) -> Report:
    """Tell a backtest.

    Args:
        folds: Folds, latest first.
        unseen: The default's values by target, each fold's by a blend chosen without it.
        blends: The blends that serve.
        reported: Horizon of the figures.
    """
    metrics = {"horizon_days": float(reported), "folds": float(len(folds))}
    rows: list[BacktestRow] = []
    gate: list[GateCriterion] = []
    notes: list[str] = []
    choices = []
    for target in TARGETS:
        if target not in blends:
            continue
        tables = [_table(folds, unseen, target, at, reported) for at in range(len(folds))]
        actual = [fold.actual(target, reported) for fold in folds]
        every = _rows(target, tables, actual)
        rows += every
        loss = {row.model: row.rmse for row in every if row.fold is None and row.rmse is not None}
        beaten_by = _beaten_by(loss)
        choices.append(BacktestChoice(target, dict(blends[target].weights), beaten_by))
        metrics |= _metrics(target, every, unseen[target])
        if beaten_by:
            notes.append(
                f"{target}: the naive {beaten_by} has the smaller rmse "
                f"({loss[beaten_by]:.4g} against {loss[DEFAULT]:.4g})"
            )
        ratio = _sure_ratio(tables, actual, loss, chance=target == CHURN)
        if ratio is not None:
            gate.append(
                GateCriterion(f"{target}.rmse_vs_naive", ratio, LOSS_SLACK, passed=ratio <= LOSS_SLACK)
            )
    told = Backtest(
        tuple(BacktestFold(_day(fold.cut), reported, len(fold.rows[reported])) for fold in folds),
        (*sorted(rows, key=lambda row: -1 if row.fold is None else row.fold), *_dropped(folds)),
        tuple(choices),
    )
    return Report(metrics, tuple(gate), tuple(notes), told)


def _table(
    folds: Sequence[Fold], unseen: Mapping[str, Sequence[Judged]], target: str, at: int, horizon: int
) -> dict[str, FloatArray]:
    default = next(one.predicted for one in unseen[target] if (one.fold, one.horizon) == (at, horizon))
    return {DEFAULT: default, **folds[at].predictions[target, horizon]}


def _rows(
    target: str,
    tables: Sequence[Mapping[str, FloatArray]],
    actual: Sequence[FloatArray],
) -> list[BacktestRow]:
    found: list[BacktestRow] = []
    models = [model for model in (tables[0] if tables else ()) if all(model in table for table in tables)]
    for model in models:
        predicted = [table[model] for table in tables]
        covered = _coverages(predicted, actual) if model == DEFAULT and target != CHURN else None
        whole = None if covered is None else float(np.mean(covered))
        found.append(_row(target, model, None, np.concatenate(predicted), np.concatenate(actual), whole))
        for at in range(len(tables)):
            part = None if covered is None else covered[at]
            found.append(_row(target, model, at, predicted[at], actual[at], part))
    return found


def _coverages(predicted: Sequence[FloatArray], actual: Sequence[FloatArray]) -> list[float]:
    """Share of each fold inside intervals measured on the other folds; of the only fold on its halves."""
    if len(predicted) == 1:
        half = np.arange(len(predicted[0])) % 2 == 0
        trial = intervals.calibrate(predicted[0][half], actual[0][half])
        return [intervals.coverage(trial, predicted[0][~half], actual[0][~half])]
    found = []
    for at in range(len(predicted)):
        others = [position for position in range(len(predicted)) if position != at]
        trial = intervals.calibrate(
            np.concatenate([predicted[position] for position in others]),
            np.concatenate([actual[position] for position in others]),
        )
        found.append(intervals.coverage(trial, predicted[at], actual[at]))
    return found


def _row(
    target: str,
    model: str,
    fold: int | None,
    predicted: FloatArray,
    actual: FloatArray,
    coverage: float | None,
) -> BacktestRow:
    told = measure(predicted, actual)
    auc = area_under_curve(predicted, actual > 0)
    return BacktestRow(
        model=model,
        kind="default" if model == DEFAULT else "naive" if model in NAIVE else "member",
        target=target,
        fold=fold,
        mae=told.get("mae"),
        rmse=told.get("rmse"),
        correlation=told.get("correlation"),
        lift10=told.get("lift10"),
        gini=told.get("gini"),
        bias_ratio=told.get("bias"),
        auc=auc if math.isfinite(auc) else None,
        coverage80=coverage,
    )


def _metrics(target: str, rows: Sequence[BacktestRow], unseen: Sequence[Judged]) -> dict[str, float]:
    found: dict[str, float] = {}
    for row in rows:
        if row.fold is not None or row.kind == "member":
            continue
        suffix = "" if row.kind == "default" else f".{row.model}"
        figures = {
            "rmse": row.rmse,
            "mae": row.mae,
            "gini": row.gini,
            "bias": row.bias_ratio,
            "correlation": row.correlation,
            "lift10": row.lift10,
            "auc": row.auc,
            "coverage80": row.coverage80,
        }
        found |= {f"{target}.{name}{suffix}": value for name, value in figures.items() if value is not None}
    for horizon in sorted({one.horizon for one in unseen}):
        same = [one for one in unseen if one.horizon == horizon]
        told = measure(
            np.concatenate([one.predicted for one in same]), np.concatenate([one.actual for one in same])
        )
        found |= {f"{target}.{name}.{horizon}d": value for name, value in told.items()}
    return found


def _beaten_by(loss: Mapping[str, float]) -> str:
    if DEFAULT not in loss:
        return ""
    naive = [(loss[name], name) for name in NAIVE if name in loss and loss[name] < loss[DEFAULT]]
    return min(naive)[1] if naive else ""


def _sure_ratio(
    tables: Sequence[Mapping[str, FloatArray]],
    actual: Sequence[FloatArray],
    loss: Mapping[str, float],
    *,
    chance: bool,
) -> float | None:
    """Error of the default over the best naive row's, as far as the customers agree on it.

    A handful of the largest accounts decide a squared error of money; two standard errors of the difference,
    customer by customer, are taken off before the default is called worse. None without a naive row.
    """
    naive = [(loss[name], name) for name in NAIVE if name in loss]
    if DEFAULT not in loss or not naive:
        return None
    least, best = min(naive)
    if chance and loss[DEFAULT] <= 0.51 / (min(len(came) for came in actual) + 1.0):
        # As near to 0 and 1 as so many customers allow (``calibration.inside``).
        return 1.0
    if not least > 0:
        return 1.0 if loss[DEFAULT] <= 0 else float(np.finfo(np.float64).max)
    squares = [
        (table[DEFAULT] - came) ** 2 - (table[best] - came) ** 2
        for table, came in zip(tables, actual, strict=True)
    ]
    more = np.concatenate(squares)
    error = float(more.std()) / math.sqrt(len(more))
    sure = max(0.0, float(more.mean()) - _SURE * error) if more.mean() > 0 else float(more.mean())
    return math.sqrt(max(0.0, least**2 + sure)) / least


def _dropped(folds: Sequence[Fold]) -> list[BacktestRow]:
    return [
        BacktestRow(model, "member", target, at, status=DROPPED, reason=reason)
        for at, fold in enumerate(folds)
        for model, reason in fold.dropped.items()
        for target in TARGETS
    ]


def _day(number: int) -> str:
    return (_EPOCH + timedelta(days=number)).isoformat()
