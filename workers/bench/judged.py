"""Judges the default model at a cut of any file on what came after it; ``make clv-bench`` prints it.

The version is trained, stored and loaded exactly as in service; rows after the cut are read by the scorer
alone. Beside it stand every member of the line-up, their plain mean and the naive rows.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cohortlens.contracts.artifacts import LocalArtifactStore
from cohortlens.contracts.asks import CHURN, PURCHASES, SPEND
from cohortlens.contracts.backtest import BACKTEST_FILE, Backtest
from cohortlens.contracts.manifest import ModelManifest
from cohortlens.contracts.sequences import join
from cohortlens.core.errors import CohortLensError
from workers.bench.naive import naive_of
from workers.bench.transactions import EPOCH, Transactions, day_of
from workers.runtime.bundle import Bundle
from workers.training.backtest import fit_all, view_at
from workers.training.datasets import Rows, horizons_of, read_snapshot, rows_at
from workers.training.faults import TrainingFault
from workers.training.lineup import Member
from workers.training.members import NAIVE, line_up
from workers.training.metrics import measure
from workers.training.pipeline import sequence_member, train

FloatArray = NDArray[np.float64]

LEAST_HISTORY_DAYS = 60
_TARGETS = (PURCHASES, SPEND)


class BenchFault(CohortLensError):
    """The file cannot be judged at this cut: ``HORIZON_NOT_OBSERVED``, ``HISTORY_TOO_SHORT``."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message, reason=reason)


@dataclass(frozen=True)
class BenchRow:
    """One row of a table; undefined figures are None.

    Attributes:
        model: ``default``, ``default_mae``, a member, ``blend_mean`` or a naive row.
        kind: ``default``, ``member`` or ``naive``.
        target: ``purchases`` or ``spend``.
        mae: Mean absolute error.
        rmse: Root mean squared error.
        corr: Pearson's correlation.
        lift10: See ``metrics.lift10``.
        gini: Normalised Gini.
        bias: Predicted over actual total less 1.
        auc: Of buying at all; the default's by 1 - churn, others' by their own order.
        coverage80: Share inside the 80 % interval.
        least_decile: The same in the tenth of the predictions where it is least.
        fit_cpu_s: CPU seconds.
        status: ``OK`` or ``DROPPED``.
        reason: Why it was dropped.
    """

    model: str
    kind: str
    target: str
    mae: float | None = None
    rmse: float | None = None
    corr: float | None = None
    lift10: float | None = None
    gini: float | None = None
    bias: float | None = None
    auc: float | None = None
    coverage80: float | None = None
    least_decile: float | None = None
    fit_cpu_s: float | None = None
    status: str = "OK"
    reason: str = ""


