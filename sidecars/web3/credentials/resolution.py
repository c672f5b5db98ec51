"""Finds the key of a verification method: in the journal, in the DID itself, or at an allowed host.

Keys of ours come first, whatever their DID looks like: only the journal knows that one was retired or given
away. A key that was retired still stands for what it signed before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sidecars.web3.credentials.did import (
    ed25519_only,
    is_key,
    is_web,
    key_in_document,
    key_method,
    read_key_did,
    read_web_did,
)
from sidecars.web3.credentials.fetching import Fetcher, FetchError, NotAllowedError
from sidecars.web3.credentials.multikeys import PublicKey, read_public
from sidecars.web3.credentials.reading import JsonObject, read_object
from sidecars.web3.credentials.refusals import RefusedError

MAX_DOCUMENT_BYTES = 64 * 1024
_FOUND_S = 300.0
_FAILED_S = 30.0
_MOST = 1024
RETIRED, COMPROMISED = "RETIRED", "COMPROMISED"


@dataclass(frozen=True)
class OwnKey:
    """A key of an issuer of ours, as far as a verifier needs it.

    Attributes:
        public: Its public key, multibase.
        state: ACTIVE, RETIRED or COMPROMISED.
        not_after: Last time that it signed; None while it may.
    """

    public: str
    state: str
    not_after: datetime | None


class OwnKeys(Protocol):
    """The keys of our issuers."""

    async def find(self, kid: str) -> OwnKey | None:
        """The key named by a DID URL, if it is ours."""
        ...


@dataclass
class _Kept:
    until: float
    document: JsonObject | None
    refused: RefusedError | None = None


class MethodResolver:
    """Finds keys for the verifier.

    Args:
        own: Keys of our issuers.
        fetcher: For did:web of others.
        seconds: A clock that never goes back, in seconds.
    """

    def __init__(self, own: OwnKeys, fetcher: Fetcher, seconds: Callable[[], float]) -> None:
        self._own = own
        self._fetcher = fetcher
        self._seconds = seconds
        self._kept: dict[str, _Kept] = {}

    async def key_of(self, did: str, method: str, created: datetime | None) -> PublicKey:
        """The Ed25519 key that ``method`` names.

        Args:
            did: DID of the method.
            method: DID URL of the key.
            created: When the proof says it was made.

        Raises:
            RefusedError: DID_*, VC_VERIFICATION_METHOD_UNKNOWN or VC_KEY_REVOKED.
        """
        own = await self._own.find(method)
        if own is not None:
            _check_state(own, created)
            return read_public(own.public)
        if is_key(did):
            key = ed25519_only(read_key_did(did))
            if method != key_method(key):
                raise RefusedError("DID_KEY_MALFORMED", "The name of the key does not repeat its DID.")
            return key
        if is_web(did):
            return key_in_document(await self._document(did), did, method)
        raise RefusedError("DID_MALFORMED", "Only did:key and did:web are supported.")

    async def _document(self, did: str) -> JsonObject:
        now = self._seconds()
        kept = self._kept.get(did)
        if kept is None or kept.until <= now:
            kept = await self._fetched(did, now)
            if len(self._kept) >= _MOST:
                self._kept.clear()
            # A host that is not allowed costs nothing to refuse again, and names of strangers are many.
            if kept.refused is None or kept.refused.reason == "DID_WEB_UNAVAILABLE":
                self._kept[did] = kept
        if kept.refused is not None:
            raise kept.refused
        assert kept.document is not None
        return kept.document

    async def _fetched(self, did: str, now: float) -> _Kept:
        web = read_web_did(did)
        try:
            body = await self._fetcher.get(web.host, web.port, web.document_path(), MAX_DOCUMENT_BYTES)
        except NotAllowedError:
            refused = RefusedError("DID_WEB_HOST_NOT_ALLOWED", "The host of this did:web may not be asked.")
            return _Kept(now, None, refused)
        except FetchError:
            refused = RefusedError("DID_WEB_UNAVAILABLE", "The host of this did:web gave no DID document.")
            return _Kept(now + _FAILED_S, None, refused)
        try:
            return _Kept(now + _FOUND_S, read_object(body, max_bytes=MAX_DOCUMENT_BYTES))
        except RefusedError:
            refused = RefusedError("DID_DOCUMENT_INVALID", "The DID document cannot be read.")
            return _Kept(now + _FAILED_S, None, refused)


def _check_state(key: OwnKey, created: datetime | None) -> None:
    if key.state == COMPROMISED:
        raise RefusedError("VC_KEY_REVOKED", "The issuer has revoked the key of this proof.")
    if key.state == RETIRED and (created is None or (key.not_after and created > key.not_after)):
        raise RefusedError("VC_KEY_REVOKED", "The key was out of use when this proof says it was made.")
