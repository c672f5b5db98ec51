"""How a prediction is asked for beside its task and horizon, and what its value rests on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from cohortlens.contracts.asks import (
    CHURN,
    CLV,
    DEFAULT_DISCOUNT,
    DEFAULT_LEVEL,
    LEVELS,
    TARGETS,
    Ask,
    calibration_key,
)
from cohortlens.contracts.manifest import SEQUENCE_CELLS, ModelManifest
from cohortlens.core.errors import FailedPrecondition, InvalidArgument, Violation


class Loss(StrEnum):
    """What errors cost; the value in lower case is the one of an ask."""

    RMSE = "RMSE"
    MAE = "MAE"


class Basis(StrEnum):
    """What a value rests on."""

    BLEND = "BLEND"
    BLEND_NO_SEQUENCE = "BLEND_NO_SEQUENCE"
    BTYD = "BTYD"
    POPULATION_MEAN = "POPULATION_MEAN"
    BOOSTING = "BOOSTING"


@dataclass(frozen=True)
class PredictionOptions:
    """How a prediction is asked for.

    Attributes:
        level_ratio: Share of outcomes the interval is to cover.
        loss: What errors cost.
        annual_discount_ratio: Effective discount a year, 0 to 1; of lifetime values alone.
    """

    level_ratio: float = DEFAULT_LEVEL
    loss: Loss = Loss.RMSE
    annual_discount_ratio: float = DEFAULT_DISCOUNT


DEFAULT_OPTIONS = PredictionOptions()
_PLAIN = {target: Ask(target) for target in TARGETS}


class HorizonUnsupported(InvalidArgument):
    """The model does not predict this horizon: it was not trained for it, and reaches no further.

    Args:
        horizon_days: Horizon asked.
        supported: Horizons the model was trained for.
        most_days: Up to which any horizon may be asked for; 0 when only those may.
    """

    reason = "HORIZON_UNSUPPORTED"

    def __init__(self, horizon_days: int, supported: tuple[int, ...], most_days: int = 0) -> None:
        listed = ", ".join(str(days) for days in supported)
        offered = f"1 to {most_days} days" if most_days else listed
        super().__init__(
            f"horizon_days is {horizon_days}, the active model predicts {offered}",
            metadata={"supported": listed} | ({"longest": str(most_days)} if most_days else {}),
            violations=(
                Violation("horizon_days", f"must be {offered if most_days else f'one of {listed}'}"),
            ),
        )


class TaskUnsupported(FailedPrecondition):
    """The version does not predict this task."""

    reason = "TASK_UNSUPPORTED"

    def __init__(self, target: str, targets: tuple[str, ...]) -> None:
        listed = ", ".join(targets)
        super().__init__(
            f"the model version predicts {listed}, not {target}; start a training and use its version",
            metadata={"task": target, "supported": listed},
        )


class OptionUnsupported(InvalidArgument):
    """The version cannot be asked so; names the field."""

    reason = "OPTION_UNSUPPORTED"

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field} {why}", violations=(Violation(field, why),))


def ask_for(manifest: ModelManifest, target: str, options: PredictionOptions = DEFAULT_OPTIONS) -> Ask:
    """What a version is to be asked.

    Args:
        manifest: The version's manifest.
        target: ``purchases``, ``spend``, ``churn`` or ``clv``.
        options: How.

    Raises:
        TaskUnsupported: It does not predict the target.
        OptionUnsupported: It has no such interval or no medians.
    """
    if options is DEFAULT_OPTIONS and target in manifest.targets:
        return _PLAIN[target]
    # A discount of -0 would be another text for the same ask.
    ask = Ask(target, options.level_ratio, options.loss.value.lower(), options.annual_discount_ratio + 0.0)
    if ask.blended not in manifest.targets or (target == CLV and not manifest.blends):
        raise TaskUnsupported(target, tasks_of(manifest))
    levels = levels_of(manifest, ask)
    if ask.level_ratio not in levels:
        raise OptionUnsupported("level_ratio", f"must be one of {', '.join(f'{one:g}' for one in levels)}")
    if options.loss is not Loss.RMSE and ask.blend not in manifest.blends:
        raise OptionUnsupported("loss", f"must be PREDICTION_LOSS_RMSE for {target} with this model version")
    return ask


def tasks_of(manifest: ModelManifest) -> tuple[str, ...]:
    """Targets that a version can be asked for."""
    return (*manifest.targets, CLV) if manifest.blends else manifest.targets


def levels_of(manifest: ModelManifest, ask: Ask) -> tuple[float, ...]:
    """Shares of outcomes that intervals of a version may be asked to cover."""
    if not manifest.blends:
        return (manifest.calibration[ask.blended].level_ratio,)
    days, names = manifest.horizons_days[0], {ask.blend, ask.blended}
    found = tuple(
        level
        for level in LEVELS
        if {calibration_key(name, days, level) for name in names} & manifest.calibration.keys()
    )
    # A probability without a measured interval has the whole range, which covers any share.
    return LEVELS if not found and ask.blended == CHURN else found


def basis_of(manifest: ModelManifest, ask: Ask, *, with_sequence: bool) -> Basis:
    """What the values of a version rest on, for rows with or without their weekly sequence."""
    if not manifest.basis:
        return Basis.BOOSTING
    basis = Basis(manifest.basis)
    if basis is not Basis.BLEND or with_sequence:
        return basis
    wanted = any(member in SEQUENCE_CELLS for member in manifest.blends[ask.blend].weights)
    return Basis.BLEND_NO_SEQUENCE if wanted else basis
