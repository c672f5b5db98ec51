"""Service accounts over real servers: keys, assertions as PyJWT makes them, certificates, and their end."""

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from cohortlens.core.errors import AlreadyExists, InvalidArgument, NotFound, PermissionDenied
from cohortlens.core.ids import uuid7
from cohortlens.identity.access import jws
from cohortlens.identity.access.revocations import Revocations
from cohortlens.identity.models import ClientInvalid, KeyQuotaExceeded
from cohortlens.identity.programs.keys import program_key
from cohortlens.identity.programs.service import Programs
from tests.fixtures.certificates import Authority
from tests.fixtures.key_pairs import MAKERS, Pair
from tests.fixtures.waiting import eventually

ISSUER = "https://cohortlens.test"
TOKEN_ENDPOINT = "https://cohortlens.test/oauth2/token"
AUDIENCES = (ISSUER, TOKEN_ENDPOINT)
SCOPES = ["customers.read", "customers.write"]


@pytest.fixture
async def programs(database, redis_client):
    revocations = Revocations(database, redis_client, 630)
    made = Programs(database, revocations, is_live=False)
    yield made
    await made.close()
    await revocations.close()


@pytest.fixture
async def account(programs, tenants):
    async def make(*pairs, tenant=0, **options):
        options = {"display_name": "loader", "scopes": SCOPES, **options}
        keys = [pair.public for pair in pairs]
        return await programs.accounts.create(tenants[tenant].context(), keys=keys, **options)

    return make


@pytest.mark.parametrize("alg", list(MAKERS))
@pytest.mark.parametrize("audience", AUDIENCES)
async def test_an_assertion_of_a_foreign_library_proves_the_account(
    programs, account, tenants, alg, audience
):
    pair = Pair(alg)
    made = await account(pair, audiences=["cohortlens", "billing"])
    proven = await programs.account_verifier.authenticate(
        pair.signed(made.account_id, aud=audience), AUDIENCES
    )
    assert (proven.tenant_id, proven.account_id) == (tenants[0].tenant_id, made.account_id)
    assert (proven.scopes, proven.audiences) == (tuple(SCOPES), ("billing", "cohortlens"))


async def test_an_assertion_works_once_however_many_try_it_together(programs, account):
    pair = Pair()
    made = await account(pair)
    once = pair.signed(made.account_id)
    tries = [programs.account_verifier.authenticate(once, ISSUER) for _ in range(20)]
    ended = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(not isinstance(one, Exception) for one in ended) == 1
    assert all(isinstance(one, ClientInvalid) for one in ended if isinstance(one, Exception))


def _raw(pair, claims):
    """An assertion whose payload PyJWT would not write."""
    payload = claims if isinstance(claims, str) else json.dumps(claims)
    header = json.dumps({"alg": pair.alg, "kid": pair.kid})
    signed = ".".join(jws.encode(part.encode()) for part in (header, payload))
    return f"{signed}.{jws.encode(pair.private.sign(signed.encode()))}"


def hostile(pair, account_id):
    """Assertions that are wrong in one way each; all of them signed with the account's own key."""
    at, yes = int(time.time()), pair.signed
    other = str(uuid7())
    stranger = Pair(kid=pair.kid)
    plain = {"iss": str(account_id), "sub": str(account_id), "aud": ISSUER, "exp": at + 60, "jti": "a"}
    return {
        "another key": stranger.signed(account_id),
        "unknown kid": yes(account_id, {"kid": "k9"}),
        "no kid": jwt.encode({"iss": str(account_id)}, pair.private, "EdDSA"),
        "jku": yes(account_id, {"jku": "https://evil.example/keys"}),
        "jwk": yes(account_id, {"jwk": pair.jwk}),
        "crit": yes(account_id, {"crit": ["exp"]}),
        "access token": yes(account_id, {"typ": "at+jwt"}),
        "other audience": yes(account_id, aud="https://other.example"),
        "two audiences": yes(account_id, aud=[ISSUER, "https://other.example"]),
        "no audience": yes(account_id, aud=None),
        "iss is not sub": yes(account_id, iss=other),
        "unknown account": yes(other),
        "account is no uuid": yes("loader"),
        "expired": yes(account_id, exp=at - 31, iat=at - 90),
        "lives too long": yes(account_id, exp=at + 400),
        "no exp": yes(account_id, exp=None),
        "padded": yes(account_id) + "=",
        "exp as text": _raw(pair, {**plain, "exp": str(at + 60)}),
        "jti twice": _raw(pair, json.dumps(plain)[:-1] + ', "jti": "b"}'),
        "from the future": yes(account_id, iat=at + 120),
        "not yet": yes(account_id, nbf=at + 120),
        "no jti": yes(account_id, jti=None),
        "empty jti": yes(account_id, jti=""),
        "long jti": yes(account_id, jti="x" * 129),
        "too long": yes(account_id, more="x" * 4096),
        "unsigned": ".".join(yes(account_id).split(".")[:2]) + ".",
        "two segments": ".".join(yes(account_id).split(".")[:2]),
        "none": jwt.encode({"iss": str(account_id), "sub": str(account_id)}, None, "none"),
        "hmac with the public key": jwt.encode(
            {"iss": str(account_id), "sub": str(account_id)}, pair.jwk["x"] * 2, "HS256", {"kid": pair.kid}
        ),
        "text": "rubbish",
    }


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
async def test_every_hostile_assertion_is_refused_with_the_same_words(programs, account):
    pair = Pair()
    made = await account(pair)
    answers = {}
    for name, assertion in hostile(pair, made.account_id).items():
        try:
            await programs.account_verifier.authenticate(assertion, AUDIENCES)
        except ClientInvalid as refused:
            answers[name] = (refused.reason, refused.message)
    assert set(answers) == set(hostile(pair, made.account_id))
    assert len(set(answers.values())) == 1
    assert await programs.account_verifier.authenticate(pair.signed(made.account_id), AUDIENCES)


