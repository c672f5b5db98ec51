"""Trains a prediction version: backtest, choice of blends, final fits, export, intervals, explainer.

What the data allows is told in ``basis``: ``BLEND`` of the whole line-up, ``BTYD`` where customers or folds
are few, ``POPULATION_MEAN`` where nobody has come back or no period can be judged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from cohortlens.contracts.artifacts import LocalArtifactStore
from cohortlens.contracts.asks import CHURN, LEVELS, PURCHASES, SPEND, calibration_key
from cohortlens.contracts.backtest import BACKTEST_FILE
from cohortlens.contracts.baseline import BASELINE_FILE
from cohortlens.contracts.manifest import (
    SEQUENCE_CELLS,
    Blend,
    GateCriterion,
    IntervalCalibration,
    ModelManifest,
    fidelity_metric,
)
from cohortlens.contracts.sequences import SEQUENCE, join, weekly_sequences
from workers.runtime.blending import blended
from workers.runtime.bundle import explainer_file
from workers.runtime.lineup import SEQUENCE_FILE, Lineup
from workers.runtime.members import BTYD_FAMILIES, HYBRID, LAST_PERIOD, OWN_RATE, POPULATION_MEAN
from workers.training import distil, export, intervals
from workers.training.backtest import FittedView, Fold, backtest, fit_all, present, view_at
from workers.training.baseline import baseline_npz
from workers.training.calibration import Judged, median_knots, multiplier, probability_knots
from workers.training.datasets import Rows, Snapshot, horizons_of
from workers.training.gate import JudgedFold, against_champion
from workers.training.lineup import TARGETS, Member, Parts
from workers.training.members import LEADING, line_up
from workers.training.reporting import Report, report
from workers.training.selection import select

FloatArray = NDArray[np.float64]
Progress = Callable[[str, float], None]

BLEND, BTYD = "BLEND", "BTYD"
BLEND_CUSTOMERS = 500
BLEND_FOLDS = 2
REPORT_DAYS = 90
STEP_DAYS = 30

_MOST_DAYS = 730
_MOST_HISTORIES = 3
_FEW_LINE_UP = (OWN_RATE, LAST_PERIOD, *BTYD_FAMILIES)
"""Members that need no folds to learn from; the mean of all never takes part: it would only hold back."""


@dataclass(frozen=True)
class Task:
    """What to train.

    Attributes:
        snapshot: The data.
        manifest: Manifest with what is known before.
        store: Where files go.
        progress: Told of each stage.
        sequence: The net on weekly sequences to try; None for none.
        champion_digest: Version to be held against; empty when none is active.
    """

    snapshot: Snapshot
    manifest: ModelManifest
    store: LocalArtifactStore
    progress: Progress
    sequence: Member | None
    champion_digest: str


@dataclass(frozen=True)
class Chosen:
    """The blends of a version and what was learnt beside them.

    Attributes:
        basis: ``BLEND``, ``BTYD`` or ``POPULATION_MEAN``.
        blends: As ``ModelManifest.blends``.
        judged: Blended values of each target, fold and horizon, with the final blends.
        unseen: The same with weights learnt without the fold that they are judged on.
    """

    basis: str
    blends: dict[str, Blend]
    judged: dict[str, list[Judged]]
    unseen: dict[str, list[Judged]]


def train_prediction(task: Task) -> ModelManifest:
    """Train and store the files of a version; see ``Task``.

    Returns:
        The finished manifest, not stored yet.

    Raises:
        TrainingFault: The data cannot teach a model, or an export differs from its source.
    """
    snapshot, seed = task.snapshot, task.manifest.seed
    horizons = horizons_of(snapshot.history_days)
    task.progress("fit", 0.05)
    sequences = task.sequence is not None
    members = line_up(task.sequence)
    if snapshot.buyers < BLEND_CUSTOMERS:
        members = tuple(member for member in members if member.id in (POPULATION_MEAN, *_FEW_LINE_UP))
        sequences = False
    folds = backtest(snapshot, horizons, members, seed, sequences=sequences)
    task.progress("features", 0.5)
    view = view_at(snapshot, snapshot.as_of, horizons, seed, sequences=sequences)
    task.progress("fit", 0.55)
    final = fit_all(view, members, seed)
    chosen = choose(folds, final)
    task.progress("export", 0.7)
    parts = _exported(chosen, final, view.rows)
    reported = reported_horizon(horizons)
    told = report(folds, chosen.unseen, chosen.blends, reported)
    files = {name: data for part in parts.values() for name, data in part.files.items()}
    manifest = replace(
        task.manifest,
        targets=tuple(target for target in TARGETS if target in chosen.blends),
        horizons_days=horizons,
        horizon_most_days=min(_MOST_DAYS, _MOST_HISTORIES * snapshot.history_days),
        basis=chosen.basis,
        blends=chosen.blends,
        btyd={name: entry for part in parts.values() for name, entry in part.btyd.items()},
        sequence_hash=SEQUENCE.hash if SEQUENCE_FILE in files else "",
        members={member.id: final.dropped.get(member.id, _why_not(folds, member.id)) for member in members},
        calibration=_calibration(chosen, view.today, horizons, reported),
        notes=(*told.notes, *(note for part in parts.values() for note in part.notes)),
    )
    task.progress("parity", 0.8)
    return _finished(task, manifest, files, parts, final, folds, chosen, told)


def reported_horizon(horizons_days: Sequence[int]) -> int:
    """The horizon whose figures stand for a version: the longest within ``REPORT_DAYS``."""
    return max(h for h in horizons_days if h <= max(REPORT_DAYS, min(horizons_days)))


def choose(folds: list[Fold], final: FittedView) -> Chosen:
    """Choose the blend of each target.

    Args:
        folds: The backtest, latest first.
        final: The members fitted on all data; one that is missing here takes no part.
    """
    if not folds or not set(BTYD_FAMILIES) & set(final.fitted):
        only = Blend({POPULATION_MEAN: 1.0}, {POPULATION_MEAN: 1.0})
        blends = dict.fromkeys(TARGETS, only)
        judged = {target: _judged(folds, target, [only] * len(folds)) for target in TARGETS}
        return Chosen(POPULATION_MEAN.upper(), blends, judged, judged)
    basis = BLEND if len(final.view.today) >= BLEND_CUSTOMERS and len(folds) >= BLEND_FOLDS else BTYD
    blends, judged, unseen = {}, {}, {}
    for target in TARGETS:
        usable = [
            member
            for member in present(folds, target)
            if member in final.fitted
            and target in final.fitted[member].targets
            and member != POPULATION_MEAN
            and (basis == BLEND or member in _FEW_LINE_UP)
        ]
        if not usable:
            continue
        blends[target], judged[target] = _blend(folds, target, usable)
        unseen[target] = _unseen(folds, target, usable)
        if target != CHURN:
            blends[f"{target}:mae"] = replace(blends[target], knots=median_knots(judged[target]))
    return Chosen(basis, blends, judged, unseen)


def _weights(folds: Sequence[Fold], target: str, members: Sequence[str]) -> Blend:
    plain = [member for member in members if member not in SEQUENCE_CELLS]
    weights = select(folds, target, members)
    without = weights if not set(weights) & set(SEQUENCE_CELLS) else select(folds, target, plain)
    return Blend(weights, without)


def _blend(folds: list[Fold], target: str, members: Sequence[str]) -> tuple[Blend, list[Judged]]:
    """Weights from all folds, then their level."""
    blend = _levelled(folds, target, _weights(folds, target, members))
    return blend, _judged(folds, target, [blend] * len(folds))


def _levelled(folds: Sequence[Fold], target: str, blend: Blend) -> Blend:
    plain = _judged(folds, target, [blend] * len(folds))
    if target == CHURN:
        return replace(blend, knots=probability_knots(plain))
    return replace(blend, multiplier=multiplier(plain, STEP_DAYS))


def _unseen(folds: list[Fold], target: str, members: Sequence[str]) -> list[Judged]:
    """Each fold by a blend that was chosen and levelled on the others: choosing on a fold flatters it."""
    blends = []
    for at in range(len(folds)):
        others = folds[:at] + folds[at + 1 :]
        equal = dict.fromkeys(members, 1.0 / len(members))
        blends.append(
            _levelled(others, target, _weights(others, target, members)) if others else Blend(equal, equal)
        )
    return _judged(folds, target, blends)


def _judged(folds: Sequence[Fold], target: str, blends: Sequence[Blend]) -> list[Judged]:
    return [
        Judged(
            at,
            horizon,
            blended(target, blend, fold.predictions[target, horizon]),
            fold.actual(target, horizon),
        )
        for at, (fold, blend) in enumerate(zip(folds, blends, strict=True))
        for horizon in fold.rows
    ]


def _why_not(folds: Sequence[Fold], member: str) -> str:
    return next((fold.dropped[member] for fold in folds if member in fold.dropped), "")


def _exported(chosen: Chosen, final: FittedView, probes: Rows) -> dict[str, Parts]:
    """Files and parameters of the members that have weight, of every family, and of the population."""
    wanted = {
        member
        for blend in chosen.blends.values()
        for member in (*blend.weights, *blend.weights_without_sequence)
    }
    wanted |= {POPULATION_MEAN, *BTYD_FAMILIES} | ({LEADING} if HYBRID in wanted else set())
    return {member: final.fitted[member].export(probes) for member in final.fitted if member in wanted}


def _calibration(
    chosen: Chosen, today: Rows, horizons: Sequence[int], reported: int
) -> dict[str, IntervalCalibration]:
    found: dict[str, IntervalCalibration] = {}
    for target in (PURCHASES, SPEND):
        if target not in chosen.blends:
            continue
        for horizon in horizons:
            pairs = _residuals(chosen, target, horizon, today)
            for level in LEVELS:
                found[calibration_key(target, horizon, level)] = intervals.across(pairs, level)
        found[target] = found[calibration_key(target, reported)]
    return found


def _residuals(chosen: Chosen, target: str, horizon: int, today: Rows) -> list[tuple[FloatArray, FloatArray]]:
    """Predictions and what came, by fold; without folds each customer's own past stands for its future."""
    found = [(one.predicted, one.actual) for one in chosen.unseen[target] if one.horizon == horizon]
    if found:
        return found
    pace = today.column("x") / np.maximum(today.column("age"), 1.0) * horizon
    actual = pace * today.column("zbar") if target == SPEND else pace
    return [(np.full(len(actual), max(float(actual.mean()), 0.0)), actual)]


