"""``make segment-bench``: how stable segments are and how much of later spend they tell, for every k.

Beside k-means stand six rule segments and a Gaussian mixture. Nothing after the cut is seen but by the column
``eta2``: the share of the variance of log1p spend within the horizon that the segments explain.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (
    adjusted_rand_score,
    calinski_harabasz_score,
    davies_bouldin_score,
    silhouette_score,
)
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from cohortlens.contracts.features import SCHEMA
from cohortlens.core.errors import FailedPrecondition
from workers.bench import asked as asking
from workers.bench.transactions import EPOCH, Transactions, day_of
from workers.runtime.sessions import Session
from workers.training import export, segmentation
from workers.training.datasets import Rows, Snapshot, rows_at
from workers.training.segmentation import Scaler, explained_share, nearest

FloatArray = NDArray[np.float64]
Labels = NDArray[np.intp]
Fit = Callable[[FloatArray, int], Callable[[FloatArray], Labels]]
"""Takes standardised rows and a seed, gives what tells the segment of rows."""

KS = range(2, 9)
_REFITS = 10
_SCORED = 5_000
_SHARE_BEFORE_CUT = 0.7
_ARI_GATE, _ARI_GOAL = 0.80, 0.85
_TIMED = 2_000


@dataclass(frozen=True)
class Figure:
    """What one way to segment is worth.

    Attributes:
        way: Its name.
        segments: Number of segments.
        ari: Mean adjusted Rand index of refits on bootstrap samples; None for fixed rules.
        smallest_ratio: Share of the smallest segment.
        silhouette: Mean silhouette of at most 5,000 customers.
        calinski_harabasz: Calinski-Harabasz index.
        davies_bouldin: Davies-Bouldin index.
        eta2: Share of the variance of log1p later spend that the segments explain.
    """

    way: str
    segments: int
    ari: float | None
    smallest_ratio: float
    silhouette: float
    calinski_harabasz: float
    davies_bouldin: float
    eta2: float


def main() -> int:
    """Measure and print; returns the exit code."""
    parser = asking.parser("segment-bench", "Stability and use of segments, for every k.")
    parser.add_argument(
        "--cut", default="", help="last day seen, YYYY-MM-DD; 70 % of the span when not given"
    )
    parser.add_argument("--horizon", type=int, default=0, help="days of later spend; the rest when not given")
    asked = parser.parse_args()
    with threadpool_limits(limits=1):
        data = asking.data_of(asked)
        cut, horizon = _window(data, asked.cut, asked.horizon)
        known = data.days.until(cut)
        snapshot = Snapshot(known, data.customers, _first_day(data), cut)
        rows = rows_at(known, data.customers, cut, (horizon,))[0]
        later = np.log1p(rows_at(data.days, data.customers, cut, (horizon,))[0].targets["spend"])
        figures = _figures(rows, later, asked.seed)
        fitted = segmentation.segment(snapshot, "", asked.seed)
        which = fitted.assign(rows.features)[0]
        default = explained_share(later, which)
        day = EPOCH.fromordinal(EPOCH.toordinal() + cut).isoformat()
        sys.stdout.write(f"{len(rows):,} customers by {day}, spend of {horizon} days after it\n\n")
        _print_ways(figures)
        _print_chosen(fitted, which, np.expm1(later), default)
        rules = next(one for one in figures if one.way == "six rules")
        met = fitted.chosen.ari >= _ARI_GATE and default >= rules.eta2
        sys.stdout.write(
            f"\ngate: ARI {fitted.chosen.ari:.3f} of {_ARI_GATE} (goal {_ARI_GOAL}), eta2 {default:.3f} "
            f"of the rules' {rules.eta2:.3f}: {'met' if met else 'MISSED'}\n"
        )
        document = asking.head(data) | {
            "rows": [asdict(one) for one in figures],
            "selected": {"k": fitted.chosen.k, "ari": fitted.chosen.ari, "eta2": default, "met": met},
        }
        asking.write_json(asked.json, document)
    return asking.DONE if met or not asked.strict else asking.GATE_MISSED


def _window(data: Transactions, cut: str, horizon: int) -> tuple[int, int]:
    first, last = _first_day(data), int(data.days.day.max())
    day = day_of(cut) if cut else first + int(_SHARE_BEFORE_CUT * (last - first))
    days = horizon or last - day
    if not first < day < last or days < 1 or day + days > last:
        raise FailedPrecondition(
            f"The cut must lie within the data and {days} days of data must follow it; the data ends "
            f"{EPOCH.fromordinal(EPOCH.toordinal() + last)}. Choose an earlier CUT or a shorter HORIZON.",
            reason="HORIZON_NOT_OBSERVED",
        )
    return day, days


def _first_day(data: Transactions) -> int:
    return int(data.days.day[data.days.orders > 0].min())


def _figures(rows: Rows, later: FloatArray, seed: int) -> list[Figure]:
    z = Scaler.fit(rows.features).apply(rows.features)
    found = [_figure(f"k-means {k}", z, _k_means(k), later, seed) for k in KS]
    found.append(_figure("six rules", z, _rules, later, seed, is_fixed=True))
    k = max(KS)
    return [*found, _figure(f"mixture {k}", z, _mixture(k), later, seed)]


def _figure(
    way: str, z: FloatArray, fit: Fit, later: FloatArray, seed: int, *, is_fixed: bool = False
) -> Figure:
    which = fit(z, seed)(z)
    rng = np.random.default_rng(seed)
    refits = [
        adjusted_rand_score(which, fit(z[rng.integers(len(z), size=len(z))], seed + 1 + at)(z))
        for at in range(0 if is_fixed else _REFITS)
    ]
    some = rng.choice(len(z), min(len(z), _SCORED), replace=False)
    sizes = np.unique(which, return_counts=True)[1]
    return Figure(
        way,
        len(sizes),
        float(np.mean(refits)) if refits else None,
        float(sizes.min()) / len(z),
        float(silhouette_score(z[some], which[some])),
        float(calinski_harabasz_score(z, which)),
        float(davies_bouldin_score(z, which)),
        explained_share(later, which),
    )


def _k_means(k: int) -> Fit:
    def fit(z: FloatArray, seed: int) -> Callable[[FloatArray], Labels]:
        centroids = segmentation.centres(z, k, seed)
        return lambda rows: nearest(rows, centroids)[0]

    return fit


def _mixture(k: int) -> Fit:
    def fit(z: FloatArray, seed: int) -> Callable[[FloatArray], Labels]:
        mixture = GaussianMixture(k, n_init=1, random_state=seed, reg_covar=1e-4).fit(z)
        return lambda rows: np.asarray(mixture.predict(rows), np.intp)

    return fit


def _rules(z: FloatArray, _seed: int) -> Callable[[FloatArray], Labels]:
    """Six segments by quintiles of recency and frequency, as marketing hand-books have them."""
    recency_edges, frequency_edges = (np.quantile(z[:, at], [0.2, 0.4, 0.6, 0.8]) for at in (0, 1))

    def tell(rows: FloatArray) -> Labels:
        recency = 5 - np.searchsorted(recency_edges, rows[:, 0], side="left")
        frequency = 1 + np.searchsorted(frequency_edges, rows[:, 1], side="left")
        is_recent, is_frequent = recency >= 4, frequency >= 4
        conditions = [
            is_recent & is_frequent,
            (recency == 3) & is_frequent,
            is_recent,
            (recency == 3),
            is_frequent,
        ]
        return np.asarray(np.select(conditions, range(5), 5), np.intp)

    return tell


def _print_ways(figures: list[Figure]) -> None:
    rows = [
        [
            one.way,
            str(one.segments),
            "-" if one.ari is None else f"{one.ari:.3f}",
            f"{100 * one.smallest_ratio:.1f} %",
            f"{one.silhouette:.3f}",
            f"{one.calinski_harabasz:,.0f}",
            f"{one.davies_bouldin:.3f}",
            f"{one.eta2:.3f}",
        ]
        for one in figures
    ]
    headings = ["way", "segments", "ARI", "smallest", "silhouette", "CH", "DB", "eta2 of later spend"]
    sys.stdout.write(asking.shown(headings, rows) + "\n")


def _print_chosen(
    fitted: segmentation.Segmentation, which: Labels, spend: FloatArray, default: float
) -> None:
    chosen = fitted.chosen
    told = "stable" if chosen.stable else "unstable: the most stable k, none qualifies"
    sys.stdout.write(f"\nchosen: k = {chosen.k}, ARI {chosen.ari:.3f}, eta2 {default:.3f}, {told}\n")
    counts = np.bincount(which, minlength=chosen.k)
    means = np.bincount(which, weights=spend, minlength=chosen.k) / np.maximum(counts, 1)
    rows = [
        [profile.key, profile.name, f"{counts[at]:,}", f"{means[at]:,.2f}"]
        for at, profile in enumerate(fitted.profiles)
    ]
    sys.stdout.write(asking.shown(["key", "name", "customers", "mean later spend"], rows, left=2) + "\n")
    sys.stdout.write(
        f"assigning one customer: {_assign_us(fitted):.1f} us of CPU through the version's graph\n"
    )


def _assign_us(fitted: segmentation.Segmentation) -> float:
    graph = export.segmentation_graph(
        segmentation.COLUMNS, fitted.scaler.mean, fitted.scaler.sd, fitted.centroids
    )
    session, row = Session(graph), np.ones((1, len(SCHEMA.columns)), np.float32)
    session.run(row)
    before = time.process_time()
    for _ in range(_TIMED):
        session.run(row)
    return (time.process_time() - before) * 1e6 / _TIMED


if __name__ == "__main__":
    sys.exit(asking.run(main))
