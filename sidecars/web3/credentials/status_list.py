"""Status lists of ours: entries drawn at random, bits flipped in one transaction, lists signed and published.

A list is signed at most once a second and renewed while half of its day is left, so that a withdrawal is
public within seconds and a list is never out of date while the sidecar runs.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from prometheus_client import Histogram

from cohortlens.core.errors import CohortLensError, FailedPrecondition, NotFound, ResourceExhausted
from cohortlens.core.telemetry import REGISTRY, get_logger
from sidecars.web3.credentials import bits, suites
from sidecars.web3.credentials.canonical import RdfCanonicalizer, jcs
from sidecars.web3.credentials.documents import LIST_PATH, list_credential, proof_options
from sidecars.web3.credentials.keys import Issuers
from sidecars.web3.journal import status_lists as rows
from sidecars.web3.journal.pool import Journal, JournalTransaction
from sidecars.web3.journal.status_lists import ListRow

MAX_FILL = bits.LIST_BITS * 3 // 4
VALID_FOR = timedelta(hours=24)
RENEW_AFTER = timedelta(hours=12)
AT_MOST_EACH_S = 1.0
_LOOK_EACH_S = 0.5
_PASS_OVER_S = 60.0
_TRIES = 64
_LOG = get_logger(__name__)
_PUBLISHED = Histogram(
    "web3_status_publish_seconds",
    "Seconds to sign and store a version of a status list",
    registry=REGISTRY,
)


@dataclass(frozen=True)
class PublishedList:
    """A list as it is public: its bytes, version, and until when it holds."""

    body: bytes
    version: int
    until: datetime


class StatusLists:
    """The lists of this deployment.

    Args:
        journal: Where they are kept.
        issuers: Sign them.
        canonicalizer: For their proofs.
        base_url: Where they are served, without a slash at its end.
        pool: Threads that sign.
        clock: The time.
    """

    def __init__(
        self,
        journal: Journal,
        issuers: Issuers,
        canonicalizer: RdfCanonicalizer,
        base_url: str,
        pool: Executor,
        clock: Callable[[], datetime],
    ) -> None:
        self._journal = journal
        self._issuers = issuers
        self._canonicalizer = canonicalizer
        self._base_url = base_url
        self._pool = pool
        self._clock = clock
        self._signed: dict[UUID, datetime] = {}
        self._wake = asyncio.Event()

    def url(self, list_id: UUID) -> str:
        """The address of a list."""
        return f"{self._base_url}{LIST_PATH}{list_id}"

    def wake(self) -> None:
        """Have a change published now and not at the next look."""
        self._wake.set()

    async def open_for(self, tx: JournalTransaction, tenant_id: UUID, did: str, count: int) -> ListRow:
        """The list that takes ``count`` more entries, locked; a new one once three quarters are taken."""
        row = await rows.lock_open_list(tx, tenant_id, did)
        if row is not None and row.fill + count > MAX_FILL:
            await rows.close_list(tx, tenant_id, row.list_id)
            row = None
        if row is None:
            row = ListRow(tenant_id, uuid4(), rows.REVOCATION, did, bytes(bits.LIST_BITS // 8), 1, 0)
            await rows.add_list(tx, row)
        return row

    async def draw(self, tx: JournalTransaction, row: ListRow, count: int) -> list[int]:
        """Free indexes, by chance: nobody reads order or volume of issuing from one.

        Raises:
            ResourceExhausted: STATUS_LIST_FULL.
        """
        found: set[int] = set()
        for _ in range(_TRIES):
            drawn = {secrets.randbelow(bits.LIST_BITS) for _ in range(count - len(found))} - found
            found |= drawn - await rows.taken(tx, row.tenant_id, row.list_id, sorted(drawn))
            if len(found) == count:
                # A set of numbers has an order of its own; the credentials get them shuffled.
                drawn_order = list(found)
                secrets.SystemRandom().shuffle(drawn_order)
                return drawn_order
        raise ResourceExhausted("The status list has no free entry; try again.", reason="STATUS_LIST_FULL")

    async def revoke(
        self,
        tx: JournalTransaction,
        tenant_id: UUID,
        list_id: UUID,
        credential_ids: Sequence[UUID],
        reason: str,
    ) -> int:
        """Set the bits of credentials of one list; answers the version that holds them."""
        row = await rows.lock_list(tx, tenant_id, list_id)
        indexes = await rows.revoke_entries(tx, tenant_id, list_id, credential_ids, reason)
        if not indexes:
            return row.version
        return await rows.set_bits(tx, tenant_id, list_id, bits.with_bits(row.bits, indexes))

    async def published(self, list_id: UUID) -> PublishedList:
        """What is public of a list; the first version of a new one is signed here if need be.

        Raises:
            NotFound: There is no such list.
        """
        async with self._journal.transaction(None) as tx:
            found = await rows.published_list(tx, list_id)
            if found is None:
                raise NotFound("There is no status list of this identifier.")
            if found.body is not None and found.until is not None and found.until > self._clock():
                return PublishedList(bytes(found.body), found.version, found.until)
            row = await rows.lock_any_list(tx, list_id)
            assert row is not None
            return await self._publish(tx, row)

    async def run(self) -> None:
        """Publish what changed, and renew what ends soon, until cancelled."""
        while True:
            try:
                while await self._publish_one():
                    pass
            except CohortLensError as error:
                _LOG.warning("status_list_unpublished", reason=error.reason)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), _LOOK_EACH_S)
            self._wake.clear()

    async def _publish_one(self) -> bool:
        now = self._clock()
        recent = now - timedelta(seconds=AT_MOST_EACH_S)
        self._signed = {one: at for one, at in self._signed.items() if at > recent}
        async with self._journal.transaction(None) as tx:
            row = await rows.due_list(tx, now + VALID_FOR - RENEW_AFTER, list(self._signed))
            if row is None:
                return False
            try:
                await self._publish(tx, row)
            except FailedPrecondition as error:
                # One issuer whose key cannot be opened must not keep the others' lists from the public.
                _LOG.error("status_list_unsigned", status_list_id=str(row.list_id), reason=error.reason)
                self._signed[row.list_id] = now + timedelta(seconds=_PASS_OVER_S)
        return True

    async def _publish(self, tx: JournalTransaction, row: ListRow) -> PublishedList:
        """Sign a locked list and make it public: computation only, the transaction waits for no network."""
        now = self._clock()
        signer = await self._issuers.signer_of(tx, row.tenant_id, row.issuer_did)

        def signed() -> bytes:
            document = list_credential(
                self.url(row.list_id), signer.did, row.purpose, bits.encode(row.bits), now, now + VALID_FOR
            )
            options = proof_options(suites.RDFC, signer.kid, now)
            proof = suites.sign(document, options, signer.private, self._canonicalizer)
            return jcs({**document, "proof": proof})

        with _PUBLISHED.time():
            body = await asyncio.get_running_loop().run_in_executor(self._pool, signed)
            until = (now + VALID_FOR).replace(microsecond=0)
            await rows.store_published(tx, row, body, now, until)
        self._signed[row.list_id] = now
        return PublishedList(body, row.version, until)
