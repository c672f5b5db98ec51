"""Issuers and their keys: made on first use, sealed at rest, rotated, told to verifiers.

One Ed25519 key per tenant is active. A did:key issuer gets a new DID with a new key; a did:web issuer keeps
its DID and lists its keys. The platform's tenant is the deployment itself.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from cohortlens.core.errors import FailedPrecondition, NotFound
from cohortlens.core.ids import PLATFORM_TENANT_ID
from sidecars.web3.credentials import did as dids
from sidecars.web3.credentials.multikeys import ED25519, PublicKey, public_of
from sidecars.web3.credentials.reading import JsonObject
from sidecars.web3.credentials.resolution import OwnKey
from sidecars.web3.journal import issuer_keys as rows
from sidecars.web3.journal.issuer_keys import IssuerRow, KeyRow
from sidecars.web3.journal.pool import Journal, JournalTransaction
from sidecars.web3.sealing import Kek

ACTIVE, RETIRED, COMPROMISED = "ACTIVE", "RETIRED", "COMPROMISED"
_KEPT_S = 600.0
# How long a verifier may take a key for what it was: a compromised one is refused everywhere a second later.
_FOUND_S = 1.0
_MOST_FOUND = 4096
_MOST_KEPT = 256
_SECRET_BYTES = 32
_PAIRWISE = b"pairwise"


class IssuerKeyMissing(FailedPrecondition):
    """The tenant has no key in use."""

    reason = "ISSUER_KEY_MISSING"

    def __init__(self) -> None:
        super().__init__("The issuer has no active key; rotate it: POST /api/v1/issuer:rotateKey.")


@dataclass(frozen=True)
class Signer:
    """An issuer that can sign.

    Attributes:
        did: Its DID.
        kid: DID URL of the key.
        private: The key; never leaves this process.
    """

    did: str
    kid: str
    private: Ed25519PrivateKey


@dataclass
class _Opened:
    until: float
    private: Ed25519PrivateKey


class Issuers:
    """The issuers of this deployment.

    Args:
        journal: Where they are kept.
        kek: Seals their keys.
        web_host: Host of did:web issuers, ``name`` or ``name:port``; empty for did:key.
        seconds: A clock that never goes back, in seconds.
    """

    def __init__(self, journal: Journal, kek: Kek, web_host: str, seconds: Callable[[], float]) -> None:
        self._journal = journal
        self._kek = kek
        self._web_host = web_host
        self._seconds = seconds
        self._opened: dict[str, _Opened] = {}
        self._found: dict[str, tuple[float, OwnKey | None]] = {}

    async def ensure(self, tx: JournalTransaction, tenant_id: UUID, now: datetime) -> IssuerRow:
        """The issuer of a tenant, locked; made with its first key when there is none.

        Raises:
            IssuerKeyMissing: It has keys and none is in use.
        """
        issuer = await rows.lock_issuer(tx, tenant_id)
        if issuer is None:
            sealed = self._kek.seal(secrets.token_bytes(_SECRET_BYTES), tenant_id.bytes + _PAIRWISE)
            issuer = await rows.add_issuer(tx, IssuerRow(tenant_id, uuid4(), sealed))
        key = await rows.active_key(tx, tenant_id)
        if key is None:
            if await rows.keys_of(tx, tenant_id):
                raise IssuerKeyMissing
            await self._add_key(tx, issuer, now)
        elif self._web_host and key.did != self._web_did(issuer):
            # The installation got its name: from now on its issuers are found under it.
            await rows.end_key(tx, tenant_id, key.kid, RETIRED, now)
            await self._add_key(tx, issuer, now)
        return issuer

    async def signer(self, tx: JournalTransaction, tenant_id: UUID) -> Signer:
        """What a tenant signs with now.

        Raises:
            IssuerKeyMissing: There is no key in use.
        """
        key = await rows.active_key(tx, tenant_id)
        if key is None:
            raise IssuerKeyMissing
        return self.opened(key)

    async def signer_of(self, tx: JournalTransaction, tenant_id: UUID, did: str) -> Signer:
        """What signs for a DID of a tenant: a did:key signs its old lists for ever, no other key could.

        Raises:
            IssuerKeyMissing: The tenant never had that DID.
        """
        key = await rows.newest_key(tx, tenant_id, did)
        if key is None:
            raise IssuerKeyMissing
        return self.opened(key)

    async def rotate(self, tx: JournalTransaction, issuer: IssuerRow, state: str, now: datetime) -> KeyRow:
        """Put a new key in the place of the active one, which ends as RETIRED or COMPROMISED."""
        key = await rows.active_key(tx, issuer.tenant_id)
        if key is not None:
            await rows.end_key(tx, issuer.tenant_id, key.kid, state, now)
            self._opened.pop(key.kid, None)
        return await self._add_key(tx, issuer, now)

    def forget_found(self) -> None:
        """Read keys anew, after a change of this process was committed."""
        self._found.clear()

    def pairwise_key(self, issuer: IssuerRow) -> bytes:
        """The tenant's key for identifiers of subjects, 32 bytes."""
        return self._kek.open(issuer.sealed_pairwise, issuer.tenant_id.bytes + _PAIRWISE)

    async def find(self, kid: str) -> OwnKey | None:
        """The key named by a DID URL, if it is one of ours: for verifiers; at most a second old."""
        now = self._seconds()
        until, known = self._found.get(kid, (0.0, None))
        if until <= now:
            known = await self._read(kid)
            if len(self._found) >= _MOST_FOUND:
                self._found.clear()
            self._found[kid] = (now + _FOUND_S, known)
        return known

    async def _read(self, kid: str) -> OwnKey | None:
        async with self._journal.transaction(None) as tx:
            row = await rows.key_named(tx, kid.partition("#")[0], kid)
        if row is None:
            return None
        return OwnKey(PublicKey(ED25519, row.public_key).multibase, row.state, row.not_after)

    async def keys(self, tenant_id: UUID, now: datetime) -> tuple[IssuerRow, list[KeyRow]]:
        """An issuer and its keys, the active one first; made when there is none."""
        async with self._journal.transaction(tenant_id) as tx:
            issuer = await self.ensure(tx, tenant_id, now)
            return issuer, await rows.keys_of(tx, tenant_id)

    async def document(self, issuer_id: UUID | None, now: datetime) -> tuple[JsonObject, int]:
        """The DID document of an issuer, or of the deployment, and its version.

        Raises:
            NotFound: There is no such issuer.
        """
        tenant_id: UUID = PLATFORM_TENANT_ID
        if issuer_id is not None:
            async with self._journal.transaction(None) as tx:
                issuer = await rows.issuer_of(tx, issuer_id)
            if issuer is None:
                raise NotFound("There is no issuer of this identifier.")
            tenant_id = issuer.tenant_id
        _, keys = await self.keys(tenant_id, now)
        did = keys[0].did
        shown = [
            (key.kid, PublicKey(ED25519, key.public_key))
            for key in keys
            if key.did == did and key.state != COMPROMISED
        ]
        return dids.did_document(did, shown), len(keys)

    async def check_sealed(self) -> int:
        """Open every sealed secret once, and seal again what an older KEK sealed; answers how many were.

        Raises:
            KekMismatch: One opens under none of the keys.
        """
        resealed = 0
        async with self._journal.transaction(None) as tx:
            for kind, tenant_id, kid, sealed in await rows.sealed_secrets(tx):
                aad = tenant_id.bytes + (kid.encode("utf-8") if kind == "key" else _PAIRWISE)
                plain = self._kek.open(sealed, aad)
                if not self._kek.is_current(sealed):
                    await rows.reseal(tx, kind, tenant_id, kid, self._kek.seal(plain, aad))
                    resealed += 1
        return resealed

    def opened(self, key: KeyRow) -> Signer:
        """A key, opened; kept open for ten minutes, 256 at most."""
        now = self._seconds()
        kept = self._opened.get(key.kid)
        if kept is None or kept.until <= now:
            seed = self._kek.open(key.sealed_private, key.tenant_id.bytes + key.kid.encode("utf-8"))
            kept = _Opened(now + _KEPT_S, Ed25519PrivateKey.from_private_bytes(seed))
            if len(self._opened) >= _MOST_KEPT:
                self._opened.pop(next(iter(self._opened)))
            self._opened[key.kid] = kept
        return Signer(key.did, key.kid, kept.private)

    async def _add_key(self, tx: JournalTransaction, issuer: IssuerRow, now: datetime) -> KeyRow:
        private = Ed25519PrivateKey.generate()
        public = public_of(private)
        did = self._web_did(issuer) if self._web_host else dids.key_did(public)
        kid = f"{did}#{public.multibase}"
        seed = private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        sealed = self._kek.seal(seed, issuer.tenant_id.bytes + kid.encode("utf-8"))
        row = KeyRow(issuer.tenant_id, kid, did, public.raw, sealed, ACTIVE, now, None)
        await rows.add_key(tx, row)
        return row

    def _web_did(self, issuer: IssuerRow) -> str:
        if issuer.tenant_id == PLATFORM_TENANT_ID:
            return dids.web_did(self._web_host)
        return dids.web_did(self._web_host, "api", "v1", "issuers", str(issuer.issuer_id))


def etag(body: bytes) -> str:
    """A quoted entity tag of a body."""
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'
