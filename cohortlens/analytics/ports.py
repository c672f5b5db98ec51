"""What the analytics slice needs from outside: somebody who runs models and trains them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float32]
Values = NDArray[np.float64]
Scores = dict[str, Values]
"""Named columns of shape (n,): ``value lower upper`` of predictions, ``segment distance`` of segments."""


@dataclass(frozen=True)
class Attributions:
    """How features make up predictions, in log space.

    Attributes:
        bases: Expected log value before any feature is known, shape (n,), float64.
        contributions: Shape (n, columns), float64, in log space.
        values: Predicted values as ``score`` gives them, shape (n,), float64.
        explained: What the explained model gives in log space, shape (n,), float64.
        fidelities: Share of the variance of the log value that the explained model reproduces, shape (n,).
        imputed: Positions of the features of each row that were filled in; empty when none was.
    """

    bases: Values
    contributions: Values
    values: Values
    explained: Values
    fidelities: Values
    imputed: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True)
class TrainingResult:
    """A trained version that lies in the artifact store.

    Attributes:
        artifact_digest: Digest of the manifest, hex.
        manifest_json: The manifest's text (``cohortlens.contracts.manifest``).
        cpu_s: CPU seconds spent.
    """

    artifact_digest: str
    manifest_json: str
    cpu_s: float


@dataclass(frozen=True)
class TrainingProgress:
    """How far a training is.

    Attributes:
        stage: What it is doing, such as ``fit``.
        progress_ratio: Share done, 0 to 1.
        result: The trained version, in the last message only.
    """

    stage: str
    progress_ratio: float
    result: TrainingResult | None = None


@dataclass(frozen=True)
class TrainingOrder:
    """What to train on.

    Attributes:
        model: ``segmentation`` or ``prediction``.
        snapshot_digest: Digest of the snapshot in the artifact store, hex.
        as_of: Last day of data.
        currency: ISO 4217 code of the money columns.
        seed: Seed of everything random.
        champion_digest: Version that the new one is held against, hex; empty when none serves.
        cause: Why it is trained, such as ``DRIFT``; for logs.
        run: Identifier of the run: an attempt goes on behind the stages that the one before it finished.
        segments: Number of segments that was asked for; chosen by the rule when 0.
    """

    model: str
    snapshot_digest: str
    as_of: date
    currency: str
    seed: int
    champion_digest: str = ""
    cause: str = "REQUESTED"
    run: str = ""
    segments: int = 0


class InferenceClient(Protocol):
    """Runs model versions on feature rows; implemented by ``adapters/inference.py``, wrapped by the gateway.

    Deadlines are monotonic times (``time.monotonic``). Cancelling a call cancels the work behind it.
    """

    async def score(
        self,
        deployment: str,
        artifact_digest: str,
        schema_hash: str,
        target: str,
        features: Features,
        *,
        deadline: float,
        tenant: str = "",
    ) -> Scores:
        """Score rows.

        Args:
            deployment: ``segmentation`` or ``prediction``.
            artifact_digest: Model version, hex.
            schema_hash: Schema of the rows, hex.
            target: What is predicted, as ``contracts.asks`` writes it; empty for segmentation.
            features: Shape (n, columns), float32, n >= 1.
            deadline: Monotonic time by which the answer must be there.
            tenant: Whose call it is, for fairness between tenants.

        Raises:
            InvalidArgument: The rows do not fit the model.
            Unavailable: No replica answers (``WORKERS_UNAVAILABLE``) or too many rows wait (``OVERLOADED``).
            DeadlineExceeded: The deadline passed.
        """

    async def explain(
        self,
        artifact_digest: str,
        schema_hash: str,
        target: str,
        features: Features,
        *,
        deadline: float,
        method: str = "shap",
        seeds: Sequence[int] = (),
    ) -> Attributions:
        """Attribute predictions to features; errors as for ``score``.

        Args:
            artifact_digest: See ``score``.
            schema_hash: See ``score``.
            target: See ``score``.
            features: See ``score``.
            deadline: See ``score``.
            method: ``shap``, ``shap_interventional`` or ``lime``.
            seeds: One per row for ``lime``, 0 to 2^32 - 1.

        Raises:
            FailedPrecondition: ``METHOD_UNSUPPORTED``: the version lacks what the method needs.
        """

    async def load_model(self, deployment: str, artifact_digest: str, *, deadline: float) -> int:
        """Load and warm a version on the live replicas that keep it warm, two of many; returns how many did.

        Raises:
            Unavailable: No replica of the deployment is live (``WORKERS_UNAVAILABLE``).
        """

    async def live_replicas(self) -> dict[str, int]:
        """Live replicas by deployment, as last known."""

    def replica_count(self, deployment: str) -> int:
        """Live replicas of one deployment as last known, without waiting."""

    def train(self, order: TrainingOrder) -> AsyncIterator[TrainingProgress]:
        """Train one model; the last item holds the result.

        Raises:
            Unavailable: Nobody trains now (``WORKERS_UNAVAILABLE``).
            FailedPrecondition: The data cannot be trained on, with the trainer's reason.
        """
