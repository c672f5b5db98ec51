"""The servicer: messages in, messages out, nothing kept by caches that must not be."""

from __future__ import annotations

import time
from types import SimpleNamespace

import jwt
import pyotp
import pytest

from cohortlens.core.context import RequestContext
from cohortlens.identity.accounts.second_step import MfaRequired
from cohortlens.v1 import auth_pb2 as pb
from cohortlens.v1.auth_login_pb2 import (
    BeginTotpRequest,
    ChangePasswordRequest,
    ConfirmTotpRequest,
    RequestPasswordResetRequest,
    ResetPasswordRequest,
    VerifyEmailRequest,
)
from gateway.servicers.auth import AuthServicer
from gateway.servicers.auth_login import LoginServicer
from gateway.servicers.joined import joined
from tests.integration.identity.conftest import ISSUER, PASSWORD, anonymous


@pytest.fixture
def servicer(identity, people):
    return joined(AuthServicer(identity), LoginServicer(people))


def call(context=None, **headers):
    context = context or anonymous()
    return SimpleNamespace(context=context, response_headers=[], header=headers.get)


async def test_from_registration_to_a_second_step_in_messages(servicer, identity, mailbox):
    registered = await servicer.RegisterTenant(
        pb.RegisterTenantRequest(
            display_name="Corner Shop", email="a@shop.example", password=PASSWORD, accept_terms_version="1"
        ),
        call(**{"accept-language": "es-MX,en;q=0.5"}),
    )
    assert registered == pb.RegisterTenantResponse()
    mail = await mailbox.newest("a@shop.example")
    assert mail.locale == "es"
    asked = call()
    verified = await servicer.VerifyEmail(VerifyEmailRequest(token=mail.values["token"]), asked)
    assert ("cache-control", "no-store") in asked.response_headers
    principal = await identity.verifier.verify(verified.tokens.access_token)
    inside = call(RequestContext("r", principal, time.monotonic() + 10, "192.0.2.7"))
    me = await servicer.GetMe(pb.GetMeRequest(), inside)
    assert (me.tenant, me.role, me.tenant_display_name) == (verified.tenant, "owner", "Corner Shop")
    assert me.create_time.seconds > 1_700_000_000
    setup = await servicer.BeginTotp(BeginTotpRequest(password=PASSWORD), inside)
    app = pyotp.TOTP(setup.secret)
    codes = await servicer.ConfirmTotp(ConfirmTotpRequest(code=app.now()), inside)
    assert len(codes.recovery_codes) == 10
    with pytest.raises(MfaRequired) as second:
        await servicer.CreateSession(
            pb.CreateSessionRequest(email="a@shop.example", password=PASSWORD), call()
        )
    answered = call()
    created = await servicer.CreateSession(
        pb.CreateSessionRequest(mfa_token=second.value.metadata["mfa_token"], totp=codes.recovery_codes[0]),
        answered,
    )
    assert ("cache-control", "no-store") in answered.response_headers
    assert created.tokens.expires_in == 600
    assert [(one.tenant, one.display_name, one.role) for one in created.tenants] == [
        (verified.tenant, "Corner Shop", "owner")
    ]


async def test_passwords_change_by_messages(servicer, people, identity, mailbox, owner):
    assert await servicer.RequestPasswordReset(RequestPasswordResetRequest(email=owner.email), call())
    token = (await mailbox.newest(owner.email)).values["token"]
    await servicer.ResetPassword(ResetPasswordRequest(token=token, password="a heron on the weir"), call())
    opened = await servicer.CreateSession(
        pb.CreateSessionRequest(email=owner.email, password="a heron on the weir"), call()
    )
    principal = await identity.verifier.verify(opened.tokens.access_token)
    inside = call(RequestContext("r", principal, time.monotonic() + 10, "192.0.2.7"))
    change = ChangePasswordRequest(old_password="a heron on the weir", new_password=PASSWORD)
    await servicer.ChangePassword(change, inside)
    assert await servicer.CreateSession(pb.CreateSessionRequest(email=owner.email, password=PASSWORD), call())


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
