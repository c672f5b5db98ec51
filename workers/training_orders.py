"""What a training is told to do and what it tells back; plain data that crosses process boundaries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class TrainingOrder:
    """A training to run.

    Attributes:
        model: ``segmentation`` or ``prediction``.
        snapshot_digest: Digest of the snapshot in the artifact store, hex.
        as_of: Last day of data, YYYY-MM-DD.
        currency: ISO 4217 currency of the money columns.
        seed: Seed of everything random.
        champion_digest: Version that the new one is held against, hex; empty when none serves.
        cause: Why it is trained, such as ``DRIFT``; for logs.
        run: Identifier of the run: an attempt goes on behind the stages that the one before it finished;
            empty when there is no other attempt.
        segments: Number of segments that was asked for; chosen by the rule when 0.
    """

    model: str
    snapshot_digest: str
    as_of: str
    currency: str
    seed: int
    champion_digest: str = ""
    cause: str = "REQUESTED"
    run: str = ""
    segments: int = 0


@dataclass(frozen=True)
class Progress:
    """Where a training is.

    Attributes:
        stage: What it is doing.
        ratio: Share of the work done, 0 to 1.
    """

    stage: str
    ratio: float


@dataclass(frozen=True)
class Trained:
    """A training that ended well; always the last event.

    Attributes:
        artifact_digest: Digest of the model version, hex.
        manifest_json: Its manifest.
        cpu_s: CPU seconds spent.
    """

    artifact_digest: str
    manifest_json: str
    cpu_s: float


@dataclass(frozen=True)
class Failed:
    """A training that cannot end well; always the last event.

    Attributes:
        reason: Reason in upper snake case.
        message: One sentence for a person.
    """

    reason: str
    message: str


TrainingEvent: TypeAlias = Progress | Trained | Failed
