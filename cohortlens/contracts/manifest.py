"""The manifest of a model version: what it was made from, how good it is, which blobs it consists of.

Its canonical JSON is itself a blob; that blob's digest is the version's ``artifact_digest``, so one digest
pins every file. Training writes it, the registry stores it, a replica checks it before it loads anything.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, cast

from cohortlens.contracts.artifacts import ArtifactCorrupt

FORMAT = 1
"""Version of the manifest's own layout."""

SEQUENCE_CELLS = ("gru", "lstm", "transformer")
"""Members of a line-up that read weekly sequences."""


def fidelity_metric(target: str) -> str:
    """Name, in ``metrics``, of the share of a target's variance that its explained trees reproduce."""
    return f"{target}.fidelity_r2"


@dataclass(frozen=True)
class GateCriterion:
    """One criterion that a version must hold before it may serve.

    Attributes:
        name: What was measured.
        value: Measured value.
        threshold: Bound.
        passed: Whether it holds.
    """

    name: str
    value: float
    threshold: float
    passed: bool


@dataclass(frozen=True)
class SegmentProfile:
    """One segment of a segmentation version.

    Attributes:
        key: Key, ``s1`` for the index 0 of the model's output, ``s2`` for 1, and so on.
        name: Name in English, unique in the version.
        sentence: One sentence of numbers in English.
        sentence_es: The same in Spanish.
        size: Customers of the training data.
        share_ratio: Their share.
        centroid: Means by name: ``since_days``, ``repeat_days``, and in major units ``mean_spend`` and
            ``total_spend``.
    """

    key: str
    name: str
    sentence: str
    sentence_es: str
    size: int
    share_ratio: float
    centroid: dict[str, float]


@dataclass(frozen=True)
class IntervalCalibration:
    """Split-conformal 80 % interval of one target, by decile of the prediction.

    Attributes:
        level_ratio: Share of customers the interval covers.
        edges: Upper bounds of the prediction's deciles but the last, ascending, shape (d - 1,).
        lower: Subtracted from a prediction in multiples of its scale, shape (d,).
        upper: Added likewise, shape (d,).
        offset: Scale of a prediction p is sqrt(offset x (p + offset)).
    """

    level_ratio: float
    edges: tuple[float, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    offset: float


@dataclass(frozen=True)
class Blend:
    """How the value of one target is made from the members of the line-up.

    Attributes:
        weights: Share of each member that takes part, by its id; they add up to 1.
        weights_without_sequence: The same for a row without a weekly sequence.
        multiplier: Level of the weighted mean, 1 where it needs no correction.
        knots: Where a probability is bent, ascending (given, meant) pairs; empty for other targets.
        beaten_by: Naive prediction with a smaller loss in the backtest; empty when none has.
    """

    weights: dict[str, float]
    weights_without_sequence: dict[str, float]
    multiplier: float = 1.0
    knots: tuple[tuple[float, float], ...] = ()
    beaten_by: str = ""


@dataclass(frozen=True)
class ModelManifest:
    """What a model version is.

    Attributes:
        model: ``segmentation`` or ``prediction``.
        schema_hash: Hash of the feature schema it takes, hex.
        data_sha256: Digest of the training snapshot, hex.
        as_of: Last day of its data, YYYY-MM-DD.
        currency: ISO 4217 code of its money columns.
        seed: Seed of everything random.
        code_version: Version of the code that trained it.
        targets: ``purchases``, ``spend`` and, since blends, ``churn``; empty for a segmentation.
        horizons_days: Horizons it was trained for; empty for a segmentation.
        metrics: Hold-out metrics such as ``purchases.rmse``; undefined ones are left out.
        gate: Criteria with their verdicts.
        files: Digests of its blobs by name.
        calibration: Interval of each target at the reported horizon by the target's name, and at each horizon
            as ``target:days``.
        segments: Profiles in the order of the model's output.
        notes: Facts for a person, such as ``unstable``.
        basis: ``BLEND``, ``BTYD`` or ``POPULATION_MEAN``, by what the data allows; empty for a segmentation,
            and for a version from before blends, whose graphs alone give the value.
        blends: Blend of each target by its name, and as ``target:mae`` the one that aims at medians.
        btyd: Parameters of each buy-till-you-die model by its id, times in days.
        members: Every member that was tried, with the reason it was dropped for, empty for one that stayed.
        importance: Mean absolute contribution of each feature by target.
        horizon_most_days: Longest horizon that may be asked for; 0 where only ``horizons_days`` may be.
        sequence_hash: Hash of the schema of the weekly sequences it was trained on, hex; empty without a
            member that reads them.
    """

    model: str
    schema_hash: str
    data_sha256: str
    as_of: str
    currency: str
    seed: int
    code_version: str
    targets: tuple[str, ...] = ()
    horizons_days: tuple[int, ...] = ()
    metrics: dict[str, float] = field(default_factory=dict)
    gate: tuple[GateCriterion, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    calibration: dict[str, IntervalCalibration] = field(default_factory=dict)
    segments: tuple[SegmentProfile, ...] = ()
    notes: tuple[str, ...] = ()
    basis: str = ""
    blends: dict[str, Blend] = field(default_factory=dict)
    btyd: dict[str, dict[str, float]] = field(default_factory=dict)
    members: dict[str, str] = field(default_factory=dict)
    importance: dict[str, dict[str, float]] = field(default_factory=dict)
    horizon_most_days: int = 0
    sequence_hash: str = ""

    @cached_property
    def wants_sequence(self) -> bool:
        """Whether a blend gives weight to a model of weekly sequences."""
        return any(member in SEQUENCE_CELLS for blend in self.blends.values() for member in blend.weights)

    @property
    def passed(self) -> bool:
        """Whether every criterion of the gate holds."""
        return all(criterion.passed for criterion in self.gate)

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no blanks, no NaN.

        Raises:
            ValueError: A number is not finite.
        """
        document = {"format": FORMAT, **asdict(self)}
        return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)

    @property
    def digest(self) -> str:
        """SHA-256 in hex of the canonical JSON: the version's ``artifact_digest``."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @staticmethod
    def from_json(text: str | bytes) -> ModelManifest:
        """Read a manifest.

        Raises:
            ArtifactCorrupt: Not a manifest of this format.
        """
        try:
            document = cast("dict[str, Any]", json.loads(text))
            if document.pop("format") != FORMAT:
                raise ArtifactCorrupt("The manifest has a format that this release cannot read; train again.")
            return _build(document)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ArtifactCorrupt(
                "The manifest is not readable; restore the artifact or train again."
            ) from error


def _build(document: dict[str, Any]) -> ModelManifest:
    calibration = {
        target: IntervalCalibration(
            level_ratio=float(entry["level_ratio"]),
            edges=tuple(entry["edges"]),
            lower=tuple(entry["lower"]),
            upper=tuple(entry["upper"]),
            offset=float(entry["offset"]),
        )
        for target, entry in document.pop("calibration").items()
    }
    return ModelManifest(
        gate=tuple(GateCriterion(**entry) for entry in document.pop("gate")),
        segments=tuple(SegmentProfile(**entry) for entry in document.pop("segments")),
        targets=tuple(document.pop("targets")),
        horizons_days=tuple(document.pop("horizons_days")),
        notes=tuple(document.pop("notes")),
        calibration=calibration,
        blends={target: _blend(entry) for target, entry in document.pop("blends", {}).items()},
        **document,
    )


def _blend(entry: dict[str, Any]) -> Blend:
    knots = tuple((float(given), float(meant)) for given, meant in entry.pop("knots"))
    return Blend(knots=knots, **entry)