async def test_the_algorithm_is_the_one_of_the_key(programs, account):
    pair, other = Pair("ES256", "k1"), Pair("RS256", "k1")
    made = await account(pair)
    with pytest.raises(ClientInvalid):
        await programs.account_verifier.authenticate(other.signed(made.account_id), ISSUER)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"alg": "HS256"}, "key.alg"),
        ({"kty": "oct"}, "key.kty"),
        ({"crv": "P-256"}, "key.crv"),
        ({"d": "AAAA"}, "key"),
        ({"x": "AAAA"}, "key"),
        ({"x": ""}, "key.x"),
        ({"x": "A" * 42 + "="}, "key.x"),
        ({"use": "enc"}, "key.use"),
        ({"kid": "a/b"}, "key.kid"),
    ],
)
def test_a_key_that_cannot_be_taken_is_named_by_its_member(change, field):
    with pytest.raises(InvalidArgument) as caught:
        program_key({**Pair().jwk, **change}, "key")
    assert caught.value.violations[0].field == field


def test_a_weak_rsa_key_is_refused():
    for bits, exponent in ((1024, 65537), (2048, 3)):
        members = json.loads(RSAAlgorithm.to_jwk(rsa.generate_private_key(exponent, bits).public_key()))
        with pytest.raises(InvalidArgument) as caught:
            program_key({"alg": "RS256", "kty": "RSA", "n": members["n"], "e": members["e"]}, "key")
        assert caught.value.violations[0].field == "key.n"


