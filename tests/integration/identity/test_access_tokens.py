"""Access tokens: what a foreign library reads, hostile forgeries, and revocation as other processes see it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cohortlens.core.clock import now
from cohortlens.core.errors import FailedPrecondition
from cohortlens.identity import jws
from cohortlens.identity.models import TokenExpired, TokenInvalid
from cohortlens.identity.signing_keys import SigningKeys
from tests.integration.identity.conftest import ISSUER, KEK, open_identity


def b64(value):
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@pytest.fixture
async def key(database, identity):
    return await SigningKeys(database, KEK).active()


@pytest.fixture
def claims(session):
    return jwt.decode(session.access_token, options={"verify_signature": False})


def signed(key, claims, header=None, payload=None):
    """A token signed with the real key: only what is tested is wrong with it."""
    header = {"alg": "EdDSA", "typ": "at+jwt", "kid": key.kid} if header is None else header
    head = b64(header) + "." + (b64(claims) if payload is None else payload)
    return head + "." + b64(key.private.sign(head.encode()))


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


def _hostile(key, claims, good):
    head, payload, signature = good.split(".")
    public = key.private.public_key()
    raw = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    base = {"alg": "EdDSA", "typ": "at+jwt", "kid": key.kid}
    stranger = Ed25519PrivateKey.generate()

    def without(name):
        return {other: value for other, value in claims.items() if other != name}

    def hs256(secret):
        start = b64({**base, "alg": "HS256"}) + "." + payload
        return start + "." + b64(hmac.digest(secret, start.encode(), hashlib.sha256))

    twice = json.dumps(claims)[:-1] + f', "tenant_id": "{uuid4()}"}}'
    yield "no signature, alg none", b64({**base, "alg": "none"}) + "." + payload + "."
    yield "signature stripped", f"{head}.{payload}."
    yield "HS256 with the raw public key", hs256(raw)
    yield "HS256 with the PEM public key", hs256(pem)
    yield "typ JWT", signed(key, claims, {**base, "typ": "JWT"})
    yield "no typ", signed(key, claims, {"alg": "EdDSA", "kid": key.kid})
    yield "typ in other case", signed(key, claims, {**base, "typ": "AT+JWT"})
    yield "unknown crit", signed(key, claims, {**base, "crit": ["exp"]})
    yield "jku", signed(key, claims, {**base, "jku": "https://evil.example/keys"})
    yield (
        "embedded jwk",
        signed(key, claims, {**base, "jwk": {"kty": "OKP", "crv": "Ed25519", "x": b64(raw)}}),
    )
    yield "foreign kid", signed(key, claims, {**base, "kid": "0" * 32})
    yield "kid with SQL", signed(key, claims, {**base, "kid": "' OR 1=1 --"})
    yield "kid of another type", signed(key, claims, {**base, "kid": 7})
    yield "foreign key, our kid", jws.sign(key.kid, stranger, claims)
    for name in ("exp", "iat", "sub", "tenant_id", "sid", "jti", "ver", "tver", "gen", "iss", "aud", "role"):
        yield f"no {name}", signed(key, without(name))
    yield "exp as text", signed(key, {**claims, "exp": str(claims["exp"])})
    yield "exp as fraction", signed(key, {**claims, "exp": claims["exp"] + 0.5})
    yield "exp true", signed(key, {**claims, "exp": True})
    yield (
        "exp infinite",
        signed(key, claims, payload=b64(json.dumps({**claims, "exp": float("inf")}).encode())),
    )
    yield (
        "iat in the future",
        signed(key, {**claims, "iat": claims["iat"] + 3600, "exp": claims["exp"] + 3600}),
    )
    yield "other issuer", signed(key, {**claims, "iss": ISSUER + "/"})
    yield "other audience", signed(key, {**claims, "aud": ["billing"]})
    yield "audience as text", signed(key, {**claims, "aud": "cohortlens"})
    yield "tenant not a UUID", signed(key, {**claims, "tenant_id": "north"})
    yield "tenant in another spelling", signed(key, {**claims, "tenant_id": claims["tenant_id"].upper()})
    yield "unknown role", signed(key, {**claims, "role": "root"})
    yield "a member twice", signed(key, claims, payload=b64(twice.encode()))
    yield "payload is a list", signed(key, [claims])
    yield "payload is not UTF-8", signed(key, claims, payload=b64(b'{"a": "\xff"}'))
    yield "deep nesting", b64(b"[" * 2000) + "." + payload + "." + signature
    yield "padding", good + "="
    yield "padding in the payload", f"{head}.{payload}=.{signature}"
    yield "a space", good + " "
    yield "four segments", good + "." + signature
    yield "two segments", f"{head}.{payload}"
    yield "a flipped bit", good[:-10] + ("A" if good[-10] != "A" else "B") + good[-9:]
    yield "5 KiB", signed(key, {**claims, "scope": "x" * 5000})
    yield "empty", ""
    yield "not ASCII", "é" * 40
    yield "lone surrogate", "\ud800"


async def test_hostile_tokens_are_all_refused_with_one_text(identity, session, key, claims):
    assert await identity.verifier.verify(signed(key, claims))  # the forge itself makes good tokens
    texts, accepted = set(), []
    for name, token in _hostile(key, claims, session.access_token):
        try:
            await identity.verifier.verify(token)
        except TokenInvalid as fault:
            texts.add(fault.message)
        else:
            accepted.append(name)
    assert accepted == []
    assert len(texts) == 1


async def test_a_refresh_token_is_no_access_token_and_the_other_way_round(identity, session):
    with pytest.raises(TokenInvalid):
        await identity.verifier.verify(session.refresh_token)
    with pytest.raises(TokenInvalid):
        await identity.sessions.renew(session.access_token)


async def test_an_expired_token_is_told_apart_and_the_leeway_is_thirty_seconds(
    identity, session, key, claims
):
    late = int(now().timestamp())
    assert await identity.verifier.verify(signed(key, {**claims, "exp": late - 20}))
    with pytest.raises(TokenExpired):
        await identity.verifier.verify(signed(key, {**claims, "exp": late - 31}))


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


async def test_two_first_starts_at_once_make_one_set_of_keys(database, superuser):
    await asyncio.gather(*(SigningKeys(database, KEK).ensure() for _ in range(8)))
    states = [row["state"] for row in await superuser.fetch("SELECT state FROM signing_keys")]
    assert sorted(states) == ["ACTIVE", "NEXT"]


async def test_keys_sealed_with_another_kek_stop_the_start(database, identity):
    with pytest.raises(FailedPrecondition) as caught:
        await SigningKeys(database, bytes(32)).ensure()
    assert caught.value.reason == "KEK_MISMATCH"


async def test_rotation_keeps_old_tokens_good_and_signs_with_the_published_next_key(
    database, identity, session, superuser, owner
):
    keys = SigningKeys(database, KEK)
    await keys.ensure()
    with pytest.raises(FailedPrecondition):
        await keys.rotate()  # the next key is too young
    await superuser.execute("UPDATE signing_keys SET created_at = created_at - interval '21 minutes'")
    before = {key.kid for key in await identity.jwks()}
    kid = await keys.rotate()
    assert kid in before
    assert len(await identity.jwks()) == 3
    identity.signing_keys._read_at = float("-inf")
    assert await identity.verifier.verify(session.access_token)
    pair = await identity.sessions.renew(session.refresh_token)
    assert jwt.get_unverified_header(pair.access_token)["kid"] == kid
    await superuser.execute("UPDATE signing_keys SET retire_at = clock_timestamp() WHERE state = 'RETIRING'")
    assert len(await identity.jwks()) == 2


async def test_private_halves_are_never_stored_in_the_clear(database, identity, key, superuser):
    raw = key.private.private_bytes_raw()
    [stored] = await superuser.fetch("SELECT private_enc FROM signing_keys WHERE kid = $1", key.kid)
    assert raw not in bytes(stored["private_enc"])
