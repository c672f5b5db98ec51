"""Brings pins to the services and takes them away again, until each is done or has tried for a week.

Several sidecars may do this at once: a row is claimed for a while, and what ends after a pin was let go of is
removed again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from contextlib import suppress

from cohortlens.core.errors import CohortLensError
from cohortlens.core.telemetry import get_logger
from sidecars.web3.journal.pins import DuePin, PinRows
from sidecars.web3.pinning.backends import Backend, Content
from sidecars.web3.pinning.cid import parse_cid
from sidecars.web3.pinning.errors import PinContentCorrupt, is_for_good
from sidecars.web3.pinning.local import LocalStore
from sidecars.web3.pinning.metrics import PINS
from sidecars.web3.pinning.unixfs import read_file

GIVE_UP_S = 7 * 86_400.0
_AT_ONCE = 4
_IDLE_S = 5.0
_BACK_OFF_MOST_S = 300.0
_JITTER = random.SystemRandom()
_LOG = get_logger(__name__)


class Remotes:
    """Works off what is due at the services.

    Args:
        rows: Pins in the journal.
        local: Where the content is.
        services: The services in use.
    """

    def __init__(self, rows: PinRows, local: LocalStore, services: Sequence[Backend]) -> None:
        self._rows, self._local = rows, local
        self._services: Mapping[str, Backend] = {service.name: service for service in services}
        self._woken = asyncio.Event()
        self.faults: dict[str, str] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the services."""
        return tuple(self._services)

    def wake(self) -> None:
        """Look for work now."""
        self._woken.set()

    async def run(self) -> None:
        """Work until cancelled."""
        if not self._services:
            return
        is_first = True
        while True:
            self._woken.clear()
            try:
                if is_first:
                    await self._rows.retry_denied(self.names, GIVE_UP_S)
                    is_first = False
                worked = await self.step()
            except CohortLensError as error:
                _LOG.warning("pin_work_failed", reason=error.reason)
                worked = 0
            if not worked:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), _IDLE_S)

    async def step(self) -> int:
        """Do what is due now, a few at once; how many that were."""
        due = await self._rows.claim(self.names, _AT_ONCE)
        await asyncio.gather(*(self._try(one) for one in due))
        return len(due)

    async def close(self) -> None:
        """Let the services' connections go."""
        for service in self._services.values():
            await service.close()

    async def _try(self, due: DuePin) -> None:
        try:
            outcome = await (self._remove(due) if due.is_removal else self._keep(due))
            self.faults.pop(due.backend, None)
        except CohortLensError as error:
            outcome = await self._failed(due, error)
            self.faults[due.backend] = error.reason
        except Exception:
            # A fault of ours must not stop the work on the other pins.
            _LOG.exception("pin_try_failed", backend=due.backend)
            outcome = await self._failed(due, CohortLensError("the service could not be asked"))
        PINS.labels(due.backend, outcome).inc()

    async def _keep(self, due: DuePin) -> str:
        cid = parse_cid(due.cid)
        content = Content(
            name=str(due.pin_id),
            cid=cid,
            size_bytes=due.size_bytes,
            pieces=lambda: read_file(self._local.store.get, cid),
            stream=lambda: self._local.read(cid),
        )
        kept = await self._services[due.backend].keep(content, due.remote_id)
        if kept.is_pinned:
            await self._rows.settle(due, "PINNED", reason="", remote_id=kept.remote_id)
            return "pinned"
        return await self._later(due, kept.reason, kept.remote_id, None)

    async def _remove(self, due: DuePin) -> str:
        service = self._services[due.backend]
        if service.has_one_pin_per_cid and await self._rows.is_kept_elsewhere(due):
            await self._rows.settle(due, "REMOVED", reason="KEPT_FOR_ANOTHER_PIN", remote_id="")
            return "shared"
        await service.release(str(due.pin_id), parse_cid(due.cid), due.remote_id)
        await self._rows.settle(due, "REMOVED", reason="", remote_id="")
        return "removed"

    async def _failed(self, due: DuePin, error: CohortLensError) -> str:
        # A removal is never given up: what was let go of must not stay because a token ran out.
        # Content that is not here may be in the store of another sidecar, which claims the row in its turn.
        is_lost = is_for_good(error) or isinstance(error, PinContentCorrupt)
        if is_lost and not due.is_removal:
            _LOG.error("pin_failed", backend=due.backend, reason=error.reason)
            await self._rows.settle(due, "FAILED", reason=error.reason, remote_id="")
            return "failed"
        return await self._later(due, error.reason, due.remote_id, error.retry_delay_s)

    async def _later(self, due: DuePin, reason: str, remote_id: str, at_least_s: float | None) -> str:
        if not due.is_removal and due.age_s > GIVE_UP_S:
            await self._rows.settle(due, "FAILED", reason=reason, remote_id=remote_id)
            return "failed"
        wait_s = _JITTER.uniform(0.0, min(_BACK_OFF_MOST_S, 2.0 ** min(due.attempts, 16)))
        state = "REMOVING" if due.is_removal else "PENDING"
        wait_s = max(wait_s, at_least_s or 0.0)
        await self._rows.settle(due, state, reason=reason, remote_id=remote_id, next_in_s=wait_s)
        return "waiting"
