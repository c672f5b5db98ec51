"""An ``InferenceClient`` without workers, and the arithmetic that stands in for models in tests."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import numpy as np

from cohortlens.analytics.ports import (
    Attributions,
    Features,
    Scores,
    TrainingOrder,
    TrainingProgress,
    TrainingResult,
)
from cohortlens.contracts.asks import ask_of
from cohortlens.core.errors import DeadlineExceeded, InvalidArgument, Unavailable

BAD_DIGEST = "bad" * 21 + "0"
"""A model version that refuses every row."""


def log_values(target: str, features: Features) -> np.ndarray:
    """Log of the predicted value of each row: a weighted sum, so that contributions are known exactly."""
    return _BASE[target] + contributions(target, features).sum(axis=1)


def contributions(target: str, features: Features) -> np.ndarray:
    """Share of each feature, shape (n, columns)."""
    columns = features.shape[1]
    weights = np.linspace(-1.0, 1.0, columns) * _SCALE[target]
    return np.log1p(np.abs(np.nan_to_num(features.astype(np.float64)))) * weights


def attributions(target: str, features: Features) -> Attributions:
    """What the stand-in explainer answers: it knows the model, so nothing is left over."""
    logs, rows = log_values(target, features), len(features)
    shares = contributions(target, features)
    return Attributions(np.full(rows, _BASE[target]), shares, np.exp(logs), logs, np.ones(rows))


_BASE = {"purchases": 0.3, "spend": 2.0, "churn": -0.5}
_SCALE = {"purchases": 0.01, "spend": 0.02, "churn": -0.01}


def scores_of(target: str, features: Features) -> Scores:
    """What the stand-in model answers."""
    if not target:
        since = np.nan_to_num(features[:, 0].astype(np.float64))
        return {"segment": (since >= 3).astype(np.float64), "distance": np.abs(since - 3)}
    ask = ask_of(target)
    value = np.exp(log_values(ask.blended, features))
    if ask.target == "churn":
        value = value / (1 + value)
    if ask.target == "clv":
        value = value / (1 + ask.annual_discount_ratio)
    width = 2.0 ** (ask.level_ratio / 0.8)
    return {"value": value, "lower": value / width, "upper": value * width}


@dataclass
class Sent:
    """One ``score`` call that reached the client."""

    deployment: str
    digest: str
    target: str
    features: Features
    deadline: float
    tenant: str


@dataclass
class FakeInferenceClient:
    """Answers at once, or when ``gate`` is set; ``faults`` are raised one per call before anything is answered.

    Attributes:
        replicas: Live replicas by deployment.
        gate: Calls wait for it.
        faults: Raised by the next calls, in order; None lets one through.
        refused_value: Rows that hold it in column 0 make the whole call fail, as a poisoned row would.
        steps: What ``train`` yields or raises, in order.
    """

    replicas: dict[str, int] = field(
        default_factory=lambda: {"segmentation": 1, "prediction": 1, "explanation": 1, "training": 1}
    )
    gate: asyncio.Event | None = None
    faults: list[Exception | None] = field(default_factory=list)
    refused_value: float | None = None
    steps: list[TrainingProgress | Exception] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    loaded: list[tuple[str, str]] = field(default_factory=list)
    explained: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)
    orders: list[TrainingOrder] = field(default_factory=list)
    cancelled: int = 0
    running: int = 0
    most_running: int = 0

    async def score(
        self, deployment, artifact_digest, schema_hash, target, features, *, deadline, tenant=""
    ) -> Scores:
        self.sent.append(Sent(deployment, artifact_digest, target, features, deadline, tenant))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await self._admit(deployment, artifact_digest, deadline)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        if self.refused_value is not None and (features[:, 0] == self.refused_value).any():
            raise InvalidArgument("a row cannot be scored", reason="FEATURE_OUT_OF_RANGE")
        return scores_of(target, features)

    async def explain(
        self, artifact_digest, schema_hash, target, features, *, deadline, method="shap", seeds=()
    ) -> Attributions:
        self.explained.append((method, tuple(seeds)))
        await self._admit("explanation", artifact_digest, deadline)
        return attributions(target, features)

    async def load_model(self, deployment, artifact_digest, *, deadline) -> int:
        await self._admit(deployment, artifact_digest, deadline)
        self.loaded.append((deployment, artifact_digest))
        return self.replicas[deployment]

    async def live_replicas(self) -> dict[str, int]:
        return dict(self.replicas)

    def replica_count(self, deployment) -> int:
        return self.replicas.get(deployment, 0)

    async def train(self, order: TrainingOrder) -> AsyncIterator[TrainingProgress]:
        self.orders.append(order)
        if not self.replicas.get("training"):
            raise workers_away("training")
        while self.steps:
            step = self.steps.pop(0)
            if isinstance(step, Exception):
                raise step
            yield step
            if step.result is not None:
                return

    async def _admit(self, deployment, digest, deadline) -> None:
        if deadline <= time.monotonic():
            raise DeadlineExceeded("the deadline passed before a worker answered")
        if not self.replicas.get(deployment):
            raise workers_away(deployment)
        if self.gate is not None:
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    await self.gate.wait()
            except TimeoutError:
                raise DeadlineExceeded("the deadline passed before a worker answered") from None
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            raise fault
        if digest == BAD_DIGEST:
            raise InvalidArgument("the model refuses", reason="FEATURE_SCHEMA_MISMATCH")


def workers_away(deployment: str) -> Unavailable:
    """What a client answers when no replica is live."""
    return Unavailable(
        "no worker", reason="WORKERS_UNAVAILABLE", metadata={"deployment": deployment}, retry_delay_s=1.0
    )


def trained(digest: str, manifest_json: str) -> list[TrainingProgress]:
    """The messages of a training that ends well."""
    return [
        TrainingProgress("features", 0.1),
        TrainingProgress("fit", 0.6),
        TrainingProgress("done", 1.0, TrainingResult(digest, manifest_json, 1.5)),
    ]


def is_log_additive(found: Attributions) -> bool:
    """Whether base and contributions add up to the log of each value."""
    sums = found.bases + found.contributions.sum(axis=1)
    return all(math.isclose(total, math.log(value)) for total, value in zip(sums, found.values, strict=True))
