"""Batch scoring as Ray tasks: one task for one slice, as many at a time as there are slots."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from cohortlens.core.errors import Code
from workers.batch_orders import SliceFailed, SliceOutcome, SlicesOrder

logger = logging.getLogger(__name__)

BATCH_RESOURCE = "batch"
"""Ray's name for the slots of which each slice takes one."""

_RETRIES = 2
_QUEUED = 2


def _slice(root: Path, order: SlicesOrder, slice_: int) -> SliceOutcome:
    # Imported here: the supervisor itself must not load the numeric libraries.
    from workers.batch_slices import score_slice  # noqa: PLC0415

    return score_slice(root, order, slice_)


class RayBatchScoring:
    """Runs orders as Ray tasks. Orders take turns slice by slice, so that none waits for another's end.

    Args:
        root: Folder of the artifact store; every task reads its row group from the one file there.
        slots: Slices scored at the same time.
    """

    def __init__(self, root: Path, slots: int) -> None:
        self._root = root
        # Some wait inside Ray, so that a slot that becomes free has work at once.
        self._window = slots + _QUEUED
        self._turns = asyncio.Semaphore(self._window)
        # A task whose process dies is started again by Ray: scoring a slice twice gives the same file.
        self._task: Any = ray.remote(num_cpus=0, resources={BATCH_RESOURCE: 1}, max_retries=_RETRIES)(_slice)

    async def run(self, order: SlicesOrder) -> AsyncGenerator[SliceOutcome, None]:
        """Outcomes of the slices, in any order; closing the generator drops what has not begun.

        Yields:
            ``SliceScored``; ``SliceFailed`` once, as the last one.
        """
        waiting = deque(order.slices)
        running: set[asyncio.Task[SliceOutcome]] = set()
        try:
            while waiting or running:
                while waiting and len(running) < self._window:
                    running.add(asyncio.create_task(self._one(order, waiting.popleft())))
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for outcome in sorted((task.result() for task in done), key=_failures_last):
                    yield outcome
                    if isinstance(outcome, SliceFailed):
                        return
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _one(self, order: SlicesOrder, slice_: int) -> SliceOutcome:
        async with self._turns:
            reference = self._task.options(name=f"score:{order.batch}:{slice_}").remote(
                self._root, order, slice_
            )
            try:
                outcome: SliceOutcome = await reference
            except asyncio.CancelledError:
                ray.cancel(reference)
                raise
            except RayError as error:
                logger.error("the process of slice %s of batch %s died: %s", slice_, order.batch, error)
                return SliceFailed(
                    Code.UNAVAILABLE,
                    "BATCH_SCORING_CRASHED",
                    "the process that scored died, perhaps for lack of memory; try again",
                )
            return outcome


def _failures_last(outcome: SliceOutcome) -> bool:
    return isinstance(outcome, SliceFailed)
