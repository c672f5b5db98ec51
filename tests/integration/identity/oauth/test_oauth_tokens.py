"""What programs prove themselves with, and how the tokens they got are ended and explained."""

from __future__ import annotations

import asyncio
import json
import time
from uuid import UUID

import jwt
import pytest

from cohortlens.core.errors import Unauthenticated
from cohortlens.identity.models import TokenRevoked
from cohortlens.identity.oauth.authentication import ASSERTION_TYPE
from cohortlens.identity.oauth.models import ClientAuthentication, ClientProof, Grant, InvalidClient
from cohortlens.identity.oauth.service import OAuth
from cohortlens.identity.oauth.tokens import TokenRequest
from cohortlens.identity.programs.service import Programs
from tests.fixtures.key_pairs import Pair
from tests.fixtures.tenants import register
from tests.fixtures.waiting import eventually
from tests.integration.identity.conftest import ISSUER, anonymous
from tests.integration.identity.oauth.consenting import acting, code_of, exchange, made

OWN = TokenRequest("client_credentials")


@pytest.fixture
async def tenant(database):
    return await register(database, "oauth")


@pytest.fixture
def pair():
    return Pair()


@pytest.fixture
async def signing(oauth, tenant, pair):
    """A client with a key of its own, for people and for itself."""
    return await made(
        oauth,
        tenant,
        authentication=ClientAuthentication.PRIVATE_KEY_JWT,
        grants=[Grant.AUTHORIZATION_CODE, Grant.CLIENT_CREDENTIALS],
        jwks=json.dumps({"keys": [pair.jwk]}),
    )


@pytest.fixture
async def accounts(database, identity):
    programs = Programs(database, identity.revocations, is_live=False)
    yield programs.accounts
    await programs.close()


@pytest.fixture
async def elsewhere(another_process):
    """The authorisation server of another process."""
    programs = Programs(another_process._db, another_process.revocations, is_live=False)
    yield OAuth(another_process._db, another_process, programs.account_verifier, ISSUER)
    await programs.close()


def signed(pair, account_id, **changes):
    return ClientProof(assertion_type=ASSERTION_TYPE, assertion=pair.signed(account_id, **changes))


async def own_token(oauth, pair, account_id) -> str:
    issued = await oauth.tokens.exchange(anonymous(), signed(pair, account_id), OWN)
    assert issued.refresh_token is None
    return issued.access_token


async def is_active(oauth, pair, account_id, token) -> bool:
    return (await oauth.inspection.introspect(anonymous(), signed(pair, account_id), token)).active


async def test_a_client_that_signs_gets_a_persons_tokens_with_a_new_assertion_each(
    oauth, identity, tenant, pair, signing
):
    code = await code_of(oauth, acting(tenant), signing)
    for proof in (ClientProof(str(signing.id)), signed(Pair(), signing.id)):
        with pytest.raises(InvalidClient):
            await exchange(oauth, signing, code, proof)
    tokens = await exchange(oauth, signing, code, signed(pair, signing.id))
    principal = await identity.verifier.verify(tokens.access_token)
    assert (principal.user_id, principal.client_id) == (tenant.user_id, str(signing.id))
    asked = TokenRequest("refresh_token", refresh_token=tokens.refresh_token)
    renewed = await oauth.tokens.exchange(anonymous(), signed(pair, signing.id), asked)
    assert renewed.refresh_token not in {None, tokens.refresh_token}


async def test_of_many_who_use_an_assertion_at_once_one_is_taken_and_later_none_anywhere(
    oauth, pair, signing
):
    once = signed(pair, signing.id)
    tries = [oauth.tokens.exchange(anonymous(), once, OWN) for _ in range(20)]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    [won] = [one for one in outcomes if not isinstance(one, BaseException)]
    assert {type(one) for one in outcomes if one is not won} == {InvalidClient}
    for use in (oauth.inspection.revoke, oauth.inspection.introspect):
        with pytest.raises(InvalidClient):
            await use(anonymous(), once, won.access_token)
    with pytest.raises(InvalidClient):
        await oauth.tokens.exchange(anonymous(), once, OWN)
    assert await is_active(oauth, pair, signing.id, won.access_token)


async def test_an_assertion_may_be_for_any_of_our_endpoints_and_for_nobody_else(oauth, pair, signing):
    for name in ("token", "revoke", "introspect"):
        proof = signed(pair, signing.id, aud=f"{ISSUER}/oauth2/{name}")
        await oauth.tokens.exchange(anonymous(), proof, OWN)
    for audience in (
        "https://other.example",
        [ISSUER, "https://other.example"],
        f"{ISSUER}/oauth2/authorize",
    ):
        with pytest.raises(InvalidClient):
            await oauth.tokens.exchange(anonymous(), signed(pair, signing.id, aud=audience), OWN)


