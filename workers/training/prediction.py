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
from cohortlens.contracts.asks import LEVELS, PURCHASES, SPEND, calibration_key
from cohortlens.contracts.backtest import BACKTEST_FILE
from cohortlens.contracts.baseline import BASELINE_FILE
from cohortlens.contracts.manifest import (
    GateCriterion,
    IntervalCalibration,
    ModelManifest,
    fidelity_metric,
)
from cohortlens.contracts.sequences import SEQUENCE, join, weekly_sequences
from workers.runtime.bundle import explainer_file
from workers.runtime.lineup import SEQUENCE_FILE, Lineup
from workers.runtime.members import BTYD_FAMILIES, HYBRID
from workers.runtime.members import POPULATION_MEAN as MEAN_OF_ALL
from workers.training import distil, export, intervals
from workers.training.backtest import FittedView, Fold, backtest, fit_all, view_at
from workers.training.baseline import baseline_npz
from workers.training.datasets import Rows, Snapshot, served_horizons
from workers.training.gate import JudgedFold, against_champion
from workers.training.giants import bound_of, without_giants
from workers.training.ladder import BLEND_CUSTOMERS, FEW_LINE_UP, POPULATION_MEAN, Chosen, choose, rungs
from workers.training.lineup import TARGETS, Member, Parts
from workers.training.members import LEADING, line_up, population_rates
from workers.training.reporting import Report, report

FloatArray = NDArray[np.float64]
Progress = Callable[[str, float], None]

REPORT_DAYS = 90

_MOST_DAYS = 730
_MOST_HISTORIES = 3


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
class _Learnt:
    """What every rung of the ladder is chosen from.

    Attributes:
        horizons_days: Horizons that the version is made for.
        members: The line-up that was tried.
        folds: The backtest, latest first.
        final: The members fitted on all data.
    """

    horizons_days: tuple[int, ...]
    members: tuple[Member, ...]
    folds: list[Fold]
    final: FittedView


def train_prediction(task: Task) -> ModelManifest:
    """Train and store the files of a version; see ``Task``.

    A first version that fails its gate is made again from less, so that something true serves. Beside an
    active version the best one alone is made: what fails leaves the active one in place.

    Returns:
        The finished manifest, not stored yet.

    Raises:
        TrainingFault: The data cannot teach a model, or an export differs from its source.
    """
    bounded = without_giants(task.snapshot, task.snapshot.as_of)
    learnt = _learnt(task)
    allowed = rungs(learnt.folds, learnt.final)
    if task.champion_digest:
        allowed = allowed[:1]
    notes: tuple[str, ...] = ()
    if bounded is not task.snapshot:
        notes = (f"money of a purchase-day was read as at most {bound_of(task.snapshot.days):.4g}",)
    for basis in allowed[:-1]:
        made = _made(task, learnt, bounded, basis, notes)
        if made.passed:
            return made
        notes += tuple(
            f"{basis} failed its gate: {one.name} is {one.value:.4g}, bound {one.threshold:.4g}"
            for one in made.gate
            if not one.passed
        )
    return _made(task, learnt, bounded, allowed[-1], notes)


def _learnt(task: Task) -> _Learnt:
    snapshot, seed = task.snapshot, task.manifest.seed
    horizons = served_horizons(snapshot.history_days)
    task.progress("fit", 0.05)
    sequences = task.sequence is not None
    members = line_up(task.sequence)
    if snapshot.buyers < BLEND_CUSTOMERS:
        members = tuple(member for member in members if member.id in (MEAN_OF_ALL, *FEW_LINE_UP))
        sequences = False
    folds = backtest(snapshot, horizons, members, seed, sequences=sequences)
    task.progress("features", 0.5)
    view = view_at(snapshot, snapshot.as_of, horizons, seed, sequences=sequences)
    task.progress("fit", 0.55)
    return _Learnt(horizons, members, folds, fit_all(view, members, seed))


