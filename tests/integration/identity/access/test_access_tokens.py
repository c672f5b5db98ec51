"""Access tokens: what a foreign library reads, hostile forgeries, and revocation as other processes see it."""

from __future__ import annotations

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from cohortlens.core.clock import now
from cohortlens.identity.access.signing_keys import SigningKeys
from cohortlens.identity.models import TokenExpired, TokenInvalid
from tests.fixtures.hostile_tokens import Forge
from tests.integration.identity.conftest import ISSUER, KEK, open_identity


@pytest.fixture
async def key(database, identity):
    return await SigningKeys(database, KEK).active()


@pytest.fixture
def claims(session):
    return jwt.decode(session.access_token, options={"verify_signature": False})


@pytest.fixture
def forge(key, claims, session):
    return Forge(key.kid, key.private, claims, session.access_token, session.refresh_token)


async def test_a_foreign_library_verifies_the_token_with_the_published_keys(identity, session):
    kid = jwt.get_unverified_header(session.access_token)["kid"]
    [x] = [key.x for key in await identity.jwks() if key.kid == kid]
    claims = jwt.decode(
        session.access_token,
        Ed25519PublicKey.from_public_bytes(x),
        algorithms=["EdDSA"],
        audience="cohortlens",
        issuer=ISSUER,
        options={"require": ["exp", "iat", "sub", "jti", "iss", "aud"]},
    )
    assert claims["tenant_id"] == str(session.tenant_id)
    assert claims["exp"] - claims["iat"] == 600
    assert not {"email", "plan", "password"} & set(claims)
    assert jwt.get_unverified_header(session.access_token)["typ"] == "at+jwt"


async def test_the_verifier_gives_tenant_user_role_and_scopes(identity, session):
    principal = await identity.verifier.verify(session.access_token)
    assert (principal.tenant_id, principal.session_id) == (session.tenant_id, session.session_id)
    assert principal.role == "owner"
    assert {"customers.write", "models.write", "tenant.delete"} <= principal.scopes


async def test_a_refresh_token_is_no_access_token_and_the_other_way_round(identity, session):
    with pytest.raises(TokenInvalid):
        await identity.verifier.verify(session.refresh_token)
    with pytest.raises(TokenInvalid):
        await identity.sessions.renew(session.access_token)


async def test_an_expired_token_is_told_apart_and_the_leeway_is_thirty_seconds(identity, forge):
    late = int(now().timestamp())
    assert await identity.verifier.verify(forge.with_claims(exp=late - 20))
    with pytest.raises(TokenExpired):
        await identity.verifier.verify(forge.with_claims(exp=late - 31))


async def test_a_remembered_token_still_expires(database, redis_client, session):
    moment = now()
    service = await open_identity(database, redis_client, clock=lambda: moment)
    try:
        assert await service.verifier.verify(session.access_token)
        moment = moment.fromtimestamp(moment.timestamp() + 640, tz=moment.tzinfo)
        with pytest.raises(TokenExpired):
            await service.verifier.verify(session.access_token)
    finally:
        await service.close()
