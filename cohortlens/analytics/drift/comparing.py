"""From two samples per column to verdicts: statistics, correction for the number of columns, size of effects.

A report compares many columns at once, so significance alone would alarm at every look: a verdict needs a
corrected p-value and an index that matters. See ADR 0045.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cohortlens.analytics.drift import statistics
from cohortlens.analytics.drift.evidently import evidently_verdict
from cohortlens.analytics.drift.models import (
    MIN_ROWS,
    ColumnKind,
    DriftColumn,
    DriftConvention,
    DriftVerdict,
)
from cohortlens.analytics.drift.statistics import CountArray, FloatArray

LEVEL = 0.05
"""Significance, after correction."""

WATCH_FROM, ACT_FROM = 0.10, 0.25
"""Population stability index from which a change matters, and from which to train again (Siddiqi 2006)."""

_RANK = {verdict: rank for rank, verdict in enumerate(DriftVerdict)}
_EVIDENTLY_SHARE = 0.5


@dataclass(frozen=True)
class Pair:
    """One column on both sides.

    Attributes:
        name: Name.
        kind: What it tells about.
        reference: Values of the baseline: float64 with NaN for a missing one, or any categories with None.
        current: Values now, of the same type.
    """

    name: str
    kind: ColumnKind
    reference: NDArray[Any]
    current: NDArray[Any]

    @property
    def is_numerical(self) -> bool:
        """Whether the values are numbers; else they are categories."""
        return bool(np.issubdtype(self.reference.dtype, np.floating))


def compare(
    pairs: Sequence[Pair],
    convention: DriftConvention = DriftConvention.COHORTLENS,
    *,
    calm: frozenset[str] = frozenset(),
) -> tuple[DriftVerdict, tuple[DriftColumn, ...]]:
    """Compare columns and say what the difference means.

    Args:
        pairs: The columns. A column in which values are missing on a side brings a further one for the share.
        convention: Whose rules decide.
        calm: Columns that never say more than CHANGED.

    Returns:
        The verdict of the whole, and the columns, the most alarming first.
    """
    measured = [one for pair in pairs for one in _measured(pair, convention)]
    tested = [at for at, one in enumerate(measured) if one.p_value is not None]
    p_values = [measured[at].p_value or 0.0 for at in tested]
    adjusted = statistics.benjamini_hochberg(p_values)
    holm = statistics.holm(p_values)
    for at, by_rate, by_family in zip(tested, adjusted, holm, strict=True):
        measured[at] = replace(measured[at], p_adjusted=by_rate, p_holm=by_family)
    if convention is DriftConvention.COHORTLENS:
        judged = [_judged(one, is_calm=one.name in calm) for one in measured]
        verdict = _overall(judged)
    else:
        judged = measured
        verdict = _overall_evidently(judged)
    order = sorted(judged, key=lambda one: (-_RANK[one.verdict], -(one.psi or 0.0), one.name))
    return verdict, tuple(order)


def _measured(pair: Pair, convention: DriftConvention) -> Iterable[DriftColumn]:
    reference, current = _known(pair.reference), _known(pair.current)
    yield _column(pair, reference, current, convention)
    gone = len(pair.reference) - len(reference), len(pair.current) - len(current)
    if any(gone):
        yield _missing(pair, *gone)


def _known(side: NDArray[Any]) -> NDArray[Any]:
    if np.issubdtype(side.dtype, np.floating):
        return np.asarray(side[~np.isnan(side)])
    if side.dtype == np.dtype(object):
        return np.asarray(side[np.array([one is not None for one in side], np.bool_)])
    return side


def _column(
    pair: Pair, reference: NDArray[Any], current: NDArray[Any], convention: DriftConvention
) -> DriftColumn:
    blank = DriftColumn(
        name=pair.name,
        kind=pair.kind,
        is_numerical=pair.is_numerical,
        method="",
        rows_reference=len(reference),
        rows_current=len(current),
        statistic=None,
        p_value=None,
        p_adjusted=None,
        p_holm=None,
        psi=None,
        jensen_shannon=None,
        wasserstein_normed=None,
        missing_reference_ratio=_ratio(len(pair.reference) - len(reference), len(pair.reference)),
        missing_current_ratio=_ratio(len(pair.current) - len(current), len(pair.current)),
        mean_reference=None,
        mean_current=None,
        verdict=DriftVerdict.UNKNOWN,
    )
    reason = _too_few(reference, current)
    if reason:
        return replace(blank, reason=reason)
    filled = _numbers(blank, reference, current) if pair.is_numerical else _levels(blank, reference, current)
    if convention is DriftConvention.EVIDENTLY:
        return evidently_verdict(filled, reference, current)
    return filled


def _too_few(reference: NDArray[Any], current: NDArray[Any]) -> str:
    for side, values in (("baseline", reference), ("present", current)):
        if not len(values):
            return f"ALL_MISSING: the {side} side has no value of it"
    for side, values in (("baseline", reference), ("present", current)):
        if len(values) < MIN_ROWS:
            return f"SAMPLE_TOO_SMALL: the {side} side has {len(values)} values of it, {MIN_ROWS} are needed"
    return ""


def _numbers(blank: DriftColumn, reference: FloatArray, current: FloatArray) -> DriftColumn:
    statistic, p_value, method = statistics.kolmogorov_smirnov(reference, current, is_quick=True)
    shares = statistics.evidently_shares(reference, current)
    return replace(
        blank,
        method=method,
        statistic=statistic,
        p_value=p_value,
        psi=statistics.psi_deciles_and_atoms(reference, current),
        jensen_shannon=statistics.jensen_shannon(*shares),
        wasserstein_normed=statistics.wasserstein_normed(reference, current),
        mean_reference=float(np.mean(reference)),
        mean_current=float(np.mean(current)),
    )


def _levels(blank: DriftColumn, reference: NDArray[Any], current: NDArray[Any]) -> DriftColumn:
    counts = statistics.level_counts(reference.tolist(), current.tolist())
    statistic, p_value, method = statistics.chi_square_pooled(*counts)
    shares = statistics.level_shares(*counts)
    return replace(
        blank,
        method=method,
        statistic=statistic,
        p_value=p_value,
        psi=statistics.psi_evidently(*shares),
        jensen_shannon=statistics.jensen_shannon(*shares),
    )


def _missing(pair: Pair, gone_reference: int, gone_current: int) -> DriftColumn:
    rows_reference, rows_current = len(pair.reference), len(pair.current)
    statistic, p_value, method = statistics.two_proportions(
        gone_reference, rows_reference, gone_current, rows_current
    )
    counts = _gone_and_there(gone_reference, rows_reference), _gone_and_there(gone_current, rows_current)
    shares = statistics.level_shares(*counts)
    return DriftColumn(
        name=f"missing.{pair.name}",
        kind=ColumnKind.MISSING,
        is_numerical=False,
        method=method,
        rows_reference=rows_reference,
        rows_current=rows_current,
        statistic=statistic,
        p_value=p_value,
        p_adjusted=None,
        p_holm=None,
        psi=statistics.psi_evidently(*shares),
        jensen_shannon=statistics.jensen_shannon(*shares),
        wasserstein_normed=None,
        missing_reference_ratio=_ratio(gone_reference, rows_reference),
        missing_current_ratio=_ratio(gone_current, rows_current),
        mean_reference=None,
        mean_current=None,
        verdict=DriftVerdict.STABLE if p_value > LEVEL else DriftVerdict.ACT,
    )


def _gone_and_there(gone: int, rows: int) -> CountArray:
    return np.array([gone, rows - gone], np.int64)


def _judged(column: DriftColumn, *, is_calm: bool) -> DriftColumn:
    if column.p_adjusted is None or column.psi is None:
        return column
    if column.p_adjusted > LEVEL:
        verdict = DriftVerdict.STABLE
    elif column.psi < WATCH_FROM or is_calm:
        verdict = DriftVerdict.CHANGED
    else:
        verdict = DriftVerdict.ACT if column.psi >= ACT_FROM else DriftVerdict.WATCH
    return replace(column, verdict=verdict)


def _overall(columns: Sequence[DriftColumn]) -> DriftVerdict:
    """The worst column, where WATCH and ACT also need Holm's p-value: one false alarm in twenty reports."""
    known = [one for one in columns if one.verdict is not DriftVerdict.UNKNOWN]
    if not known:
        return DriftVerdict.UNKNOWN
    allowed = [
        one.verdict
        if (one.p_holm or 0.0) <= LEVEL
        else min(one.verdict, DriftVerdict.CHANGED, key=_RANK.__getitem__)
        for one in known
    ]
    return max(allowed, key=_RANK.__getitem__)


def _overall_evidently(columns: Sequence[DriftColumn]) -> DriftVerdict:
    known = [one for one in columns if one.kind is not ColumnKind.MISSING]
    known = [one for one in known if one.verdict is not DriftVerdict.UNKNOWN]
    if not known:
        return DriftVerdict.UNKNOWN
    drifted = sum(one.verdict is DriftVerdict.ACT for one in known)
    return DriftVerdict.ACT if drifted >= _EVIDENTLY_SHARE * len(known) else DriftVerdict.STABLE


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