def _made(
    task: Task, learnt: _Learnt, bounded: Snapshot, basis: str, notes: tuple[str, ...]
) -> ModelManifest:
    """The version that rests on one rung of the ladder."""
    horizons, folds, final = learnt.horizons_days, learnt.folds, learnt.final
    chosen = choose(folds, final, basis)
    task.progress("export", 0.7)
    parts = _exported(chosen, final, final.view.rows)
    reported = reported_horizon(horizons)
    told = report(folds, chosen.unseen, chosen.blends, reported)
    if basis == POPULATION_MEAN:
        # Nothing is left below it, and it is a naive row itself: where another one is better, a note says so.
        told = replace(told, gate=())
    files = {name: data for part in parts.values() for name, data in part.files.items()}
    manifest = replace(
        task.manifest,
        targets=tuple(target for target in TARGETS if target in chosen.blends),
        horizons_days=horizons,
        horizon_most_days=max(*horizons, min(_MOST_DAYS, _MOST_HISTORIES * task.snapshot.history_days)),
        basis=basis,
        blends=chosen.blends,
        btyd={name: entry for part in parts.values() for name, entry in part.btyd.items()},
        sequence_hash=SEQUENCE.hash if SEQUENCE_FILE in files else "",
        members={
            member.id: final.dropped.get(member.id, _why_not(folds, member.id)) for member in learnt.members
        },
        calibration=_calibration(chosen, final.view.today, horizons, reported),
        notes=(*notes, *told.notes, *(note for part in parts.values() for note in part.notes)),
    )
    task.progress("parity", 0.8)
    return _finished(replace(task, snapshot=bounded), manifest, files, parts, final, folds, chosen, told)


def reported_horizon(horizons_days: Sequence[int]) -> int:
    """The horizon whose figures stand for a version: the longest within ``REPORT_DAYS``."""
    return max(h for h in horizons_days if h <= max(REPORT_DAYS, min(horizons_days)))


def _why_not(folds: Sequence[Fold], member: str) -> str:
    return next((fold.dropped[member] for fold in folds if member in fold.dropped), "")


def _exported(chosen: Chosen, final: FittedView, probes: Rows) -> dict[str, Parts]:
    """Files and parameters of the members that have weight, of every family, and of the population."""
    wanted = {
        member
        for blend in chosen.blends.values()
        for member in (*blend.weights, *blend.weights_without_sequence)
    }
    wanted |= {MEAN_OF_ALL, *BTYD_FAMILIES} | ({LEADING} if HYBRID in wanted else set())
    return {member: final.fitted[member].export(probes) for member in final.fitted if member in wanted}


def _calibration(
    chosen: Chosen, today: Rows, horizons: Sequence[int], reported: int
) -> dict[str, IntervalCalibration]:
    found: dict[str, IntervalCalibration] = {}
    for target in (PURCHASES, SPEND):
        if target not in chosen.blends:
            continue
        for horizon in horizons:
            pairs = [(one.predicted, one.actual) for one in chosen.unseen[target] if one.horizon == horizon]
            # Where nothing was ever seen to come, periods say nothing of how much may come.
            is_judged = any((actual > 0).any() for _, actual in pairs)
            for level in LEVELS:
                found[calibration_key(target, horizon, level)] = (
                    intervals.across(pairs, level) if is_judged else _unjudged(today, target, horizon, level)
                )
        found[target] = found[calibration_key(target, reported)]
    return found


def _unjudged(today: Rows, target: str, horizon: int, level: float) -> IntervalCalibration:
    rates, bought = population_rates(today), float(today.column("x").sum())
    expected = rates["purchases_per_day"] * horizon
    if target != SPEND:
        return intervals.unjudged(expected, bought, level)
    most = float(np.maximum(today.column("zbar"), today.column("first")).max())
    return intervals.unjudged(expected, bought, level, (rates["spend_per_day"] * horizon / expected, most))


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
    least = distil.least_fidelity(len(final.view.today))
    for target in manifest.targets:
        pupil = distil.distil(shown, partial(_asked, lineup, target), task.snapshot.as_of, manifest.seed)
        files[explainer_file(target)] = pupil.trees.to_npz()
        importance[target] = pupil.importance
        metrics[fidelity_metric(target)] = pupil.fidelity_r2
        gate.append(
            GateCriterion(
                fidelity_metric(target), pupil.fidelity_r2, least, passed=pupil.fidelity_r2 >= least
            )
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
