"""The models a replica keeps in memory: least recently used go first, one load at a time per model.

A model in use is never dropped, so a call that started with a model ends with it.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from cohortlens.core.errors import FailedPrecondition


class Sized(Protocol):
    """What the cache must know of a model."""

    @property
    def memory_bytes(self) -> int:
        """Bytes the model holds."""


ModelT = TypeVar("ModelT", bound=Sized)


class ModelTooLarge(FailedPrecondition):
    """One model alone exceeds the memory set aside for models."""

    reason = "MODEL_TOO_LARGE"


@dataclass
class _Entry(Generic[ModelT]):
    model: ModelT
    memory_bytes: int
    users: int = 0
    used_at: float = 0.0


class ModelCache(Generic[ModelT]):
    """Models by digest under a budget of bytes; for use from one event loop.

    Args:
        load: Loads and warms a model; runs in a thread, and its errors reach the callers.
        budget_bytes: Bytes all kept models may hold together.
        changed: Called after a model came or went.
    """

    def __init__(
        self, load: Callable[[str], ModelT], budget_bytes: int, changed: Callable[[], None] | None = None
    ) -> None:
        self._load = load
        self._budget = budget_bytes
        self._changed = changed
        self._entries: OrderedDict[str, _Entry[ModelT]] = OrderedDict()
        self._loading: dict[str, asyncio.Task[_Entry[ModelT]]] = {}
        # A sum over hundreds of models at the end of every call would cost more than the call.
        self._held_bytes = 0

    @property
    def loaded(self) -> list[str]:
        """Digests of the models in memory, least recently used first."""
        return list(self._entries)

    @property
    def memory_bytes(self) -> int:
        """Bytes that the models in memory hold."""
        return self._held_bytes

    def held(self, digest: str) -> ModelT | None:
        """The model if it is in memory, for work that ends before anything else runs on the event loop."""
        entry = self._entries.get(digest)
        if entry is None:
            return None
        self._entries.move_to_end(digest)
        entry.used_at = time.time()
        return entry.model

    @asynccontextmanager
    async def use(self, digest: str) -> AsyncIterator[ModelT]:
        """The model, loaded if need be, kept at least until the block ends.

        Raises:
            ModelTooLarge: The model alone exceeds the budget.
            Exception: Whatever ``load`` raised; the next call tries again.
        """
        entry = await self._entry(digest)
        entry.users += 1
        entry.used_at = time.time()
        try:
            yield entry.model
        finally:
            entry.users -= 1
            self._trim(keep=None)

    async def preload(self, digest: str, used_at: float) -> None:
        """Load a model ahead of its first call, as one that was used last at ``used_at`` (Unix seconds).

        It is the first to go again until a call uses it, so call this for the busiest model first.

        Raises:
            Exception: Whatever ``load`` raised.
        """
        if digest in self._entries:
            return
        entry = await self._entry(digest, used_at)
        if entry.used_at == used_at and digest in self._entries:
            self._entries.move_to_end(digest, last=False)

    def used_since(self, moment: float) -> dict[str, float]:
        """Models in memory used after ``moment``, with the time of their last use; Unix seconds."""
        return {digest: entry.used_at for digest, entry in self._entries.items() if entry.used_at > moment}

    async def _entry(self, digest: str, used_at: float | None = None) -> _Entry[ModelT]:
        while True:
            entry = self._entries.get(digest)
            if entry is not None:
                self._entries.move_to_end(digest)
                return entry
            task = self._loading.get(digest)
            if task is None:
                task = asyncio.create_task(self._fetch(digest, used_at))
                self._loading[digest] = task
            # A caller that leaves must not take the load away from the others. A caller that wakes late may
            # find the model dropped again by a third one, hence the loop.
            await asyncio.shield(task)

    async def _fetch(self, digest: str, used_at: float | None) -> _Entry[ModelT]:
        try:
            model = await asyncio.to_thread(self._load, digest)
            if model.memory_bytes > self._budget:
                raise ModelTooLarge(
                    f"the model needs {model.memory_bytes} bytes and a replica may keep {self._budget}; "
                    "raise COHORTLENS_WORKER_MODEL_MEMORY"
                )
            entry = self._entries[digest] = _Entry(model, model.memory_bytes)
            # Before anybody is told of it: what is not told when it comes could be lost with the process.
            entry.used_at = time.time() if used_at is None else used_at
            self._held_bytes += entry.memory_bytes
            self._trim(keep=digest)
        finally:
            del self._loading[digest]
        return entry

    def _trim(self, keep: str | None) -> None:
        before = len(self._entries)
        if self._held_bytes > self._budget:
            for digest, entry in list(self._entries.items()):
                if entry.users == 0 and digest != keep:
                    self._held_bytes -= entry.memory_bytes
                    del self._entries[digest]
                if self._held_bytes <= self._budget:
                    break
        if self._changed is not None and (keep is not None or len(self._entries) != before):
            self._changed()
