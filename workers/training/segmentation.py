"""k-means segments on recency, frequency and money; their number by stability and by what they tell.

A k qualifies when refits on bootstrap samples find the same segments and none is tiny; among those, the one
whose segments explain most of the customers' later spend is taken.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, silhouette_score

from cohortlens.contracts.features import SCHEMA
from cohortlens.contracts.manifest import SegmentProfile
from workers.training import naming
from workers.training.datasets import FIRST_CUT_DAYS, MIN_CUSTOMERS, Rows, Snapshot, rows_at
from workers.training.faults import TrainingFault
from workers.training.segment_keys import Former, Lineage, lineage

FloatArray = NDArray[np.float64]

COLUMNS = [SCHEMA.index(name) for name in ("since", "x", "mean")]
"""Columns that the segments are made from."""

MIN_ARI = 0.8
MIN_SHARE_RATIO = 0.03

_KS = range(3, 9)
_REFITS = 10
_STARTS = 4
_ETA2_TIE = 0.005
_SAMPLE = 20_000
"""Customers used to choose k; the final fit uses all."""

_SILHOUETTE_SAMPLE = 2_000
_HOLD_BACK_SHARE = 0.3
_HOLD_BACK_DAYS = 90


@dataclass(frozen=True)
class Scaler:
    """Standardises log1p of the columns.

    Attributes:
        mean: Shape (3,).
        sd: Shape (3,), > 0.
    """

    mean: FloatArray
    sd: FloatArray

    @staticmethod
    def fit(features: NDArray[np.float32]) -> Scaler:
        """Measure mean and standard deviation; a constant column keeps its unit."""
        logs = _logs(features)
        sd = logs.std(axis=0)
        return Scaler(logs.mean(axis=0), np.where(sd > 1e-9, sd, 1.0))

    def apply(self, features: NDArray[np.float32]) -> FloatArray:
        """Rows in standardised units, shape (n, 3)."""
        return (_logs(features) - self.mean) / self.sd


@dataclass(frozen=True)
class Candidate:
    """What one k was worth.

    Attributes:
        k: Number of segments.
        ari: Mean adjusted Rand index of the refits.
        smallest_ratio: Share of the smallest segment.
        eta2: Share of the variance of log1p later spend that the segments explain; 0 where nothing is later.
        silhouette: Reported, not decisive.
    """

    k: int
    ari: float
    smallest_ratio: float
    eta2: float
    silhouette: float

    @property
    def stable(self) -> bool:
        """Whether it qualifies."""
        return self.ari >= MIN_ARI and self.smallest_ratio >= MIN_SHARE_RATIO


@dataclass(frozen=True)
class Segmentation:
    """A fitted segmentation; segments in descending order of total spend a customer.

    Attributes:
        scaler: Scaler.
        centroids: Centres in standardised units, shape (k, 3).
        profiles: Description of each.
        chosen: What the chosen k was worth.
        candidates: All that were tried.
        highest_key: Highest number that a key has or had.
    """

    scaler: Scaler
    centroids: FloatArray
    profiles: tuple[SegmentProfile, ...]
    chosen: Candidate
    candidates: tuple[Candidate, ...]
    highest_key: int = 0

    def assign(self, features: NDArray[np.float32]) -> tuple[NDArray[np.intp], FloatArray]:
        """Index of the nearest centre and distance to it, shape (n,) each."""
        return nearest(self.scaler.apply(features), self.centroids)


def nearest(z: FloatArray, centroids: FloatArray) -> tuple[NDArray[np.intp], FloatArray]:
    """Index of the nearest centre (the first of equals) and Euclidean distance, shape (n,) each."""
    squared = ((z[:, None, :] - centroids[None, :, :]) ** 2).sum(axis=2)
    which = np.argmin(squared, axis=1)
    return np.asarray(which, np.intp), np.sqrt(squared[np.arange(len(z)), which])


def segment(
    snapshot: Snapshot, currency: str, seed: int, *, former: Former | None = None, fixed_k: int = 0
) -> Segmentation:
    """Fit a segmentation at the end of a snapshot.

    Args:
        snapshot: The data.
        currency: Currency of the sentences.
        seed: Seed of everything random.
        former: Segments that serve now, whose keys and names are kept where they are found again.
        fixed_k: Number of segments that was asked for, 2 to 20; chosen by the rule when 0.

    Raises:
        TrainingFault: ``NOTHING_TO_LEARN``: fewer kinds of customers than segments, or than three.
    """
    features = rows_at(snapshot.days, snapshot.customers, snapshot.as_of, (0,))[0].features
    scaler = Scaler.fit(features)
    z = scaler.apply(features)
    kinds, least = _kinds(z), fixed_k or _KS.start
    if kinds < least:
        raise TrainingFault(
            "NOTHING_TO_LEARN",
            f"The customers are of {kinds} kinds by recency, frequency and money; at least {least} are "
            "needed to tell segments apart. Import more transactions, or ask for fewer segments.",
        )
    rng = np.random.default_rng(seed)
    later = hold_back(snapshot)
    ks = [fixed_k] if fixed_k else [k for k in _KS if k <= kinds]
    candidates = tuple(_judge(z, k, later, rng, seed) for k in ks)
    chosen = choose(candidates)
    centroids = centres(z, chosen.k, seed)
    which = nearest(z, centroids)[0]
    total = _means(features[:, SCHEMA.index("sum")].astype(np.float64), which, chosen.k)
    order = np.argsort(-total, kind="stable")
    centroids = centroids[order]
    kept = lineage(centroids, scaler.mean, scaler.sd, former)
    bare = Segmentation(scaler, centroids, (), chosen, candidates, kept.highest)
    return replace(bare, profiles=_profiles(features, z, bare, later, currency, kept))


def hold_back(snapshot: Snapshot) -> Rows | None:
    """Customers at an earlier cut with what they spent since; None when the history is too short for it."""
    days = min(_HOLD_BACK_DAYS, int(_HOLD_BACK_SHARE * snapshot.history_days))
    cut = snapshot.as_of - days
    if days < 1 or cut - snapshot.first_day < FIRST_CUT_DAYS // 2:
        return None
    rows = rows_at(snapshot.days, snapshot.customers, cut, (days,))[0]
    return rows if len(rows) >= MIN_CUSTOMERS else None


def choose(candidates: tuple[Candidate, ...]) -> Candidate:
    """The stable k that explains most, the smaller of near equals; without a stable one, the most stable."""
    stable = [candidate for candidate in candidates if candidate.stable]
    if not stable:
        return max(candidates, key=lambda candidate: (candidate.ari, -candidate.k))
    best = max(candidate.eta2 for candidate in stable)
    return min((c for c in stable if c.eta2 >= best - _ETA2_TIE), key=lambda candidate: candidate.k)


def explained_share(values: FloatArray, groups: NDArray[np.intp]) -> float:
    """Eta squared: variance between groups over all variance; 0 when the values are all equal."""
    centred = values - values.mean()
    whole = float(centred @ centred)
    if whole <= 0:
        return 0.0
    counts = np.bincount(groups)
    sums = np.bincount(groups, weights=centred)
    used = counts > 0
    return float((sums[used] ** 2 / counts[used]).sum()) / whole


def _judge(z: FloatArray, k: int, later: Rows | None, rng: np.random.Generator, seed: int) -> Candidate:
    sample = z if len(z) <= _SAMPLE else z[np.sort(rng.choice(len(z), _SAMPLE, replace=False))]
    whole = nearest(sample, centres(sample, k, seed))[0]
    agreements = []
    for refit in range(_REFITS):
        drawn = sample[rng.integers(len(sample), size=len(sample))]
        if _kinds(drawn) < k:
            agreements.append(0.0)
            continue
        agreements.append(adjusted_rand_score(whole, nearest(sample, centres(drawn, k, seed + refit + 1))[0]))
    found = len(np.unique(whole))
    silhouette = 0.0
    if 1 < found < len(sample):
        size = min(_SILHOUETTE_SAMPLE, len(sample))
        some = rng.choice(len(sample), size, replace=False)
        if 1 < len(np.unique(whole[some])) < size:
            silhouette = float(silhouette_score(sample[some], whole[some]))
    return Candidate(
        k=k,
        ari=float(np.mean(agreements)),
        smallest_ratio=float(np.bincount(whole, minlength=k).min()) / len(sample),
        eta2=_told(later, k, seed),
        silhouette=silhouette,
    )


def _told(later: Rows | None, k: int, seed: int) -> float:
    if later is None:
        return 0.0
    z = Scaler.fit(later.features).apply(later.features)
    if _kinds(z) < k:
        return 0.0
    return explained_share(np.log1p(later.targets["spend"]), nearest(z, centres(z, k, seed))[0])


def _kinds(z: FloatArray) -> int:
    """Rows that differ by more than rounding; k-means cannot find more segments than that."""
    return len(np.unique(np.round(z, 9), axis=0))


def centres(z: FloatArray, k: int, seed: int) -> FloatArray:
    """Centres of k-means, shape (k, d), of rows in standardised units, shape (n, d)."""
    fitted = KMeans(k, n_init=_STARTS, random_state=seed % 2**32).fit(z)
    return np.asarray(fitted.cluster_centers_, np.float64)


def _profiles(
    features: NDArray[np.float32],
    z: FloatArray,
    fitted: Segmentation,
    later: Rows | None,
    currency: str,
    kept: Lineage,
) -> tuple[SegmentProfile, ...]:
    k = len(fitted.centroids)
    which = fitted.assign(features)[0]
    sizes = np.bincount(which, minlength=k)
    means = {
        name: _means(features[:, SCHEMA.index(column)].astype(np.float64), which, k)
        for name, column in (
            ("since_days", "since"),
            ("repeat_days", "x"),
            ("mean_spend", "mean"),
            ("total_spend", "sum"),
        )
    }
    worth = means["total_spend"]
    if later is not None:
        means["later_spend"] = _means(later.targets["spend"], fitted.assign(later.features)[0], k)
        worth = means["later_spend"]
    names = naming.name_segments(z, fitted.centroids, worth, kept.names)
    profiles = []
    for index, (key, name) in enumerate(zip(kept.keys, names, strict=True)):
        centroid = {key: float(values[index]) for key, values in means.items()}
        share = float(sizes[index]) / len(features)
        english, spanish = naming.sentences(int(sizes[index]), share, centroid, currency)
        profiles.append(SegmentProfile(key, name, english, spanish, int(sizes[index]), share, centroid))
    return tuple(profiles)


def _means(values: FloatArray, which: NDArray[np.intp], k: int) -> FloatArray:
    counts = np.bincount(which, minlength=k)
    return np.bincount(which, weights=values, minlength=k) / np.maximum(counts, 1)


def _logs(features: NDArray[np.float32]) -> FloatArray:
    # log(1 + x), not log1p: the graph has no log1p, and parity is to the last digits.
    return np.asarray(np.log(features[:, COLUMNS].astype(np.float64) + 1.0), np.float64)
