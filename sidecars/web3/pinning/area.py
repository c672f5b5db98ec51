"""Pinning as a part of the sidecar: opened with the settings, run in the background, asked for its health."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from cohortlens.core.errors import CohortLensError
from cohortlens.core.telemetry import get_logger
from sidecars.web3.config import Web3Config
from sidecars.web3.journal.pins import PinRows
from sidecars.web3.journal.pool import Journal
from sidecars.web3.pinning.blockstore import Blockstore
from sidecars.web3.pinning.errors import PinStoreFull
from sidecars.web3.pinning.local import LocalStore
from sidecars.web3.pinning.pinner import Pinner
from sidecars.web3.pinning.remotes import Remotes
from sidecars.web3.pinning.services import open_services
from sidecars.web3.sealing import Kek

_THREADS = 4
_UPKEEP_S = 6 * 3600.0
_SOON_S = 1.0
_LOG = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PinningHealth:
    """How pinning is; no address, no credentials.

    Attributes:
        mode: ``embedded-blockstore`` or ``remote``.
        status: ``ok`` or ``degraded``.
        detail: One sentence for a person.
        waiting: Pins that wait or failed, by ``service:state``.
    """

    mode: str
    status: str
    detail: str
    waiting: Mapping[str, int]


class PinningArea:
    """The embedded store, the services and what works on them.

    Args:
        config: Where content is kept.
        journal: The journal, open.
        kek: Seals the keys of pins.
    """

    def __init__(self, config: Web3Config, journal: Journal, kek: Kek) -> None:
        services = open_services(config)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="ipfs")
        self._rows = PinRows(journal)
        self.local = LocalStore(Blockstore(config.folder / "ipfs"), self._threads)
        self._remotes = Remotes(self._rows, self.local, services)
        self._collect = asyncio.Event()
        self._damaged = ""
        self.pinner = Pinner(
            self.local, self._rows, kek, self._remotes.names, self._remotes.wake, self._collect.set
        )

    async def run(self) -> None:
        """Bring pins to the services and tidy the store, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._remotes.run())
            tasks.create_task(self._upkeep())

    async def health(self) -> PinningHealth:
        """How pinning is; never raises."""
        faults = [f"{name}: {reason}" for name, reason in sorted(self._remotes.faults.items())]
        faults += [self._damaged] if self._damaged else []
        waiting: dict[str, int] = {}
        try:
            await self.local.run(self.local.store.check_room)
            waiting = await self._rows.waiting()
        except (CohortLensError, OSError) as error:
            faults.append(error.reason if isinstance(error, CohortLensError) else "PIN_STORE_UNREADABLE")
        if await self.local.run(self.local.store.bad):
            faults.append("damaged blocks were moved to bad/: PIN_CONTENT_CORRUPT")
        names = self._remotes.names
        mode = "remote" if names else "embedded-blockstore"
        told = (
            f"kept here and at {', '.join(names)}"
            if names
            else "not connected to the public IPFS network: CIDs are valid, nobody else can fetch them"
        )
        return PinningHealth(mode, "degraded" if faults else "ok", "; ".join(faults) or told, waiting)

    async def close(self) -> None:
        """Let connections and threads go; call it after ``run`` was cancelled."""
        await self._remotes.close()
        await asyncio.to_thread(self._threads.shutdown)

    async def _upkeep(self) -> None:
        while True:
            try:
                await self.pinner.reconcile()
                while True:
                    await self.local.collect()
                    self._damaged = ""
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._collect.wait(), _UPKEEP_S)
                    if not self._collect.is_set():
                        break
                    # What else is let go of right after goes with it.
                    await asyncio.sleep(_SOON_S)
                    self._collect.clear()
            except (CohortLensError, OSError) as error:
                reason = error.reason if isinstance(error, CohortLensError) else "PIN_STORE_UNREADABLE"
                if not isinstance(error, PinStoreFull):
                    self._damaged = f"the store cannot be tidied: {reason}"
                _LOG.warning("pin_upkeep_failed", reason=reason)
                await asyncio.sleep(60.0)


async def open_pinning(config: Web3Config, journal: Journal, kek: Kek) -> PinningArea:
    """Open the store and the services.

    Raises:
        SettingsInvalid: A setting is wrong or missing.
        KekMismatch: A pin's key opens under none of the configured KEKs.
        OSError: The store's folder cannot be made.
    """
    area = PinningArea(config, journal, kek)
    try:
        resealed = await area.pinner.check_sealed()
    except BaseException:
        await area.close()
        raise
    if resealed:
        _LOG.info("pin_keys_resealed", count=resealed)
    return area
