"""Judges a prediction on one hold-out cut, beside naive predictions, and measures its intervals there."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from cohortlens.contracts.asks import calibration_key
from cohortlens.contracts.features import SCHEMA
from cohortlens.contracts.manifest import GateCriterion, IntervalCalibration
from workers.training import intervals
from workers.training.boosting import TARGETS, Boosted, fit
from workers.training.datasets import MIN_CUSTOMERS, Rows, Snapshot, rows_at, training_rows
from workers.training.faults import TrainingFault
from workers.training.metrics import measure

FloatArray = NDArray[np.float64]

_REPORT_DAYS = 90


@dataclass
class Evaluation:
    """What the hold-out told.

    Attributes:
        metrics: By name: ``purchases.rmse`` at the reported horizon, ``purchases.rmse.30d`` at each,
            ``purchases.rmse.own_rate`` for naive predictions, ``purchases.coverage80``.
        calibration: Interval of each target and horizon.
        gate: Criteria on the hold-out.
        notes: Where a naive prediction is better.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    calibration: dict[str, IntervalCalibration] = field(default_factory=dict)
    gate: list[GateCriterion] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def evaluate(snapshot: Snapshot, horizons_days: tuple[int, ...], seed: int) -> Evaluation:
    """Train on what was known at an earlier day, predict what came after it.

    Args:
        snapshot: The data.
        horizons_days: Horizons; the longest one is held out.
        seed: Seed of everything random.

    Raises:
        TrainingFault: ``NOTHING_TO_LEARN``, or ``TOO_FEW_CUSTOMERS`` at the earlier day.
    """
    cut = snapshot.as_of - max(horizons_days)
    rng = np.random.default_rng(seed)
    before = training_rows(snapshot, horizons_days, cut, rng)
    known = snapshot.days.until(cut)
    after = rows_at(snapshot.days, snapshot.customers, cut, horizons_days)
    # Features of the hold-out come from what was known at the cut, as they will when the model serves.
    seen = rows_at(known, snapshot.customers, cut, horizons_days)
    if len(seen[0]) < MIN_CUSTOMERS:
        raise TrainingFault(
            "TOO_FEW_CUSTOMERS",
            f"{len(seen[0])} customers had bought {max(horizons_days)} days before the end of the data; at "
            f"least {MIN_CUSTOMERS} are needed to judge predictions. Import older transactions.",
        )
    held_out = {
        horizon: replace(past, targets=future.targets)
        for horizon, past, future in zip(horizons_days, seen, after, strict=True)
    }
    reported = max(h for h in horizons_days if h <= max(_REPORT_DAYS, min(horizons_days)))
    evaluation = Evaluation()
    for target in TARGETS:
        model = fit(before, target, seed)
        for horizon, rows in held_out.items():
            found = _judge(evaluation, target, horizon, rows, model, rng)
            if horizon == reported:
                evaluation.calibration[target] = evaluation.calibration[calibration_key(target, horizon)]
                _report(evaluation, target, found, _naive(target, rows, before, horizon), rows)
    evaluation.metrics["horizon_days"] = float(reported)
    return evaluation


def _judge(
    evaluation: Evaluation, target: str, horizon: int, rows: Rows, model: Boosted, rng: np.random.Generator
) -> dict[str, float]:
    predicted, actual = model.predict(rows.features), rows.targets[target]
    evaluation.calibration[calibration_key(target, horizon)] = intervals.calibrate(predicted, actual)
    found = measure(predicted, actual)
    # The interval that serves is measured on all rows; its coverage is told by halves that do not share rows.
    half = rng.permutation(len(rows)) % 2 == 0
    rest = ~half
    trial = intervals.calibrate(predicted[half], actual[half])
    found["coverage80"] = intervals.coverage(trial, predicted[rest], actual[rest])
    evaluation.metrics |= {f"{target}.{name}.{horizon}d": value for name, value in found.items()}
    return found


def _naive(target: str, rows: Rows, before: Rows, horizon: int) -> dict[str, FloatArray]:
    """What anybody could predict: the training rows' mean at this horizon, the customer's own rate."""
    same = before.features[:, SCHEMA.index("horizon")] == horizon
    mean = float(before.targets[target][same].mean())

    def column(name: str) -> FloatArray:
        return rows.features[:, SCHEMA.index(name)].astype(np.float64)

    rate = column("x") / np.maximum(column("age"), 1.0) * horizon
    worth = 1.0 if target == "purchases" else column("zbar")
    return {"population_mean": np.full(len(rows), mean), "own_rate": rate * worth}


def _report(
    evaluation: Evaluation, target: str, found: dict[str, float], naive: dict[str, FloatArray], rows: Rows
) -> None:
    evaluation.metrics |= {f"{target}.{name}": value for name, value in found.items()}
    for row, predicted in naive.items():
        told = measure(predicted, rows.targets[target])
        evaluation.metrics |= {f"{target}.{name}.{row}": value for name, value in told.items()}
        evaluation.notes += [
            f"{target}: the naive {row} has the smaller {name} ({told[name]:.4g} against {found[name]:.4g})"
            for name in ("rmse", "mae")
            if told[name] < found[name]
        ]
    baseline = measure(naive["population_mean"], rows.targets[target])
    if "deviance" in found and baseline.get("deviance", 0.0) > 0:
        ratio = found["deviance"] / baseline["deviance"]
        evaluation.gate.append(
            GateCriterion(f"{target}.deviance_vs_population_mean", ratio, 1.0, passed=ratio <= 1.0)
        )