@dataclass
class Bench:
    """What a run found; the shape of its JSON.

    Attributes:
        data: The file and its hold-out.
        rows: All tables.
        selected: Weights and folds by target.
        ratios: The default beside other rows.
        versions: Of what computed it.
    """

    data: dict[str, Any]
    rows: list[BenchRow] = field(default_factory=list)
    selected: dict[str, Any] = field(default_factory=dict)
    ratios: dict[str, dict[str, float | None]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Holdout:
    """A file cut at a day.

    Attributes:
        transactions: The file.
        cut: Last day that is known, days since 1970-01-01.
        horizon: Days judged.
        rows: Customers seen by the cut with what they did after it.
    """

    transactions: Transactions
    cut: int
    horizon: int
    rows: Rows


def hold_out(transactions: Transactions, cut: int, horizon: int) -> Holdout:
    """Cut a file.

    Raises:
        BenchFault: ``HORIZON_NOT_OBSERVED``: the data ends before the horizon does; ``HISTORY_TOO_SHORT``:
            nobody has bought by the cut.
    """
    bought = transactions.days.day[transactions.days.orders > 0]
    if bought.max() < cut + horizon:
        last = EPOCH + timedelta(days=int(bought.max()) - horizon)
        raise BenchFault(
            "HORIZON_NOT_OBSERVED",
            f"HORIZON={horizon} days after the cut lie beyond the data; give CUT={last} or earlier, or less.",
        )
    if not (bought <= cut).any():
        raise BenchFault("HISTORY_TOO_SHORT", "CUT lies before the first purchase; give a later day.")
    rows = rows_at(transactions.days, transactions.customers, cut, (horizon,), sequences=True)[0]
    return Holdout(transactions, cut, horizon, rows)


def judge(held: Holdout, members: Sequence[str], cell: str, seed: int) -> Bench:
    """Measure everything.

    Args:
        held: The data.
        members: Members to show; all when empty.
        cell: Net on weekly sequences, or ``none``.
        seed: Seed.
    """
    bench = Bench(_head(held), versions=_versions())
    known = held.transactions.days.until(held.cut)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "snapshot.parquet"
        pq.write_table(pa.table(known.columns()), path)
        history = held.cut - int(known.day[known.orders > 0].min())
        if history < LEAST_HISTORY_DAYS:
            bench.data["status"] = "HISTORY_TOO_SHORT"
            _naive_only(bench, held)
            return bench
        try:
            horizons_of(history)
        except TrainingFault as fault:
            bench.data["status"] = fault.reason
            _naive_only(bench, held)
            return bench
        store = LocalArtifactStore(Path(folder) / "artifacts")
        started = time.process_time()
        day = str(EPOCH + timedelta(days=held.cut))
        outcome = train("prediction", path, day, "XXX", seed, store, _silent, sequence_cell=cell)
        cpu_s = time.process_time() - started
        _judge_default(bench, held, Bundle.load(store, outcome.artifact_digest), cpu_s)
        _judge_members(bench, held, path, day, members, sequence_member(cell), seed)
        bench.selected = _selected(outcome.manifest, store)
    _compare(bench)
    return bench


def _silent(stage: str, ratio: float) -> None:
    """Takes the progress of a training."""


def _head(held: Holdout) -> dict[str, Any]:
    spend, purchases = held.rows.targets[SPEND], held.rows.targets[PURCHASES]
    return {
        "sha256": held.transactions.sha256,
        "rows": held.transactions.rows,
        "customers": len(held.rows),
        "cut": str(EPOCH + timedelta(days=held.cut)),
        "horizon_days": held.horizon,
        "purchase_days": int(purchases.sum()),
        "spend": round(float(spend.sum()), 2),
        "active_ratio": float((purchases > 0).mean()),
        "rejected": held.transactions.rejected,
        "status": "OK",
    }


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("cohortlens", "numpy", "scipy", "scikit-learn")}


def _judge_default(bench: Bench, held: Holdout, bundle: Bundle, cpu_s: float) -> None:
    rows = held.rows
    wide = join(rows.features, rows.sequence) if rows.sequence is not None else rows.features
    asked = wide if bundle.manifest.wants_sequence else rows.features
    active = 1.0 - bundle.score(CHURN, asked)["value"]
    for target in _TARGETS:
        for name, ask in (("default", target), ("default_mae", f"{target};loss=mae")):
            found = bundle.score(ask, asked)
            bench.rows.append(
                _row(
                    name,
                    "default",
                    target,
                    found["value"],
                    rows,
                    cpu_s,
                    order=active,
                    bounds=(found["lower"], found["upper"]),
                )
            )


def _judge_members(
    bench: Bench,
    held: Holdout,
    path: Path,
    day: str,
    wanted: Sequence[str],
    sequence: Member | None,
    seed: int,
) -> None:
    snapshot = read_snapshot(path, day_of(day))
    horizons = horizons_of(snapshot.history_days)
    view = view_at(snapshot, held.cut, horizons, seed, sequences=sequence is not None)
    fitted = fit_all(view, line_up(sequence), seed)
    predictions = fitted.predict(held.rows, held.horizon)
    for target in _TARGETS:
        table = {name: values for name, values in predictions[target].items() if name not in NAIVE}
        shown = {name: values for name, values in table.items() if not wanted or name in wanted}
        for name, values in shown.items():
            bench.rows.append(_row(name, "member", target, values, held.rows, fitted.fit_cpu_s[name]))
        bench.rows += [
            BenchRow(name, "member", target, status="DROPPED", reason=reason)
            for name, reason in fitted.dropped.items()
        ]
        if table:
            mean = np.mean(list(table.values()), axis=0)
            bench.rows.append(_row("blend_mean", "member", target, mean, held.rows, None))
        bench.rows += _naive_rows(held, target)


