"""Values and errors of the registry."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cohortlens.contracts.manifest import ModelManifest
from cohortlens.core.errors import FailedPrecondition, NotFound

SEGMENTATION = "segmentation"
PREDICTION = "prediction"
MODELS = (SEGMENTATION, PREDICTION)

READY = "READY"
REJECTED = "REJECTED"

CHAMPION = "CHAMPION"
CHALLENGER = "CHALLENGER"


@dataclass(frozen=True, slots=True)
class Challenger:
    """A version that sees a share of the calls beside the active one and never answers them.

    Attributes:
        version: Its number.
        artifact_digest: Digest of its manifest, hex.
        schema_hash: Feature schema it takes, hex.
        horizons_days: Horizons it predicts.
        share_ratio: Share of calls it sees, in (0, 1].
        since: Since when.
    """

    version: int
    artifact_digest: str
    schema_hash: str
    horizons_days: tuple[int, ...]
    share_ratio: float
    since: datetime


@dataclass(frozen=True)
class ModelVersion:
    """One immutable trained model.

    Attributes:
        model: ``segmentation`` or ``prediction``.
        version: Version, from 1.
        state: ``READY`` or ``REJECTED``.
        artifact_digest: Digest of the manifest, hex.
        manifest: What it is and how good.
        created_at: When it was registered.
        active_since: Since when it serves; None unless active.
        challenger: Version that is compared with it; filled in only where ``RegistryService.active`` answers.
    """

    model: str
    version: int
    state: str
    artifact_digest: str
    manifest: ModelManifest
    created_at: datetime
    active_since: datetime | None
    challenger: Challenger | None = None

    @property
    def active(self) -> bool:
        """Whether it serves now."""
        return self.active_since is not None


class NoActiveModel(FailedPrecondition):
    """The tenant has no version of this model that serves."""

    reason = "NO_ACTIVE_MODEL"

    def __init__(self, model: str) -> None:
        super().__init__(
            f"no {model} model is active; import transactions of at least 30 customers or start a training",
            metadata={"model": model},
        )


class VersionNotFound(NotFound):
    """No such version of the tenant's model."""

    def __init__(self, model: str, version: int) -> None:
        text = f"model {model} has no version {version}" if version else f"no version of {model} is active"
        super().__init__(text, metadata={"field": "version"})


class VersionNotReady(FailedPrecondition):
    """The version failed its gate and cannot serve."""

    reason = "VERSION_NOT_READY"

    def __init__(self, model: str, version: int, failed: list[str]) -> None:
        super().__init__(
            f"version {version} of {model} failed its gate ({', '.join(failed)}); promote another version",
            metadata={"model": model, "version": str(version)},
        )


class VersionNotLoadable(FailedPrecondition):
    """The workers refused to load the version; nothing changed.

    Args:
        model: Its model.
        version: Its number.
        cause: Reason of the workers, such as ``ARTIFACT_CORRUPT``.
        why: The workers' sentence.
    """

    reason = "VERSION_NOT_LOADABLE"

    def __init__(self, model: str, version: int, cause: str, why: str) -> None:
        said = _CAUSES.get(cause, f"{cause}: {why}")
        super().__init__(
            f"version {version} of {model} cannot be loaded by the workers ({said}); nothing changed; "
            "choose another version or start a training",
            metadata={"model": model, "version": str(version), "cause": cause},
        )


_CAUSES = {
    "ARTIFACT_CORRUPT": "its files are damaged: they are not what its digest names",
    "ARTIFACT_MISSING": "its files are not in the artifact store",
    "FEATURE_SCHEMA_MISMATCH": "it takes another feature schema than this release computes",
    "MODEL_TOO_LARGE": "it needs more memory than a replica may keep, see COHORTLENS_WORKER_MODEL_MEMORY",
}


class ChallengerIsActive(FailedPrecondition):
    """The version serves already: there is nothing to compare it with."""

    reason = "CHALLENGER_IS_ACTIVE"

    def __init__(self, model: str, version: int) -> None:
        super().__init__(
            f"version {version} of {model} is active; a challenger must be another version",
            metadata={"model": model, "version": str(version)},
        )


class NoChallenger(NotFound):
    """The tenant's model has no challenger."""

    def __init__(self, model: str) -> None:
        super().__init__(f"no challenger of {model} is set", metadata={"field": "model"})


class NoPreviousVersion(FailedPrecondition):
    """Nothing was active before the version that serves now."""

    reason = "NO_PREVIOUS_VERSION"

    def __init__(self, model: str) -> None:
        super().__init__(
            f"no version of {model} was active before the present one", metadata={"model": model}
        )


def previous_version(history: list[tuple[str, int]]) -> int | None:
    """The version to go back to.

    Args:
        history: Actions (``PROMOTED`` or ``ROLLED_BACK``) with the version they made active, oldest first.

    Returns:
        The version that was active before the present one was promoted; None when there was none.
    """
    stack: list[int] = []
    for action, version in history:
        if action == "PROMOTED":
            stack.append(version)
        else:
            stack.pop()
    return stack[-2] if len(stack) > 1 else None


def is_better(candidate: ModelManifest, champion: ModelManifest) -> bool:
    """Whether a version that passed its gate replaces the one that serves.

    A prediction must not lose to the champion in any loss, each measured against the naive forecast on
    its own hold-out; a segmentation must explain as much of later spend, within .005 (design, section 14).
    """
    if candidate.model == SEGMENTATION:
        return candidate.metrics.get("eta2", 0.0) >= champion.metrics.get("eta2", 0.0) - _ETA2_SLACK
    new, old = _losses(candidate), _losses(champion)
    return all(name in new and new[name] <= value + _ROUNDING for name, value in old.items())


def _losses(manifest: ModelManifest) -> dict[str, float]:
    return {one.name: one.value for one in manifest.gate if one.name.endswith(_RELATIVE_LOSS)}


_RELATIVE_LOSS = "_vs_population_mean"
_ETA2_SLACK = 0.005
_ROUNDING = 1e-9