async def test_a_client_ends_one_of_its_own_tokens_everywhere_within_two_seconds_and_no_other(
    oauth, identity, another_process, elsewhere, pair, signing
):
    ended, kept = [await own_token(oauth, pair, signing.id) for _ in range(2)]
    for token in (ended, kept):
        await another_process.verifier.verify(token)
        assert await is_active(elsewhere, pair, signing.id, token)
    await oauth.inspection.revoke(anonymous(), signed(pair, signing.id), ended)
    began = time.monotonic()
    with pytest.raises(TokenRevoked):
        await identity.verifier.verify(ended)

    async def is_known():
        try:
            await another_process.verifier.verify(ended)
        except TokenRevoked:
            return not await is_active(elsewhere, pair, signing.id, ended)
        return False

    await eventually(is_known, 2.0 - (time.monotonic() - began), "the other process refuses the token")
    for process in (identity, another_process):
        assert (await process.verifier.verify(kept, strict=True)).id == signing.id
    # Again is no fault (RFC 7009 2.2).
    await oauth.inspection.revoke(anonymous(), signed(pair, signing.id), ended)


async def test_a_persons_token_that_was_revoked_is_inactive_in_another_process_within_two_seconds(
    oauth, elsewhere, tenant, pair, signing
):
    for which in ("access_token", "refresh_token"):
        code = await code_of(oauth, acting(tenant), signing)
        tokens = await exchange(oauth, signing, code, signed(pair, signing.id))
        both = (tokens.access_token, tokens.refresh_token)
        assert [await is_active(elsewhere, pair, signing.id, one) for one in both] == [True, True]
        await oauth.inspection.revoke(anonymous(), signed(pair, signing.id), getattr(tokens, which))

        async def are_both_over(both=both):
            return not any([await is_active(elsewhere, pair, signing.id, one) for one in both])

        await eventually(are_both_over, 2.0, "the other process tells that both are over")


async def test_another_client_neither_ends_a_clients_own_token_nor_learns_of_it(
    oauth, identity, tenant, pair, signing
):
    stranger, key = (await register(oauth._db, "stranger")), Pair()
    fields = {
        "authentication": ClientAuthentication.PRIVATE_KEY_JWT,
        "grants": [Grant.CLIENT_CREDENTIALS],
        "redirect_uris": [],
        "jwks": json.dumps({"keys": [key.jwk]}),
    }
    token = await own_token(oauth, pair, signing.id)
    for owner in (tenant, stranger):
        other = await made(oauth, owner, **fields)
        await oauth.inspection.revoke(anonymous(), signed(key, other.id), token)
        assert not await is_active(oauth, key, other.id, token)
    assert (await identity.verifier.verify(token, strict=True)).id == signing.id


async def test_a_service_account_ends_its_token_also_one_for_another_service(
    oauth, identity, accounts, tenant, pair
):
    options = {"display_name": "loader", "scopes": ["customers.read"], "keys": [pair.public]}
    ours = await accounts.create(tenant.context(), **options)
    token = await own_token(oauth, pair, ours.account_id)
    await oauth.inspection.revoke(anonymous(), signed(pair, ours.account_id), token)
    with pytest.raises(TokenRevoked):
        await identity.verifier.verify(token, strict=True)

    theirs = await accounts.create(tenant.context(), **options, audiences=["billing"])
    token = await own_token(oauth, pair, theirs.account_id)
    with pytest.raises(Unauthenticated):
        await identity.verifier.verify(token)  # not for us, so another service asks us about it
    found = await oauth.inspection.introspect(anonymous(), signed(pair, theirs.account_id), token)
    assert (found.active, found.claims["aud"]) == (True, "billing")
    await oauth.inspection.revoke(anonymous(), signed(pair, theirs.account_id), token)
    assert not await is_active(oauth, pair, theirs.account_id, token)


async def test_the_audit_log_tells_which_token_was_ended_and_by_whom(oauth, tenant, pair, signing, superuser):
    token = await own_token(oauth, pair, signing.id)
    await oauth.inspection.revoke(anonymous(), signed(pair, signing.id), token)
    rows = await superuser.fetch(
        "SELECT convert_from(canonical, 'UTF8') AS row FROM audit_log WHERE tenant_id = $1 ORDER BY seq",
        tenant.tenant_id,
    )
    last = json.loads(rows[-1]["row"])
    jti = jwt.decode(token, options={"verify_signature": False})["jti"]
    assert last["action"] == "identity.token.ended"
    assert jti in rows[-1]["row"]
    assert last["actor"] == f"oauth_client:{signing.id}"
    assert token not in rows[-1]["row"]
    [row] = await superuser.fetch("SELECT tenant_id, kind, subject, cause FROM access_changes")
    assert tuple(row) == (tenant.tenant_id, "ENDED", UUID(jti), "TOKEN_REVOKED")


@pytest.mark.parametrize("which", ["access_token", "refresh_token"])
async def test_the_audit_log_names_the_client_that_ended_a_persons_session(
    oauth, tenant, pair, signing, superuser, which
):
    code = await code_of(oauth, acting(tenant), signing)
    tokens = await exchange(oauth, signing, code, signed(pair, signing.id))
    await oauth.inspection.revoke(anonymous(), signed(pair, signing.id), getattr(tokens, which))
    row = await superuser.fetchval(
        "SELECT convert_from(canonical, 'UTF8') FROM audit_log WHERE tenant_id = $1 ORDER BY seq DESC LIMIT 1",
        tenant.tenant_id,
    )
    told = json.loads(row)
    assert told["action"] == "identity.session.ended"
    assert told["actor"] == f"oauth_client:{signing.id}"