def _finished(
    task: Task,
    manifest: ModelManifest,
    files: dict[str, bytes],
    parts: dict[str, Parts],
    final: FittedView,
    folds: list[Fold],
    chosen: Chosen,
    told: Report,
) -> ModelManifest:
    """Explainer, baseline and gate, which ask the version as its replicas will."""
    lineup = Lineup(manifest, files)
    worst = max(part.parity for part in parts.values())
    gate = [GateCriterion("parity", worst, export.PARITY_RATIO, passed=True), *told.gate]
    metrics = told.metrics | {"training_rows": float(len(final.view.rows)), "parity": worst}
    importance: dict[str, dict[str, float]] = {}
    weekly = weekly_sequences if manifest.wants_sequence else None
    shown = distil.rows_to_imitate(task.snapshot, manifest.horizons_days, manifest.seed, weekly)
    for target in manifest.targets:
        pupil = distil.distil(shown, partial(_asked, lineup, target), task.snapshot.as_of, manifest.seed)
        files[explainer_file(target)] = pupil.trees.to_npz()
        importance[target] = pupil.importance
        metrics[fidelity_metric(target)] = pupil.fidelity_r2
        gate.append(
            GateCriterion(fidelity_metric(target), pupil.fidelity_r2, distil.FIDELITY_R2, passed=pupil.passed)
        )
    files[BASELINE_FILE] = baseline_npz(final.view.today, _values(manifest, lineup, final.view.today))
    verdict = against_champion(
        task.store,
        task.champion_digest,
        task.snapshot.as_of,
        _for_gate(folds, chosen, int(told.metrics["horizon_days"])),
        manifest.targets,
        manifest.blends,
    )
    files[BACKTEST_FILE] = told.backtest.to_json().encode()
    return replace(
        manifest,
        metrics=metrics,
        importance=importance,
        gate=(*gate, *verdict.criteria),
        notes=(*manifest.notes, *verdict.notes),
        files={name: task.store.put_bytes(data) for name, data in files.items()},
    )


def _wide(rows: Rows) -> NDArray[np.float32]:
    return rows.features if rows.sequence is None else join(rows.features, rows.sequence)


def _asked(lineup: Lineup, target: str, rows: Rows) -> FloatArray:
    return lineup.score(target, rows.features, rows.sequence)["value"]


def _values(manifest: ModelManifest, lineup: Lineup, today: Rows) -> dict[str, FloatArray]:
    return {
        f"{target}:{days}": _asked(lineup, target, today.at_horizon(days))
        for days in manifest.horizons_days
        for target in manifest.targets
    }


def _for_gate(folds: Sequence[Fold], chosen: Chosen, horizon: int) -> list[JudgedFold]:
    found = []
    for at, fold in enumerate(folds):
        unseen = {
            target: one.predicted
            for target, every in chosen.unseen.items()
            for one in every
            if (one.fold, one.horizon) == (at, horizon)
        }
        found.append(
            JudgedFold(
                fold.cut,
                _wide(fold.rows[horizon]),
                {target: fold.actual(target, horizon) for target in unseen},
                unseen,
                {target: fold.predictions[target, horizon] for target in unseen},
                {target: fold.scale(target, horizon) for target in unseen},
            )
        )
    return found
