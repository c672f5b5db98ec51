"""Proves which client calls the token, revocation or introspection endpoint; exactly one way at a time."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from urllib.parse import unquote_plus

from cohortlens.core.clock import Clock, now
from cohortlens.core.db import Database
from cohortlens.core.errors import Unauthenticated
from cohortlens.core.ids import parse_uuid
from cohortlens.identity.oauth.models import (
    ClientAuthentication,
    ClientProof,
    InvalidClient,
    InvalidRequest,
    OAuthClient,
)
from cohortlens.identity.oauth.rows import OAuthLookups, OAuthRows
from cohortlens.identity.programs import client_assertions
from cohortlens.identity.programs.client_assertions import Assertion
from cohortlens.identity.programs.keys import stored_keys
from cohortlens.identity.programs.service_account_verifier import ServiceAccount, ServiceAccountVerifier

# What a widely used client library signs for when it is not told otherwise; one is taken only once.
ASSERTION_LIFE_S = 3600
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class ClientAuthenticator:
    """Turns a proof into a client.

    Args:
        db: Database as the runtime role.
        audiences: What the ``aud`` of a client's JWT may be: our issuer first, then our endpoints.
        accounts: Proves service accounts.
        clock: Current time.
    """

    def __init__(
        self, db: Database, audiences: tuple[str, ...], accounts: ServiceAccountVerifier, clock: Clock = now
    ) -> None:
        self._db = db
        self._audiences = audiences
        self._accounts = accounts
        self._clock = clock

    async def authenticate(self, proof: ClientProof, address: str = "") -> OAuthClient | ServiceAccount:
        """The client.

        Args:
            proof: By what it wants to be known.
            address: Network address of the caller, for the audit log.

        Raises:
            InvalidClient: Unknown, or not proven; the answer is the same.
            InvalidRequest: More than one proof, or one that names another client.
        """
        if len(proof.authorization) > 1:
            raise InvalidRequest("send the Authorization header once")
        if proof.assertion or proof.assertion_type:
            return await self._by_assertion(proof, address)
        if proof.authorization:
            return await self._by_secret(proof)
        client = await self._client(proof.client_id)
        if client is None and proof.certificate_names:
            return await self._by_certificate(proof, address)
        if client is None or not client.is_public:
            raise _unproven()
        return client

    async def _by_secret(self, proof: ClientProof) -> OAuthClient:
        client_id, secret = _basic(proof.authorization[0])
        _same(proof.client_id, client_id)
        client = await self._client(client_id)
        digest = hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
        # Every secret that is good now is compared, in constant time; high entropy needs no slow hash.
        good = [hmac.compare_digest(digest, one) for one in (client.secrets if client else ())]
        if client is None or client.authentication is not ClientAuthentication.SECRET_BASIC or not any(good):
            raise _unproven()
        return client

    async def _by_assertion(self, proof: ClientProof, address: str) -> OAuthClient | ServiceAccount:
        if proof.authorization:
            raise InvalidRequest("a client proves itself in one way: by its secret or by a JWT")
        if proof.assertion_type != ASSERTION_TYPE or not proof.assertion:
            raise InvalidRequest(f"client_assertion_type must be {ASSERTION_TYPE}, with a client_assertion")
        try:
            parsed = client_assertions.parsed(proof.assertion)
            _same(proof.client_id, str(parsed.account_id))
            client = await self._client(str(parsed.account_id))
            if client is None:
                return await self._accounts.authenticate(proof.assertion, self._audiences, address)
        except Unauthenticated:
            raise _unproven() from None
        if client.jwks is None or not await self._holds(client, parsed):
            raise _unproven()
        return client

    async def _holds(self, client: OAuthClient, parsed: Assertion) -> bool:
        """Whether one of the client's keys signed the assertion for us, and it is used for the first time."""
        keys = stored_keys(client.jwks or {})
        # Where there is one key only, an assertion need not say which.
        key = next(iter(keys.values())) if len(keys) == 1 and not parsed.kid else keys.get(parsed.kid)
        at = self._clock().timestamp()
        if client_assertions.proven(parsed, key, self._audiences, at, ASSERTION_LIFE_S):
            return False
        async with self._db.tenant_transaction(client.tenant_id) as tx:
            return await OAuthRows(tx, client.tenant_id).use_assertion(
                client.id, client_assertions.fingerprint(parsed), client_assertions.ends(parsed)
            )

    async def _by_certificate(self, proof: ClientProof, address: str) -> ServiceAccount:
        try:
            account = await self._accounts.authenticate_certificate(proof.certificate_names, address)
        except Unauthenticated:
            raise _unproven() from None
        _same(proof.client_id, str(account.account_id))
        return account

    async def _client(self, client_id: str) -> OAuthClient | None:
        found = parse_uuid(client_id)
        if found is None:
            return None
        async with self._db.transaction() as tx:
            return await OAuthLookups(tx).client(found)


def _basic(header: str) -> tuple[str, str]:
    """Identifier and secret of ``Basic``, each form-encoded as RFC 6749 2.3.1 says."""
    scheme, _, text = header.partition(" ")
    try:
        if scheme.lower() != "basic":
            raise ValueError("another scheme")
        decoded = base64.b64decode(text.strip(), validate=True).decode("utf-8")
        client_id, colon, secret = decoded.partition(":")
        if not colon:
            raise ValueError("no colon")
    except (ValueError, binascii.Error):
        raise _unproven() from None
    return unquote_plus(client_id), unquote_plus(secret)


def _same(named: str, proven: str) -> None:
    if named and named != proven:
        raise InvalidRequest("client_id names another client than the proof")


def _unproven() -> InvalidClient:
    return InvalidClient("the client is unknown or did not prove who it is; check client_id and its proof")