def test_a_key_without_a_name_gets_its_thumbprint():
    # RFC 8037, appendix A.3.
    key = program_key(
        {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
        "key",
    )
    assert key.kid == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


async def test_keys_are_added_and_removed_one_by_one(programs, account, tenants):
    ctx, first, second = tenants[0].context(), Pair(kid="a"), Pair("ES256", "b")
    made = await account(first)
    await programs.accounts.add_key(ctx, made.account_id, second.public)
    with pytest.raises(AlreadyExists):
        await programs.accounts.add_key(ctx, made.account_id, second.public)
    await programs.accounts.delete_key(ctx, made.account_id, "a")
    with pytest.raises(NotFound):
        await programs.accounts.delete_key(ctx, made.account_id, "a")
    assert await programs.account_verifier.authenticate(second.signed(made.account_id), ISSUER)
    with pytest.raises(ClientInvalid):
        await programs.account_verifier.authenticate(first.signed(made.account_id), ISSUER)
    [listed] = await programs.accounts.page(ctx, None, 10)
    assert [(key.kid, key.alg) for key in listed.keys] == [("b", "ES256")]
    for kid in "cdef":
        await programs.accounts.add_key(ctx, made.account_id, Pair(kid=kid).public)
    with pytest.raises(KeyQuotaExceeded):
        await programs.accounts.add_key(ctx, made.account_id, Pair(kid="g").public)


async def test_no_account_goes_beyond_its_maker_and_nobody_adds_a_key_to_a_mightier_one(
    programs, account, tenants
):
    viewer = tenants[0].context(role="viewer")
    with pytest.raises(PermissionDenied) as caught:
        await programs.accounts.create(viewer, display_name="x", scopes=["models.write"])
    assert caught.value.reason == "SCOPE_MISSING"
    made = await account(scopes=["models.write"])
    with pytest.raises(PermissionDenied):
        await programs.accounts.add_key(viewer, made.account_id, Pair().public)
    with pytest.raises(InvalidArgument):
        await account(scopes=["users.write"])


async def test_accounts_of_another_tenant_are_missing(programs, account, tenants):
    made, foreign = await account(Pair()), tenants[1].context()
    messages = set()
    for account_id in (made.account_id, uuid7()):
        for attempt in (
            programs.accounts.delete(foreign, account_id),
            programs.accounts.add_key(foreign, account_id, Pair(kid="z").public),
            programs.accounts.delete_key(foreign, account_id, "k1"),
        ):
            with pytest.raises(NotFound) as caught:
                await attempt
            messages.add(caught.value.message)
    assert len(messages) == 1
    assert await programs.accounts.page(foreign, None, 10) == []


def spiffe(tenant):
    return f"spiffe://shop.example/tenants/{tenant.tenant_id}/loader"


async def test_a_certificate_proves_the_account_it_names(programs, account, tenants, tmp_path):
    name = spiffe(tenants[0])
    made = await account(certificate_name=name)
    pem = Authority(tmp_path, "ours").issue("any.example", uri=name).certificate.read_text()
    principal = await programs.account_verifier.principal(pem, "192.0.2.7")
    assert (principal.tenant_id, principal.id) == (tenants[0].tenant_id, made.account_id)
    assert principal.actor == f"service_account:{made.account_id}"
    proven = await programs.account_verifier.authenticate_certificate((name,))
    assert proven.account_id == made.account_id


async def test_a_certificate_that_names_nobody_or_several_or_has_ended_is_refused(
    programs, account, tenants, tmp_path
):
    authority, tenant = Authority(tmp_path, "ours"), tenants[0].tenant_id
    await account(certificate_name=spiffe(tenants[0]))
    await account(certificate_name=f"second.{tenant}.internal")
    shown = [
        authority.issue("stranger.example"),
        authority.issue(f"second.{tenant}.internal", uri=spiffe(tenants[0])),
        authority.issue("x.example", uri=spiffe(tenants[0]), days=-1),
    ]
    for issued in shown:
        with pytest.raises(ClientInvalid):
            await programs.account_verifier.principal(issued.certificate.read_text(), "")
    with pytest.raises(ClientInvalid):
        await programs.account_verifier.principal("no certificate", "")


async def test_no_tenant_takes_a_name_of_another(account, tenants):
    for name in (
        spiffe(tenants[0]),
        f"loader.{tenants[0].tenant_id}.internal",
        "loader.internal",
        f"x{tenants[1].tenant_id}.internal",
        f"*.{tenants[1].tenant_id}.internal",
        f"spiffe://{tenants[1].tenant_id}/loader",
    ):
        with pytest.raises(InvalidArgument) as caught:
            await account(tenant=1, certificate_name=name)
        assert caught.value.violations[0].field == "certificate_name"
    await account(tenant=1, certificate_name=spiffe(tenants[1]))
    with pytest.raises(AlreadyExists):
        await account(tenant=1, certificate_name=spiffe(tenants[1]))


async def test_a_deleted_account_is_refused_at_once_and_its_name_is_free(
    programs, account, tenants, tmp_path
):
    name = spiffe(tenants[0])
    made = await account(Pair(), certificate_name=name)
    pem = Authority(tmp_path, "ours").issue("any.example", uri=name).certificate.read_text()
    assert await programs.account_verifier.principal(pem, "")
    await programs.accounts.delete(tenants[0].context(), made.account_id)
    with pytest.raises(ClientInvalid):
        await programs.account_verifier.principal(pem, "")
    again = await account(certificate_name=name)
    assert (await programs.account_verifier.authenticate_certificate(name)).account_id == again.account_id


async def test_a_suspended_tenant_stops_its_accounts_within_two_seconds(
    programs, account, tenants, tmp_path, superuser
):
    pair, name = Pair(), spiffe(tenants[0])
    made = await account(pair, certificate_name=name)
    pem = Authority(tmp_path, "ours").issue("any.example", uri=name).certificate.read_text()
    assert await programs.account_verifier.principal(pem, "")
    await superuser.execute("UPDATE tenants SET status = 'SUSPENDED' WHERE id = $1", tenants[0].tenant_id)
    with pytest.raises(ClientInvalid):
        await programs.account_verifier.authenticate(pair.signed(made.account_id), ISSUER)

    async def is_refused():
        try:
            await programs.account_verifier.principal(pem, "")
        except ClientInvalid:
            return True
        return False

    assert await eventually(is_refused, 2.0, "refusal")


async def test_used_assertions_are_forgotten_once_they_are_too_old(programs, account, superuser):
    pair = Pair()
    made = await account(pair)
    await programs.account_verifier.authenticate(pair.signed(made.account_id), ISSUER)
    kept = await superuser.fetchval("SELECT expires_at FROM client_assertions")
    assert kept > datetime.now(UTC) + timedelta(seconds=60)
    await superuser.execute("UPDATE client_assertions SET expires_at = clock_timestamp() - interval '1 s'")
    assert await programs.tidy() == 1
    assert await superuser.fetchval("SELECT count(*) FROM client_assertions") == 0
