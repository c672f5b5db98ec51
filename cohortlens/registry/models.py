"""Values and errors of the registry."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from cohortlens.contracts.manifest import ModelManifest
from cohortlens.core.errors import FailedPrecondition, InvalidArgument, NotFound, Violation

SEGMENTATION = "segmentation"
PREDICTION = "prediction"
MODELS = (SEGMENTATION, PREDICTION)

READY = "READY"
REJECTED = "REJECTED"
RETIRED = "RETIRED"

CHAMPION = "CHAMPION"
CHALLENGER = "CHALLENGER"

ALIAS_MOVED = "registry.alias.moved"
"""Topic of the outbox: another version became active; payload ``model``, ``version``, ``action``."""


class Outcome(StrEnum):
    """What becomes of a version that a training registers."""

    PROMOTED = "PROMOTED"
    CHALLENGER = "CHALLENGER"
    REJECTED = "REJECTED"
    KEPT = "KEPT"


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
        state: ``READY``, ``REJECTED``, or ``RETIRED`` when its files are removed.
        artifact_digest: Digest of the manifest, hex.
        manifest: What it is and how good.
        created_at: When it was registered.
        active_since: Since when it serves; None unless active.
        training_run_id: Run that made it.
        is_challenger: Whether it is compared with the active version.
        challenger: Version that is compared with it; filled in only where ``RegistryService.active`` answers.
    """

    model: str
    version: int
    state: str
    artifact_digest: str
    manifest: ModelManifest
    created_at: datetime
    active_since: datetime | None
    training_run_id: UUID | None = None
    is_challenger: bool = False
    challenger: Challenger | None = None

    @property
    def active(self) -> bool:
        """Whether it serves now."""
        return self.active_since is not None


@dataclass(frozen=True)
class AliasInterval:
    """A time in which one version had one alias.

    Attributes:
        interval_id: Identifier; later ones are greater.
        alias: ``CHAMPION`` or ``CHALLENGER``.
        version: The version.
        start: From this instant on.
        end: Until before this instant; None while it goes on.
        action: ``PROMOTED``, ``ROLLED_BACK`` or ``CHALLENGED``.
        actor: User or program; None when the service did it by itself.
        reason: Why.
        forced: Whether it was promoted although it had failed its gate.
        share_ratio: Share of the calls a challenger sees; None for a champion.
    """

    interval_id: UUID
    alias: str
    version: int
    start: datetime
    end: datetime | None
    action: str
    actor: UUID | None
    reason: str
    forced: bool
    share_ratio: float | None


@dataclass(frozen=True)
class Registered:
    """What became of a version that a training made.

    Attributes:
        version: Its number.
        outcome: What became of it.
        is_new: Whether it was registered now; else an earlier attempt of the same run did it.
    """

    version: int
    outcome: Outcome
    is_new: bool


class NoActiveModel(FailedPrecondition):
    """The tenant has no version of this model that serves.

    Args:
        model: ``segmentation`` or ``prediction``.
        rejected: The newest version, when a training made one that failed its gate.
    """

    reason = "NO_ACTIVE_MODEL"

    def __init__(self, model: str, rejected: ModelVersion | None = None) -> None:
        if rejected is None:
            super().__init__(
                f"no {model} model is active; import transactions of at least 30 customers or start a "
                "training; trainingRuns tell how trainings have ended",
                metadata={"model": model},
            )
            return
        run = f"trainingRuns/{rejected.training_run_id}" if rejected.training_run_id else "its training run"
        super().__init__(
            f"no {model} model is active: version {rejected.version} failed its gate "
            f"({failed_criteria(rejected.manifest)}); see {run}, import what is missing or correct it, and "
            "start a training",
            metadata={
                "model": model,
                "version": str(rejected.version),
                "training_run": str(rejected.training_run_id or ""),
            },
        )


class VersionNotFound(NotFound):
    """No such version of the tenant's model."""

    def __init__(self, model: str, version: int) -> None:
        text = f"model {model} has no version {version}" if version else f"no version of {model} is active"
        super().__init__(text, metadata={"field": "version"})


class VersionNotReady(FailedPrecondition):
    """The version failed its gate, or its files are removed: it cannot be used."""

    reason = "VERSION_NOT_READY"

    def __init__(self, model: str, version: int, why: str) -> None:
        super().__init__(
            f"version {version} of {model} {why}; choose another version",
            metadata={"model": model, "version": str(version)},
        )


class GateNotPassed(FailedPrecondition):
    """The version failed its gate and does not become active unless somebody forces it."""

    reason = "GATE_NOT_PASSED"

    def __init__(self, model: str, version: int, failed: str) -> None:
        super().__init__(
            f"version {version} of {model} failed its gate ({failed}); promote another version, or set force "
            "and give a reason",
            metadata={"model": model, "version": str(version)},
        )


class ReasonRequired(InvalidArgument):
    """Who forces a version past its gate says why."""

    def __init__(self) -> None:
        text = "required with force: say why a version that failed its gate is to serve"
        super().__init__(f"reason: {text}", violations=(Violation("reason", text),))


class BacktestMissing(FailedPrecondition):
    """The version has no backtest to show."""

    reason = "BACKTEST_MISSING"

    def __init__(self, version: int, why: str) -> None:
        super().__init__(
            f"version {version} has no backtest: {why}; start a training for a version that has one",
            metadata={"version": str(version)},
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


def failed_criteria(manifest: ModelManifest) -> str:
    """The criteria of the gate that do not hold, with value and bound, for a person."""
    return ", ".join(
        f"{one.name} is {one.value:.4g}, bound {one.threshold:.4g}" for one in manifest.gate if not one.passed
    )


def is_held_against_champion(manifest: ModelManifest) -> bool:
    """Whether the gate of a version compared it with the active one of its training on the same folds."""
    return any(one.name.endswith(_VS_CHAMPION) for one in manifest.gate)


def is_better(candidate: ModelManifest, champion: ModelManifest) -> bool:
    """Whether a version that passed its gate replaces one that its gate did not hold it against.

    A prediction must not lose to the champion in any loss, each measured against the naive forecast on
    its own hold-out; a segmentation must explain as much of later spend, within .005 (design, section 14).
    """
    if candidate.basis == _MEAN_OF_ALL != champion.basis:
        # No period has judged it, and it says the same of everybody.
        return False
    if candidate.model == SEGMENTATION:
        return candidate.metrics.get("eta2", 0.0) >= champion.metrics.get("eta2", 0.0) - _ETA2_SLACK
    new, old = _losses(candidate), _losses(champion)
    if candidate.basis and not champion.basis:
        # A version from before blends was judged by other measures: nothing says that it is the better one.
        return True
    return all(name in new and new[name] <= value + _ROUNDING for name, value in old.items())


def _losses(manifest: ModelManifest) -> dict[str, float]:
    return {one.name: one.value for one in manifest.gate if one.name.endswith(_RELATIVE_LOSS)}


_VS_CHAMPION = ("loss_vs_champion", "eta2_vs_champion")
_MEAN_OF_ALL = "POPULATION_MEAN"
_RELATIVE_LOSS = "_vs_population_mean"
_ETA2_SLACK = 0.005
_ROUNDING = 1e-9
