"""Vectors of drift statistics: two samples per column, and the statistics that others computed of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cohortlens.analytics.drift import statistics
from tests.vectors.cases import Case, Format, Vector, differing

RELATIVE = 1e-9
_FOREIGN = "evidently_"
Statistics = Mapping[str, float]


def recognises(content: Mapping[str, Any]) -> bool:
    """Whether content is of this kind."""
    return {"columns", "reference", "current", "expected"} <= content.keys()


def cases(vector: Vector) -> Iterator[Case]:
    """One case for each statistic of each column."""
    content = vector.content
    found = {name: _statistics(kind, *_sides(content, name)) for name, kind in content["columns"].items()}
    p_values = [_p_value(one) for one in found.values()]
    for correction, adjust in _CORRECTIONS.items():
        for name, adjusted in zip(found, adjust(p_values), strict=True):
            found[name][correction] = adjusted
    tolerance = float(content.get("tolerance", 0.0))
    for name, expected in content["expected"].items():
        for statistic, value in expected.items():
            if not statistic.startswith(_FOREIGN):
                ours = found.get(name, {}).get(statistic)
                faults = differing(value, ours, absolute=tolerance, relative=RELATIVE)
                yield Case(f"{name}/{statistic}", faults)


def _sides(content: Mapping[str, Any], name: str) -> tuple[list[Any], list[Any]]:
    reference, current = (
        [one for one in content[side][name] if one is not None] for side in ("reference", "current")
    )
    return reference, current


def _statistics(kind: str, reference: list[Any], current: list[Any]) -> dict[str, float]:
    if kind == "numerical":
        return _numerical(np.array(reference, np.float64), np.array(current, np.float64))
    if kind == "categorical":
        return _categorical(reference, current)
    raise ValueError(f"a column is numerical or categorical, not {kind!r}")


def _numerical(reference: NDArray[np.float64], current: NDArray[np.float64]) -> dict[str, float]:
    statistic, p_value, _ = statistics.kolmogorov_smirnov(reference, current)
    return {
        "ks_statistic": statistic,
        "ks_pvalue": p_value,
        "psi_reference_deciles": statistics.psi_reference_deciles(reference, current),
        "wasserstein_normed": statistics.wasserstein_normed(reference, current),
        **_distances(*statistics.evidently_shares(reference, current)),
    }


def _categorical(reference: list[Any], current: list[Any]) -> dict[str, float]:
    counts = statistics.level_counts(reference, current)
    statistic, p_value = statistics.chi_square(*counts)
    return {
        "chi2_two_sample_statistic": statistic,
        "chi2_two_sample_pvalue": p_value,
        **_distances(*statistics.level_shares(*counts)),
    }


def _distances(reference: NDArray[np.float64], current: NDArray[np.float64]) -> dict[str, float]:
    return {
        "psi_evidently": statistics.psi_evidently(reference, current),
        "jensenshannon_evidently": statistics.jensen_shannon(reference, current),
    }


def _p_value(found: Statistics) -> float:
    return found["ks_pvalue"] if "ks_pvalue" in found else found["chi2_two_sample_pvalue"]


_CORRECTIONS: Mapping[str, Callable[[Sequence[float]], list[float]]] = {
    "pvalue_bh": statistics.benjamini_hochberg,
    "pvalue_holm": statistics.holm,
}

DRIFT = Format("drift", recognises, cases)
"""Two samples and the statistics of their difference."""
