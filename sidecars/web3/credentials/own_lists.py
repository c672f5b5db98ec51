"""Status lists of ours in memory for the verifier, so that it does not ask the journal for each credential.

A list is compared with the journal once a second at most; its bits are read again when its version is
another. A withdrawal of this process counts at once, one of another sidecar within a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from sidecars.web3.journal import status_lists as rows
from sidecars.web3.journal.pool import Journal
from sidecars.web3.journal.status_lists import CheckedRow

CHECKED_EACH_S = 1.0
MOST_LISTS = 1024
"""Lists that are kept; with 16 KiB of bits each they take 16 MiB."""


@dataclass(frozen=True, slots=True)
class OwnList:
    """A list of ours as the journal had it a second ago at most.

    Attributes:
        issuer_did: Its issuer.
        purpose: ``revocation``.
        bits: Its entries, those that are not public yet as well.
    """

    issuer_did: str
    purpose: str
    bits: bytes


@dataclass(slots=True)
class _Kept:
    until: float
    version: int
    found: OwnList


class OwnLists:
    """Reads lists of ours.

    Args:
        journal: Holds them.
        seconds: A clock that never goes back, in seconds.
    """

    def __init__(self, journal: Journal, seconds: Callable[[], float]) -> None:
        self._journal = journal
        self._seconds = seconds
        self._kept: dict[UUID, _Kept] = {}
        self._asked: dict[UUID, asyncio.Lock] = {}
        self._changes = 0

    async def find(self, list_id: UUID) -> OwnList | None:
        """A list of ours; None where there is none of this identifier.

        Raises:
            JournalUnavailable: It must be compared and the journal does not answer: an old list is no answer.
        """
        kept = self._kept.get(list_id)
        if kept is not None and self._seconds() < kept.until:
            return kept.found
        # Verifications that come together wait for one comparison and do not make one each.
        lock = self._asked.setdefault(list_id, asyncio.Lock())
        try:
            async with lock:
                kept = self._kept.get(list_id)
                if kept is None or self._seconds() >= kept.until:
                    kept = await self._compared(list_id, kept)
        finally:
            if not lock.locked():
                self._asked.pop(list_id, None)
        return kept.found if kept is not None else None

    def changed(self) -> None:
        """Compare every list before its next use: this process has committed a withdrawal."""
        self._changes += 1
        for kept in self._kept.values():
            kept.until = 0.0

    async def _compared(self, list_id: UUID, kept: _Kept | None) -> _Kept | None:
        # What was read before a change, or long ago by the time it arrives, must not count as fresh.
        begun, changes = self._seconds(), self._changes
        async with self._journal.transaction(None) as tx:
            row = await rows.compared_list(tx, list_id, kept.version if kept is not None else 0)
        if row is None:
            return None
        until = begun + CHECKED_EACH_S if changes == self._changes else 0.0
        made = _Kept(until, row.version, _list(row, kept))
        if list_id not in self._kept and len(self._kept) >= MOST_LISTS:
            self._kept.pop(next(iter(self._kept)))
        self._kept[list_id] = made
        return made


def _list(row: CheckedRow, kept: _Kept | None) -> OwnList:
    if row.bits is not None:
        return OwnList(row.issuer_did, row.purpose, bytes(row.bits))
    assert kept is not None
    return kept.found
