"""The servicer: messages in, messages out, nothing kept by caches that must not be."""

from __future__ import annotations

import time
from types import SimpleNamespace

import jwt
import pytest

from cohortlens.core.context import RequestContext
from cohortlens.v1 import auth_pb2 as pb
from gateway.servicers.auth import AuthServicer
from tests.integration.identity.conftest import ISSUER, PASSWORD


@pytest.fixture
def servicer(identity):
    return AuthServicer(identity)


def call(context=None):
    return SimpleNamespace(peer="192.0.2.7:4711", context=context, response_headers=[])


async def test_from_registration_to_log_out_in_messages(servicer, identity):
    registered = await servicer.RegisterTenant(
        pb.RegisterTenantRequest(
            display_name="Corner Shop", email="a@shop.example", password=PASSWORD, accept_terms_version="1"
        ),
        call(),
    )
    assert registered == pb.RegisterTenantResponse()
    login = call()
    created = await servicer.CreateSession(
        pb.CreateSessionRequest(email="a@shop.example", password=PASSWORD), login
    )
    assert ("cache-control", "no-store") in login.response_headers
    assert created.tokens.expires_in == 600
    refreshed = await servicer.RefreshSession(
        pb.RefreshSessionRequest(refresh_token=created.tokens.refresh_token), call()
    )
    assert refreshed.tokens.session == created.tokens.session
    assert not refreshed.replayed
    principal = await identity.verifier.verify(refreshed.tokens.access_token)
    inside = call(RequestContext("r", principal, time.monotonic() + 10))
    me = await servicer.GetMe(pb.GetMeRequest(), inside)
    assert (me.tenant, me.role, me.tenant_display_name) == (created.tenant, "owner", "Corner Shop")
    assert me.create_time.seconds > 1_700_000_000
    assert (
        await servicer.DeleteSession(pb.DeleteSessionRequest(session="current"), inside)
        == pb.DeleteSessionResponse()
    )


async def test_the_key_set_is_one_that_a_foreign_library_accepts(servicer, session):
    asked = call()
    response = await servicer.GetJwks(pb.GetJwksRequest(), asked)
    document = {"keys": [{field.name: value for field, value in key.ListFields()} for key in response.keys]}
    keys = jwt.PyJWKSet.from_dict(document)
    assert len(keys.keys) == 2
    kid = jwt.get_unverified_header(session.access_token)["kid"]
    claims = jwt.decode(session.access_token, keys[kid], audience="cohortlens", issuer=ISSUER)
    assert claims["sid"] == str(session.session_id)
    assert ("cache-control", "public, max-age=600") in asked.response_headers
