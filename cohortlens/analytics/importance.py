"""Global importance: what moves the predictions of one model version, as its training measured it."""

from __future__ import annotations

from dataclasses import dataclass

from cohortlens.contracts.manifest import ModelManifest, fidelity_metric


@dataclass(frozen=True)
class TargetImportance:
    """Features of one target by importance.

    Attributes:
        target: ``purchases``, ``spend`` or ``churn``.
        features: Name, mean absolute contribution (log space, >= 0) and share of the sum (0 to 1), the most
            important first, equal ones by name.
        fidelity_r2: Share of the variance of the log value that the explained model reproduces, at most 1; 0
            when it was not measured.
    """

    target: str
    features: tuple[tuple[str, float, float], ...]
    fidelity_r2: float


def ranked(manifest: ModelManifest, top: int = 0) -> list[TargetImportance]:
    """Rank the features of each target.

    Args:
        manifest: Of the version.
        top: Features to keep; all when 0.

    Returns:
        One per target, by name; none for a version from before importance was measured.
    """
    found = []
    for target in sorted(manifest.importance):
        weights = manifest.importance[target]
        total = sum(weights.values())
        order = sorted(weights.items(), key=lambda item: (-item[1], item[0]))[: top or len(weights)]
        rows = tuple((name, weight, weight / total if total > 0 else 0.0) for name, weight in order)
        found.append(TargetImportance(target, rows, manifest.metrics.get(fidelity_metric(target), 0.0)))
    return found
