"""Training as a Ray task: one process for one training, gone when it ends."""

from __future__ import annotations

import logging
import queue
import resource
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from cohortlens.contracts.artifacts import LocalArtifactStore
from cohortlens.core.errors import CohortLensError
from workers.pandas_import import show_pandas
from workers.training_orders import Failed, Progress, Trained, TrainingEvent, TrainingOrder

logger = logging.getLogger(__name__)

TRAINING_RESOURCE = "training"
"""Ray's name for the slots of which each training takes one."""

Report = Callable[[str, float], None]
"""Takes the stage and the share of the work done."""

Train = Callable[[LocalArtifactStore, TrainingOrder, Report], tuple[str, str]]
"""Trains; gives the artifact digest and the manifest as JSON."""


def pipeline(
    store: LocalArtifactStore,
    order: TrainingOrder,
    report: Report,
    *,
    sequence_cell: str,
    sequence_head: str,
) -> tuple[str, str]:
    """Run ``workers.training.pipeline``, imported here: the supervisor itself must not load torch."""
    show_pandas()
    from workers.training.pipeline import train  # noqa: PLC0415

    store.open_verified(order.snapshot_digest).close()
    outcome = train(
        order.model,
        store.path(order.snapshot_digest),
        order.as_of,
        order.currency,
        order.seed,
        store,
        report,
        sequence_cell=sequence_cell,
        sequence_head=sequence_head,
        champion_digest=order.champion_digest,
        segments=order.segments,
        # A number that somebody asked for holds until somebody asks again.
        keeps_segments=order.cause != "REQUESTED",
    )
    return outcome.artifact_digest, outcome.manifest.to_json()


def events(train: Train, artifact_dir: Path, order: TrainingOrder) -> Iterator[TrainingEvent]:
    """Events of one training, which runs in a thread of this process.

    Args:
        train: Trains.
        artifact_dir: Folder of the artifact store.
        order: What to train.

    Yields:
        Progress, then ``Trained`` or ``Failed``.
    """
    told: queue.SimpleQueue[TrainingEvent] = queue.SimpleQueue()

    def work() -> None:
        try:
            digest, manifest = train(
                LocalArtifactStore(artifact_dir), order, lambda stage, ratio: told.put(Progress(stage, ratio))
            )
            told.put(Trained(digest, manifest, _cpu_s() - before))
        except CohortLensError as fault:
            told.put(Failed(fault.reason, fault.message))
        except BaseException:
            # The thread's end is the only way to tell the caller; the details stay in the log.
            logger.exception("training failed")
            told.put(Failed("TRAINING_FAILED", "the training failed by a fault of ours; its log tells more"))

    before = _cpu_s()
    threading.Thread(target=work, name="training", daemon=True).start()
    while True:
        event = told.get()
        yield event
        if not isinstance(event, Progress):
            return


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class RayTraining:
    """Runs orders as Ray tasks, as many at a time as the cluster has slots.

    Args:
        artifact_dir: Folder of the artifact store.
        sequence_cell: Net on weekly sequences that is tried: gru, lstm, transformer or none.
        sequence_head: How it learns money: tweedie or lognormal.
    """

    def __init__(self, artifact_dir: Path, sequence_cell: str, sequence_head: str) -> None:
        self._artifact_dir = artifact_dir
        self._pipeline = partial(pipeline, sequence_cell=sequence_cell, sequence_head=sequence_head)
        # max_calls ends the process after one training, so that its memory returns to the system.
        self._task: Any = ray.remote(
            num_cpus=1, resources={TRAINING_RESOURCE: 1}, max_calls=1, max_retries=0
        )(events)

    async def run(self, order: TrainingOrder) -> AsyncGenerator[TrainingEvent, None]:
        """Events of one training; closing the generator kills it.

        Yields:
            Progress, then ``Trained`` or ``Failed`` (``TRAINING_CRASHED`` when its process died).
        """
        yield Progress("queued", 0.0)
        stream = self._task.options(name=f"train:{order.model}").remote(
            self._pipeline, self._artifact_dir, order
        )
        ended = False
        try:
            async for reference in stream:
                event: TrainingEvent = await reference
                ended = not isinstance(event, Progress)
                yield event
        except RayError as error:
            ended = True
            logger.error("the training process died: %s", error)
            yield Failed(
                "TRAINING_CRASHED", "the training process died, perhaps for lack of memory; try again"
            )
        finally:
            if not ended:
                ray.cancel(stream, force=True)