def _naive_only(bench: Bench, held: Holdout) -> None:
    for target in _TARGETS:
        bench.rows += _naive_rows(held, target)


def _naive_rows(held: Holdout, target: str) -> list[BenchRow]:
    """The naive rows by their definitions, on the whole history at the very horizon."""
    return [
        _row(name, "naive", target, values, held.rows, None)
        for name, values in naive_of(held.transactions, held.cut, held.horizon, held.rows)[target].items()
    ]


def _row(
    model: str,
    kind: str,
    target: str,
    values: FloatArray,
    rows: Rows,
    cpu_s: float | None,
    *,
    order: FloatArray | None = None,
    bounds: tuple[FloatArray, FloatArray] | None = None,
) -> BenchRow:
    actual = rows.targets[target]
    told = measure(values, actual)
    active = rows.targets[PURCHASES]
    auc = measure(values if order is None else order, active).get("auc")
    covered, least = (None, None) if bounds is None else _covered(values, actual, *bounds)
    return BenchRow(
        model,
        kind,
        target,
        mae=told.get("mae"),
        rmse=told.get("rmse"),
        corr=told.get("correlation"),
        lift10=told.get("lift10"),
        gini=told.get("gini"),
        bias=told.get("bias"),
        auc=auc,
        coverage80=covered,
        least_decile=least,
        fit_cpu_s=cpu_s,
    )


def _covered(
    values: FloatArray, actual: FloatArray, lower: FloatArray, upper: FloatArray
) -> tuple[float, float]:
    inside = (lower <= actual) & (actual <= upper)
    tenths = [part for part in np.array_split(np.argsort(values, kind="stable"), 10) if len(part)]
    return float(inside.mean()), min(float(inside[part].mean()) for part in tenths)


def _selected(manifest: ModelManifest, store: LocalArtifactStore) -> dict[str, Any]:
    told = Backtest.from_json(store.read_verified(manifest.files[BACKTEST_FILE]))
    folds = [asdict(fold) for fold in told.folds]
    beaten = {choice.target: choice.beaten_by for choice in told.choices}
    return {
        target: {
            "basis": manifest.basis,
            "weights": blend.weights,
            "multiplier": blend.multiplier,
            "loss": "mae" if target.endswith(":mae") else "rmse",
            "folds": folds,
            "beaten_by": beaten.get(target.partition(":")[0], ""),
        }
        for target, blend in manifest.blends.items()
    }


def _compare(bench: Bench) -> None:
    for target in _TARGETS:
        rows = [row for row in bench.rows if row.target == target and row.status == "OK"]
        default = next(row for row in rows if row.model == "default")
        median = next(row for row in rows if row.model == "default_mae")
        others = [row for row in rows if row.kind != "default"]
        own = next((row.rmse for row in rows if row.model == "bgnbd"), None)
        bench.ratios[target] = {
            "rmse_vs_bgnbd": _over(default.rmse, own),
            "rmse_vs_best": _over(default.rmse, _best(others, "rmse", min)),
            "mae_vs_best": _over(median.mae, _best(others, "mae", min)),
            "gini_less_best": _less(default.gini, _best(others, "gini", max)),
            "auc_less_best": _less(default.auc, _best(others, "auc", max)),
        }


def _best(rows: Sequence[BenchRow], name: str, choose: Callable[[list[float]], float]) -> float | None:
    values = [value for row in rows if (value := getattr(row, name)) is not None]
    return choose(values) if values else None


def _over(value: float | None, other: float | None) -> float | None:
    return None if value is None or not other else value / other


def _less(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other
