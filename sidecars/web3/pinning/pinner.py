"""Pins: content goes to the embedded store first, always; services get it afterwards, from there.

A pin is a row in the journal and a file beside the blocks. The row is written last: whoever sees it finds the
content. What died before that is left to the next collection.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from uuid import UUID

from cohortlens.core.telemetry import get_logger
from sidecars.web3.journal.pins import PinRow, PinRows
from sidecars.web3.pinning.cid import Cid, parse_cid
from sidecars.web3.pinning.envelope import MARK, content_digest, new_key, opened, sealed
from sidecars.web3.pinning.errors import ContentNotFound, PinIdReused, PinStoreBusy, PinTooLarge
from sidecars.web3.pinning.local import LocalStore
from sidecars.web3.pinning.metrics import PINS
from sidecars.web3.pinning.privacy import SEALED_KINDS, check_public, check_size
from sidecars.web3.sealing import Kek

_LOCAL = "embedded"
_PIN_NAME = re.compile(r"([0-9a-f]{32})-([0-9a-f]{32})-[0-9a-f]{10}")
_IN_FLIGHT_S = 3600.0
_LOG = get_logger(__name__)


class Pinner:
    """Makes, reads and lets go of pins.

    Args:
        local: The embedded store.
        rows: Pins in the journal.
        kek: Seals the keys of sealed pins.
        services: Names of the services that get every pin as well.
        wake: Called when a service has work.
        collect: Called when the store has something to collect.
    """

    def __init__(
        self,
        local: LocalStore,
        rows: PinRows,
        kek: Kek,
        services: Sequence[str] = (),
        wake: Callable[[], None] = lambda: None,
        collect: Callable[[], None] = lambda: None,
    ) -> None:
        self._local, self._rows, self._kek = local, rows, kek
        self._services = tuple(services)
        self._wake, self._collect = wake, collect

    async def pin(
        self, tenant_id: UUID, pin_id: UUID, kind: str, size_bytes: int, pieces: AsyncIterator[bytes]
    ) -> PinRow:
        """Pin content; the same identifier with the same content answers the same pin.

        Args:
            tenant_id: Whose it is.
            pin_id: Chosen by the caller; its name at the services, so it must be random.
            kind: RECEIPT, STATUS_LIST and OFFER_TERMS stay as they are, REPORT and ARTIFACT are sealed.
            size_bytes: How many bytes come.
            pieces: The content.

        Raises:
            PinKindRefused: Unknown kind, or public content that has not its form.
            PinTooLarge: More bytes than the kind may have, or others than announced.
            PinIdReused: The identifier belongs to other content, or to a pin that was let go of.
            PinStoreFull: The disk has too little room.
            PinStoreBusy: The same pin is being made by another call.
        """
        check_size(kind, size_bytes)
        counted = _counted(pieces, size_bytes)
        row = await self._rows.find(tenant_id, pin_id)
        if row is not None:
            return await self._again(row, kind, counted)
        make = self._sealed if kind in SEALED_KINDS else self._public
        row = await make(tenant_id, pin_id, kind, counted)
        if not await self._rows.insert(row, self._services):
            return await self._beaten(row)
        PINS.labels(_LOCAL, "pinned").inc()
        self._wake()
        return await self.find(tenant_id, pin_id)

    async def find(self, tenant_id: UUID, pin_id: UUID) -> PinRow:
        """A pin.

        Raises:
            ContentNotFound: The tenant has none of this identifier, or let go of it.
        """
        row = await self._rows.find(tenant_id, pin_id)
        if row is None or row.is_unpinned:
            raise _no_pin()
        return row

    async def content(
        self, tenant_id: UUID, *, pin_id: UUID | None = None, cid: str | None = None
    ) -> AsyncIterator[bytes]:
        """The content of a pin or of a CID; sealed content opens for the tenant that pinned it only.

        Raises:
            ContentNotFound: There is none, or none for this tenant.
            PinContentCorrupt: It is damaged.
            CidUnsupported: The CID is none.
        """
        root, row = await self._located(tenant_id, pin_id, cid)
        if row is None or row.kind not in SEALED_KINDS:
            pieces = self._local.read(root)
        else:
            if row.sealed_key is None:
                raise _no_pin()
            key = self._kek.open(row.sealed_key, _bound_to(tenant_id, row.pin_id))
            bound_to = _bound_to(tenant_id, row.pin_id)
            # Once to see that it is whole and ours, once to hand it out: the tag is at its very end.
            async for _ in opened(self._local.read(root), row.size_bytes, key, bound_to):
                pass
            pieces = opened(self._local.read(root), row.size_bytes, key, bound_to)
        async with aclosing(pieces) as open_pieces:  # type: ignore[type-var]
            async for piece in open_pieces:
                yield piece

    async def unpin(self, tenant_id: UUID, pin_id: UUID) -> None:
        """Let go of a pin; without one it is a success. The key of a sealed one is destroyed at once."""
        row = await self._rows.unpin(tenant_id, pin_id)
        if row is None:
            return
        await self._local.run(self._local.store.unpin, _pin_name(row, parse_cid(row.cid)))
        self._collect()
        self._wake()

    async def check_sealed(self) -> int:
        """Check that every sealed key opens, and seal under the current KEK what is under the previous.

        Raises:
            KekMismatch: A key opens under neither.
        """

        def resealed(tenant_id: UUID, pin_id: UUID, sealed_key: bytes) -> bytes:
            bound_to = _bound_to(tenant_id, pin_id)
            key = self._kek.open(sealed_key, bound_to)
            return sealed_key if self._kek.is_current(sealed_key) else self._kek.seal(key, bound_to)

        return await self._rows.reseal(resealed)

    async def reconcile(self) -> int:
        """Remove files of pins that the journal does not have, or has let go of; how many.

        A process that died between the two leaves such files. Young ones may be of a pin being made.
        """
        removed = 0
        for name, cid in (await self._local.run(self._local.store.pins)).items():
            match = _PIN_NAME.fullmatch(name)
            if match is None:
                continue
            row = await self._rows.find(UUID(match[1]), UUID(match[2]))
            is_young = await self._local.run(self._local.store.pin_age_s, name) < _IN_FLIGHT_S
            is_held = row is not None and not row.is_unpinned and parse_cid(row.cid).key == cid.key
            if not is_held and not (is_young and (row is None or not row.is_unpinned)):
                removed += await self._local.run(self._local.store.unpin, name)
        if removed:
            _LOG.info("pins_reconciled", removed=removed)
            self._collect()
        return removed

    async def _public(self, tenant_id: UUID, pin_id: UUID, kind: str, pieces: AsyncIterator[bytes]) -> PinRow:
        content = b"".join([piece async for piece in pieces])
        check_public(kind, content)
        digest = hashlib.sha256(content).digest()
        row = PinRow(tenant_id, pin_id, kind, "", digest, len(content), None)
        root = await self._local.add(_one(content), lambda cid: _pin_name(row, cid))
        return replace(row, cid=str(root.cid))

    async def _sealed(self, tenant_id: UUID, pin_id: UUID, kind: str, pieces: AsyncIterator[bytes]) -> PinRow:
        key, bound_to = new_key(), _bound_to(tenant_id, pin_id)
        digest = content_digest(key)
        row = PinRow(tenant_id, pin_id, kind, "", b"", 0, self._kek.seal(key, bound_to))
        root = await self._local.add(
            sealed(_fed(pieces, digest.update), key, bound_to), lambda cid: _pin_name(row, cid)
        )
        return replace(row, cid=str(root.cid), content_sha256=digest.digest(), size_bytes=root.file_bytes)

    async def _again(self, row: PinRow, kind: str, pieces: AsyncIterator[bytes]) -> PinRow:
        if row.is_unpinned or row.kind != kind:
            raise _reused()
        if row.sealed_key is None:
            # Kept anew, which costs little and heals what the disk has lost meanwhile.
            made = await self._public(row.tenant_id, row.pin_id, kind, pieces)
            if made.content_sha256 != row.content_sha256:
                await self._local.run(self._local.store.unpin, _pin_name(made, parse_cid(made.cid)))
                raise _reused()
            return row
        digest = content_digest(self._kek.open(row.sealed_key, _bound_to(row.tenant_id, row.pin_id)))
        async for piece in pieces:
            digest.update(piece)
        if digest.digest() != row.content_sha256:
            raise _reused()
        return row

    async def _beaten(self, row: PinRow) -> PinRow:
        stored = await self._rows.find(row.tenant_id, row.pin_id)
        if stored is not None and stored.cid == row.cid and not stored.is_unpinned:
            return stored
        await self._local.run(self._local.store.unpin, _pin_name(row, parse_cid(row.cid)))
        self._collect()
        raise PinStoreBusy("the same pin was made by another call just now; try again", retry_delay_s=0.1)

    async def _located(
        self, tenant_id: UUID, pin_id: UUID | None, cid: str | None
    ) -> tuple[Cid, PinRow | None]:
        if pin_id is not None:
            row = await self.find(tenant_id, pin_id)
            return parse_cid(row.cid), row
        root = parse_cid(cid or "")
        found = await self._rows.by_cid(tenant_id, root.key)
        if found is None:
            head = b"".join([piece async for piece in self._local.read(root, 0, len(MARK))])
            if head == MARK:
                # Sealed, and not by this tenant: it is told that there is nothing.
                raise ContentNotFound(f"the store does not keep {root}; pin its content again")
        return root, found


def _pin_name(row: PinRow, cid: Cid) -> str:
    # Two calls that make the same pin seal differently: each keeps its own until one has won.
    return f"{row.tenant_id.hex}-{row.pin_id.hex}-{cid.digest[:5].hex()}"


def _bound_to(tenant_id: UUID, pin_id: UUID) -> bytes:
    return b"pin" + tenant_id.bytes + pin_id.bytes


async def _counted(pieces: AsyncIterator[bytes], size_bytes: int) -> AsyncIterator[bytes]:
    came = 0
    async for piece in pieces:
        came += len(piece)
        if came > size_bytes:
            break
        yield piece
    if came != size_bytes:
        raise PinTooLarge(f"size_bytes: {size_bytes} bytes were announced, and others came")


async def _fed(pieces: AsyncIterator[bytes], feed: Callable[[bytes], None]) -> AsyncIterator[bytes]:
    async for piece in pieces:
        feed(piece)
        yield piece


async def _one(content: bytes) -> AsyncIterator[bytes]:
    yield content


def _no_pin() -> ContentNotFound:
    return ContentNotFound("pin_id: there is no such pin")


def _reused() -> PinIdReused:
    return PinIdReused("pin_id: belongs to other content, or to a pin that was let go of; choose a new one")
