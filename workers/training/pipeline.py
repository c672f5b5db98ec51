"""Trains one model version from a snapshot: fit, judge, export, hold the export against its source, store.

Called in a process of its own; numeric libraries are held to one thread: equal inputs give equal artifacts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from cohortlens.contracts.artifacts import LocalArtifactStore
from cohortlens.contracts.baseline import BASELINE_FILE
from cohortlens.contracts.features import SCHEMA
from cohortlens.contracts.manifest import GateCriterion, ModelManifest
from workers.runtime.bundle import SEGMENTATION_FILE
from workers.runtime.sessions import Session
from workers.training import export, segmentation
from workers.training.baseline import baseline_npz
from workers.training.datasets import MIN_CUSTOMERS, Snapshot, read_snapshot, rows_at
from workers.training.faults import TrainingFault
from workers.training.gate import segments_against_champion
from workers.training.lineup import Member
from workers.training.prediction import Task, train_prediction
from workers.training.segment_keys import ASKED_K, HIGHEST_KEY, former_segments

Progress = Callable[[str, float], None]
"""Takes the stage (snapshot, features, fit, export, parity, store) and the share of the work done."""

_EPOCH = date(1970, 1, 1)
NO_SEQUENCE = "none"
"""Cell of a training that tries no net on weekly sequences."""


@dataclass(frozen=True)
class TrainOutcome:
    """A stored model version.

    Attributes:
        artifact_digest: Digest of its manifest in the store.
        manifest: Its manifest.
    """

    artifact_digest: str
    manifest: ModelManifest


@dataclass(frozen=True)
class _Order:
    snapshot: Snapshot
    manifest: ModelManifest
    store: LocalArtifactStore
    progress: Progress
    sequence_cell: str
    sequence_head: str
    champion_digest: str
    segments: int
    keeps_segments: bool


def train(
    model: str,
    snapshot_path: Path,
    as_of: str,
    currency: str,
    seed: int,
    store: LocalArtifactStore,
    progress: Progress,
    *,
    sequence_cell: str = "none",
    sequence_head: str = "tweedie",
    champion_digest: str = "",
    segments: int = 0,
    keeps_segments: bool = False,
) -> TrainOutcome:
    """Train a model version and store it.

    Args:
        model: ``segmentation`` or ``prediction``.
        snapshot_path: Parquet of purchase-days.
        as_of: Last day of the data, YYYY-MM-DD.
        currency: ISO 4217 code of its money columns.
        seed: Seed of everything random.
        store: Where the files and the manifest go.
        progress: Told of each stage.
        sequence_cell: Net on weekly sequences to try: ``gru``, ``lstm``, ``transformer`` or ``none``.
        sequence_head: How it learns money: ``tweedie``, or ``lognormal`` for a zero-inflated log-normal.
        champion_digest: Version that the new one is held against, hex; empty when none is active.
        segments: Number of segments that was asked for; chosen by the rule when 0.
        keeps_segments: Whether the number that the champion was asked for holds when ``segments`` is 0.

    Returns:
        The stored version; its gate tells whether it may serve.

    Raises:
        TrainingFault: The data cannot teach a model, or the export differs from what was trained.
        DiskFull: The store has no room.
    """
    trainer = _TRAINERS.get(model)
    if trainer is None:
        raise TrainingFault(
            "MODEL_UNKNOWN", f"There is no model {model[:40]!r}; expected {', '.join(_TRAINERS)}."
        )
    with threadpool_limits(limits=1):
        progress("snapshot", 0.0)
        snapshot = read_snapshot(snapshot_path, (date.fromisoformat(as_of) - _EPOCH).days)
        manifest = ModelManifest(
            model=model,
            schema_hash=SCHEMA.hash,
            data_sha256=_sha256(snapshot_path),
            as_of=as_of,
            currency=currency,
            seed=seed,
            code_version=version("cohortlens"),
        )
        finished = trainer(
            _Order(
                snapshot,
                manifest,
                store,
                progress,
                sequence_cell,
                sequence_head,
                champion_digest,
                segments,
                keeps_segments,
            )
        )
    digest = store.put_bytes(finished.to_json().encode())
    progress("store", 1.0)
    return TrainOutcome(digest, finished)


def sequence_member(cell: str, head: str = "tweedie") -> Member | None:
    """The net on weekly sequences that a training tries; None for the cell ``none``."""
    if cell == NO_SEQUENCE:
        return None
    # torch takes seconds to import and is needed by nobody else.
    from workers.training.sequence.member import SequenceTrainer  # noqa: PLC0415

    return SequenceTrainer(cell, head)


def _train_prediction(order: _Order) -> ModelManifest:
    sequence = sequence_member(order.sequence_cell, order.sequence_head)
    return train_prediction(
        Task(order.snapshot, order.manifest, order.store, order.progress, sequence, order.champion_digest)
    )


def _train_segmentation(order: _Order) -> ModelManifest:
    snapshot = order.snapshot
    snapshot.check_buyers(MIN_CUSTOMERS)
    order.progress("fit", 0.1)
    former = former_segments(order.store, order.champion_digest)
    asked_k = order.segments or (former.asked_k if former is not None and order.keeps_segments else 0)
    fitted = segmentation.segment(
        snapshot, order.manifest.currency, order.manifest.seed, former=former, fixed_k=asked_k
    )
    order.progress("export", 0.8)
    graph = export.segmentation_graph(
        segmentation.COLUMNS, fitted.scaler.mean, fitted.scaler.sd, fitted.centroids
    )
    order.progress("parity", 0.9)
    today = rows_at(snapshot.days, snapshot.customers, snapshot.as_of, (0,))[0]
    features = today.features
    worst = export.check_parity(
        graph, lambda rows: fitted.assign(rows)[1], features, output="distance", floor=1.0
    )
    assigned = fitted.assign(features)[0]
    if (Session(graph).run(features)["segment"] != assigned).any():
        raise TrainingFault("PARITY_FAILED", "The exported segmentation assigns customers to other segments.")
    chosen = fitted.chosen
    keys = np.array([profile.key for profile in fitted.profiles])
    metrics = {
        "k": float(chosen.k),
        "customers": float(len(features)),
        "ari": chosen.ari,
        "smallest_ratio": chosen.smallest_ratio,
        "eta2": chosen.eta2,
        "silhouette": chosen.silhouette,
        "parity": worst,
        HIGHEST_KEY: float(fitted.highest_key),
        ASKED_K: float(asked_k),
    }
    for candidate in fitted.candidates:
        metrics |= {f"ari.k{candidate.k}": candidate.ari, f"eta2.k{candidate.k}": candidate.eta2}
    return replace(
        order.manifest,
        metrics=metrics,
        gate=(
            GateCriterion("parity", worst, export.PARITY_RATIO, passed=True),
            *segments_against_champion(order.store, order.champion_digest, chosen.eta2),
        ),
        files={
            SEGMENTATION_FILE: order.store.put_bytes(graph),
            BASELINE_FILE: order.store.put_bytes(baseline_npz(today, {}, keys[assigned])),
        },
        segments=fitted.profiles,
        notes=() if chosen.stable else ("unstable: no number of segments was found again in refits",),
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as reader:
        return hashlib.file_digest(reader, "sha256").hexdigest()


_TRAINERS = {"prediction": _train_prediction, "segmentation": _train_segmentation}
