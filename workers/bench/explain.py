"""``make explain-bench``: how true, how stable and how fast explanations are, on any file of transactions.

A version is trained on what was known at the cut, as an installation trains it, and explained as a replica
explains it: through its bundle. The library's own explainers stand beside where they can.
"""

from __future__ import annotations

import gc
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from cohortlens.contracts.artifacts import LocalArtifactStore
from cohortlens.contracts.explanations import INTERVENTIONAL, LIME, LOW_FIDELITY_R2, SHAP, log_of
from cohortlens.contracts.features import SCHEMA
from cohortlens.contracts.featurize import featurize
from cohortlens.contracts.manifest import fidelity_metric
from cohortlens.core.errors import FailedPrecondition
from workers.bench import asked as asking
from workers.bench.transactions import EPOCH, Transactions, day_of
from workers.runtime.bundle import Bundle, explainer_file
from workers.runtime.shap_explainer import ShapExplainer
from workers.runtime.tree_arrays import TreeArrays
from workers.training.boosting import Boosted, tree_arrays
from workers.training.pipeline import train

Features = NDArray[np.float32]
FloatArray = NDArray[np.float64]

_HORIZON = SCHEMA.index("horizon")
_SHAP_ROWS, _BACKGROUND_ROWS, _LIME_ROWS = 1_000, 50, 24
_TIMED, _BUILDS, _TOP = 200, 3, 5
_EXACT_LIBRARY = "explainer of the library on the estimator itself"


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        what: What was measured.
        value: The figure; None where it is not defined.
        goal: What it shall be, as text.
        met: Whether it is; None where there is no goal.
        passed: Whether it is within the gate; True where there is none.
    """

    what: str
    value: float | None
    goal: str = ""
    met: bool | None = None
    passed: bool = True


def main() -> int:
    """Measure and print; returns the exit code."""
    parser = asking.parser("explain-bench", "How true, stable and fast explanations are.")
    parser.add_argument("--cut", required=True, help="last day seen, YYYY-MM-DD")
    parser.add_argument("--horizon", type=int, required=True, help="days ahead that are explained")
    asked = parser.parse_args()
    with threadpool_limits(limits=1):
        data = asking.data_of(asked)
        cut = day_of(asked.cut)
        bundle, fresh, trees = _trained(data, cut, asked.seed)
        rows = _rows(data, cut, asked.horizon)
        figures = [
            figure
            for target in bundle.manifest.targets
            for figure in _target_figures(bundle, fresh, target, rows, asked.seed)
        ]
        figures += _library_figures(rows, trees, asked.seed) + _speed_figures(bundle, rows)
    sys.stdout.write(
        f"{len(rows):,} customers by {asked.cut}, {asked.horizon} days ahead; basis "
        f"{bundle.manifest.basis or 'BOOSTING'}, trained for {bundle.manifest.horizons_days} days\n\n"
    )
    table = [[one.what, _text(one.value), one.goal, _verdict(one)] for one in figures]
    sys.stdout.write(asking.shown(["figure", "value", "goal", ""], table) + "\n")
    for target in bundle.manifest.targets:
        strongest = sorted(bundle.manifest.importance.get(target, {}).items(), key=lambda item: -item[1])
        told = ", ".join(f"{name} {weight:.3f}" for name, weight in strongest[:_TOP])
        sys.stdout.write(f"importance, {target}: {told or 'not measured'}\n")
    missed = [one.what for one in figures if not one.passed]
    sys.stdout.write(f"gate: {'MISSED: ' + '; '.join(missed) if missed else 'met'}\n")
    document = asking.head(data) | {
        "rows": [asdict(one) for one in figures],
        "importance": dict(bundle.manifest.importance),
        "met": not missed,
    }
    asking.write_json(asked.json, document)
    return asking.GATE_MISSED if missed and asked.strict else asking.DONE


def _trained(data: Transactions, cut: int, seed: int) -> tuple[Bundle, Bundle, TreeArrays]:
    """A version trained on what was known at the cut, loaded twice, and the first trees it explains."""
    known = data.days.until(cut)
    if not len(known):
        raise FailedPrecondition(
            "No transaction lies before the cut; choose a later CUT.", reason="CUT_TOO_EARLY"
        )
    columns = known.columns()
    columns.pop("known")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "snapshot.parquet"
        pq.write_table(pa.table(columns), path)
        store = LocalArtifactStore(Path(folder) / "artifacts")
        day = EPOCH.fromordinal(EPOCH.toordinal() + cut).isoformat()
        outcome = train("prediction", path, day, "XXX", seed, store, lambda *_: None)
        digest = outcome.artifact_digest
        target = outcome.manifest.targets[0]
        trees = TreeArrays.from_npz(store.read_verified(outcome.manifest.files[explainer_file(target)]))
        return Bundle.load(store, digest), Bundle.load(store, digest), trees


def _rows(data: Transactions, cut: int, horizon: int) -> Features:
    features = featurize(data.days.until(cut), cut, data.customers)
    rows = features[~np.isnan(features[:, SCHEMA.index("age")])]
    rows[:, _HORIZON] = horizon
    return rows


def _target_figures(bundle: Bundle, fresh: Bundle, target: str, rows: Features, seed: int) -> list[Figure]:
    """What holds for one target: adding up, fidelity, stability, the weight of the strongest feature."""
    some = _spread(rows, _SHAP_ROWS)
    found = bundle.explain(target, some, SHAP)
    added = float(np.abs(found.bases + found.contributions.sum(axis=1) - found.explained).max())
    left = log_of(found.values) - found.explained
    residual = found.explained - found.bases - found.contributions.sum(axis=1)
    whole = found.bases + found.contributions.sum(axis=1) + residual + left
    answered = log_of(bundle.score(target, some)["value"])
    fidelity = bundle.manifest.metrics.get(fidelity_metric(target), 1.0)
    against = bundle.explain(target, _spread(rows, _BACKGROUND_ROWS), INTERVENTIONAL)
    apart = np.abs(against.bases + against.contributions.sum(axis=1) - against.explained).max()
    strongest, chance = _taken_away(bundle, target, some, found.contributions, seed)
    return [
        _at_least(f"{target}: fidelity R2, customers left out", fidelity, 0.95, 0.95),
        _at_most(f"{target}: additivity, worst of {len(some)}", added, 1e-12, 1e-9),
        _at_most(f"{target}: with residuals to log(value)", float(np.abs(whole - answered).max()), 1e-5),
        Figure(f"{target}: surrogate residual, mean size", float(np.abs(left).mean())),
        _at_most(f"{target}: interventional additivity", float(apart), 1e-12, 1e-9),
        _more(f"{target}: move without the strongest over chance", strongest, chance),
        *_line_figures(bundle, fresh, target, rows),
    ]


def _line_figures(bundle: Bundle, fresh: Bundle, target: str, rows: Features) -> list[Figure]:
    some = _spread(rows, _LIME_ROWS)
    seeds = range(len(some))
    began = time.process_time()
    lines = bundle.explain(target, some, LIME, list(seeds))
    each_ms = (time.process_time() - began) / len(some) * 1e3
    again = fresh.explain(target, some[:3], LIME, list(seeds)[:3])
    equal = again.contributions.tobytes() == lines.contributions[:3].tobytes()
    others = bundle.explain(target, some, LIME, [seed + 10_000 for seed in seeds])
    r2 = float(np.median(lines.fidelities))
    shared = float(np.mean([*map(_overlap, lines.contributions, others.contributions)]))
    return [
        _at_least(f"{target}: LIME R2, median of {len(some)}", r2, 0.75, 0.70),
        Figure(f"{target}: LIME share below R2 {LOW_FIDELITY_R2:g}", float((lines.fidelities < 0.5).mean())),
        _at_least(f"{target}: LIME top {_TOP} Jaccard of two seeds", shared, 0.85),
        Figure(f"{target}: LIME repeats bit by bit", float(equal), "1", equal, equal),
        _at_most(f"{target}: LIME, ms of 5,000 samples", each_ms, 130.0),
    ]


def _library_figures(rows: Features, own: TreeArrays, seed: int) -> list[Figure]:
    """Our arrays beside the library on the estimator that they were taken from."""
    shap = _shap()
    learnt = np.where(np.isnan(rows).all(axis=0), 0.0, rows.astype(np.float64))
    wanted = np.log1p(learnt[:, SCHEMA.index("sum")]) - 0.01 * learnt[:, SCHEMA.index("since")]
    estimator = HistGradientBoostingRegressor(
        max_iter=150, max_leaf_nodes=15, early_stopping=False, random_state=seed
    ).fit(learnt.astype(np.float32), wanted)
    trees = tree_arrays(Boosted(estimator, 1.0))
    some = _spread(rows, _TIMED)
    ours = ShapExplainer(trees)
    theirs = shap.TreeExplainer(estimator)
    apart = np.abs(ours.contributions(some) - theirs.shap_values(some.astype(np.float64))).max()
    kept = ShapExplainer(own)
    kept_ms = _each_ms(kept.contributions, some, _TIMED)
    built_ms = _each_ms(lambda row: ShapExplainer(own).contributions(row), some, _BUILDS)
    library_ms = _each_ms(
        lambda row: shap.TreeExplainer(estimator).shap_values(row.astype(np.float64)), some, _BUILDS
    )
    batch_ms = _each_ms(lambda _: kept.contributions(some), some, 1) / len(some)
    return [
        _at_most(f"against the {_EXACT_LIBRARY}", float(apart), 1e-6, 1e-6),
        _at_most("SHAP, one row, kept, ms", kept_ms, 0.3),
        _at_most("SHAP, a row of a batch, ms", batch_ms, 0.3),
        Figure("SHAP, built for each call from arrays, ms", built_ms),
        Figure("SHAP, built for each call from the estimator, ms", library_ms),
        _at_least("kept, times as fast as built for each call", library_ms / kept_ms, 50.0),
    ]


def _speed_figures(bundle: Bundle, rows: Features) -> list[Figure]:
    """What a call to the bundle costs, the answer itself included."""
    target, some = bundle.manifest.targets[0], _spread(rows, 2 * _TIMED)
    bundle.explain(target, some[:1])
    once_ms = _each_ms(lambda row: bundle.explain(target, row), some, _TIMED)
    kept_ms = _each_ms(lambda row: bundle.explain(target, row), some, _TIMED)
    apart_ms = _each_ms(lambda row: bundle.explain(target, row, INTERVENTIONAL), some, 20)
    return [
        Figure("bundle: answer and explanation of one row, ms", once_ms),
        Figure("bundle: the same row again, ms", kept_ms),
        Figure("bundle: interventional, one row, ms", apart_ms),
    ]


def _taken_away(
    bundle: Bundle, target: str, rows: Features, shares: FloatArray, seed: int
) -> tuple[float, float]:
    """Mean move of log(value) when the strongest feature, or any one, becomes that of the middle customer."""
    sizes = np.abs(shares.copy())
    sizes[:, _HORIZON] = 0.0
    known = np.where(np.isnan(rows).all(axis=0), np.float32(0), rows)
    middle = np.nanmedian(known, axis=0)
    chance = np.random.default_rng(seed).integers(0, _HORIZON, len(rows))
    before, moves = log_of(bundle.score(target, rows)["value"]), []
    for columns in (sizes.argmax(axis=1), chance):
        without = rows.copy()
        without[np.arange(len(rows)), columns] = middle[columns]
        t_x, age = SCHEMA.index("t_x"), SCHEMA.index("age")
        without[:, t_x] = np.minimum(without[:, t_x], without[:, age])
        moves.append(float(np.abs(log_of(bundle.score(target, without)["value"]) - before).mean()))
    return moves[0], moves[1]


def _overlap(one: FloatArray, other: FloatArray) -> float:
    first, second = ({*np.argsort(-np.abs(shares))[:_TOP].tolist()} for shares in (one, other))
    return len(first & second) / len(first | second)


def _spread(rows: Features, count: int) -> Features:
    return np.asarray(rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)], np.float32)


def _each_ms(call: Callable[[Features], Any], rows: Features, count: int) -> float:
    call(rows[:1])
    gc.collect()
    began = time.process_time()
    for at in range(count):
        call(rows[at % len(rows)][None, :])
    return (time.process_time() - began) / count * 1e3


def _shap() -> Any:
    import shap  # noqa: PLC0415 - seconds to import

    return shap


def _at_most(what: str, value: float, goal: float, gate: float | None = None) -> Figure:
    text = f"<= {goal:g}" + (f" (gate {gate:g})" if gate is not None else "")
    return Figure(what, value, text, value <= goal, gate is None or value <= gate)


def _at_least(what: str, value: float, goal: float, gate: float | None = None) -> Figure:
    text = f">= {goal:g}" + (f" (gate {gate:g})" if gate is not None else "")
    return Figure(what, value, text, value >= goal, gate is None or value >= gate)


def _more(what: str, strongest: float, chance: float) -> Figure:
    is_more = strongest > chance
    return Figure(what, strongest / chance if chance > 0 else None, "> 1", is_more, is_more)


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _verdict(one: Figure) -> str:
    if one.met is None:
        return ""
    return "met" if one.met else "gate met" if one.passed else "MISSED"


if __name__ == "__main__":
    raise SystemExit(asking.run(main))
