"""The verifier of access tokens: hostile ones, those of programs, and what a check of a known one costs."""

from __future__ import annotations

from uuid import UUID, uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cohortlens.core.context import PrincipalKind
from cohortlens.core.ids import SessionId, TenantId, UserId, uuid7
from cohortlens.identity.access.signing_keys import SigningKey
from cohortlens.identity.access.token_check import AccessTokenVerifier
from cohortlens.identity.access.tokens import AccessTokens, Delegation, TokenPolicy
from cohortlens.identity.models import Membership, TokenInvalid
from cohortlens.identity.sessions.refresh_tokens import RefreshToken
from tests.fixtures.hostile_tokens import CASES, Forge

POLICY = TokenPolicy("https://cohortlens.test", 600)
TENANT, USER, SESSION = TenantId(uuid7()), UserId(uuid7()), SessionId(uuid7())


class Keys:
    """One key, held in memory."""

    def __init__(self):
        self.key = SigningKey("k1", Ed25519PrivateKey.generate())

    async def active(self):
        return self.key

    async def public(self, kid):
        return self.key.private.public_key() if kid == "k1" else None


class NothingTakenBack:
    """What is known of changes: fresh, and empty."""

    fresh_until = float("inf")
    edition = 0
    in_use = False

    def __init__(self):
        self.checked = []

    def check(self, grant):
        self.checked.append(grant)

    async def require(self, grant, *, strict=False):
        assert strict, "whoever tells others must not tell what is old"
        self.checked.append(grant)


class Generations:
    """Notes nothing down but which sessions it was told of."""

    def __init__(self):
        self.noted = []

    def note(self, session_id, generation):
        self.noted.append((session_id, generation))


@pytest.fixture
def keys():
    return Keys()


@pytest.fixture
def known():
    return NothingTakenBack()


@pytest.fixture
def generations():
    return Generations()


@pytest.fixture
def verifier(keys, known, generations):
    return AccessTokenVerifier(keys, POLICY, known, generations)


@pytest.fixture
def tokens(keys):
    return AccessTokens(keys, POLICY)


@pytest.fixture
async def good(tokens):
    membership = Membership(TENANT, "analyst", 3, 2)
    return (await tokens.issue(USER, SESSION, membership, 7, amr=("pwd", "otp")))[0]


@pytest.fixture
def forge(keys, good):
    claims = jwt.decode(good, options={"verify_signature": False})
    refresh = RefreshToken.make(SESSION, 7, bytes(32)).text()
    return Forge("k1", keys.key.private, claims, good, refresh)


async def test_a_good_token_gives_its_principal(verifier, good, forge, known, generations):
    principal = await verifier.verify(good)
    assert (principal.tenant_id, principal.user_id, principal.session_id) == (TENANT, USER, SESSION)
    assert (principal.role, principal.amr, principal.client_id) == ("analyst", ("pwd", "otp"), "cohortlens")
    assert "analytics.run" in principal.scopes
    assert "users.write" not in principal.scopes
    [grant] = known.checked
    assert (grant.subject, grant.user_id, grant.ver, grant.tver) == (SESSION, USER, 3, 2)
    assert generations.noted == [(SESSION, 7)]
    assert await verifier.verify(forge.signed(forge.claims)) == principal  # so what the forge makes is good


@pytest.mark.parametrize("name", CASES)
async def test_a_hostile_token_is_refused_with_the_one_text(verifier, forge, name):
    with pytest.raises(TokenInvalid) as caught:
        await verifier.verify(CASES[name](forge))
    assert str(caught.value) == "the access token is not valid; log in again"


@pytest.mark.parametrize("token", ["", "é" * 40, "\ud800", "A" * 1_000_000, "..", "a.b.c", "\x00"])
async def test_text_that_is_no_token_is_refused_alike(verifier, token):
    with pytest.raises(TokenInvalid) as caught:
        await verifier.verify(token)
    assert str(caught.value) == "the access token is not valid; log in again"


def test_the_corpus_has_not_shrunk():
    assert len(CASES) >= 40


async def test_a_known_token_is_compared_again_only_after_a_change(verifier, good, known):
    await verifier.verify(good)
    await verifier.verify(good)
    assert len(known.checked) == 1
    known.edition += 1
    await verifier.verify(good)
    assert len(known.checked) == 2


async def test_a_client_has_what_it_was_given_and_the_role_has(verifier, tokens):
    membership = Membership(TENANT, "viewer", 1, 1)
    scopes = frozenset({"customers.read", "users.write"})
    token, _ = await tokens.issue(USER, SESSION, membership, 1, client_id="a-client", scopes=scopes)
    principal = await verifier.verify(token)
    assert (principal.scopes, principal.client_id) == (frozenset({"customers.read"}), "a-client")


async def test_a_program_has_exactly_its_scopes_and_its_account_is_its_session(
    verifier, tokens, known, generations
):
    account = uuid7()
    token, life = await tokens.issue_service(
        account, TENANT, scopes=frozenset({"consent.check"}), client_id=str(account), tver=5
    )
    principal = await verifier.verify(token)
    assert (principal.kind, principal.id) == (PrincipalKind.SERVICE_ACCOUNT, account)
    assert (principal.scopes, principal.acting_for, life) == (frozenset({"consent.check"}), "", 600)
    [grant] = known.checked
    assert (grant.subject, grant.user_id, grant.tver) == (account, None, 5)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert grant.token == UUID(claims["jti"])  # it has no session, so it can end alone
    assert generations.noted == []  # it has no session whose refresh token could be in use


async def test_a_program_that_acts_for_a_user_ends_with_the_rights_of_both(verifier, tokens, known):
    account = uuid7()
    token, _ = await tokens.issue_service(
        account,
        TENANT,
        scopes=frozenset({"customers.read"}),
        client_id=str(account),
        tver=1,
        acting_for=Delegation(USER, 4),
    )
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["sub"], claims["act"]) == (str(USER), {"sub": str(account)})
    principal = await verifier.verify(token)
    assert (principal.id, principal.acting_for) == (account, f"user:{USER}")
    [grant] = known.checked
    assert (grant.subject, grant.user_id, grant.ver) == (account, USER, 4)


async def test_a_token_for_another_service_is_not_for_us_but_for_it(
    keys, known, generations, verifier, tokens
):
    token, _ = await tokens.issue_service(
        uuid4(), TENANT, scopes=frozenset(), client_id="c", tver=1, audience=("consent",)
    )
    with pytest.raises(TokenInvalid):
        await verifier.verify(token)
    other = AccessTokenVerifier(keys, POLICY, known, generations, audience="consent")
    assert isinstance((await other.verify(token)).id, UUID)


async def test_what_explains_a_token_takes_those_for_other_services_too_and_no_hostile_one(
    verifier, tokens, forge, good, known, generations
):
    token, _ = await tokens.issue_service(
        uuid4(), TENANT, scopes=frozenset(), client_id="c", tver=1, audience=("consent",)
    )
    assert (await verifier.examined(token)).claims["aud"] == ["consent"]
    found = await verifier.examined(good)
    assert (found.principal.user_id, found.claims) == (USER, forge.claims)
    assert generations.noted == [(SESSION, 7)]
    assert [one.token is None for one in known.checked] == [False, True]
    for name in set(CASES) - {"another audience"}:
        with pytest.raises(TokenInvalid):
            await verifier.examined(CASES[name](forge))
