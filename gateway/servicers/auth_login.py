"""AuthService, registration and log-in: messages to values of identity and back."""

from __future__ import annotations

import re

from cohortlens.identity.accounts.login import LoginRequest
from cohortlens.identity.accounts.service import People
from cohortlens.identity.models import TokenPair
from cohortlens.identity.sessions.opening import Device, Opened
from cohortlens.v1 import auth_login_pb2 as login_pb
from cohortlens.v1 import auth_pb2 as pb
from gateway.interceptors.chain import Call

_LANGUAGE = re.compile(r"\s*([a-z]{2,3})(?:[-_;,\s]|$)", re.IGNORECASE)


class LoginServicer:
    """RPCs that lead to a session.

    Args:
        people: The use cases.
    """

    def __init__(self, people: People) -> None:
        self._registration = people.registration
        self._login = people.login
        self._passwords = people.passwords
        self._second_factors = people.second_factors

    async def RegisterTenant(
        self, request: pb.RegisterTenantRequest, call: Call
    ) -> pb.RegisterTenantResponse:
        """Mail a link that makes the tenant; the answer never tells whether the address was known."""
        await self._registration.register(
            call.context,
            display_name=request.display_name,
            email=request.email,
            password=request.password,
            accept_terms_version=request.accept_terms_version,
            locale=_locale(call),
        )
        return pb.RegisterTenantResponse()

    async def VerifyEmail(self, request: login_pb.VerifyEmailRequest, call: Call) -> pb.VerifyEmailResponse:
        """Make the tenant of a mailed link and open its first session."""
        opened = await self._registration.verify(
            call.context, request.token, _device(request.device_name, call)
        )
        never_stored(call)
        return pb.VerifyEmailResponse(
            tokens=token_pair(opened.pair), tenant=str(opened.pair.tenant_id), tenants=_choices(opened)
        )

    async def CreateSession(self, request: pb.CreateSessionRequest, call: Call) -> pb.CreateSessionResponse:
        """Log in."""
        wanted = LoginRequest(
            email=request.email,
            password=request.password,
            tenant=request.tenant,
            code=request.totp,
            mfa_token=request.mfa_token,
            device=_device(request.device_name, call),
            locale=_locale(call),
        )
        opened = await self._login.log_in(call.context, wanted)
        never_stored(call)
        return pb.CreateSessionResponse(
            tokens=token_pair(opened.pair), tenant=str(opened.pair.tenant_id), tenants=_choices(opened)
        )

    async def RequestPasswordReset(
        self, request: login_pb.RequestPasswordResetRequest, call: Call
    ) -> login_pb.RequestPasswordResetResponse:
        """Mail a link; the answer never tells whether the address was known."""
        await self._passwords.request_reset(call.context, request.email, _locale(call))
        return login_pb.RequestPasswordResetResponse()

    async def ResetPassword(
        self, request: login_pb.ResetPasswordRequest, call: Call
    ) -> login_pb.ResetPasswordResponse:
        """Choose a new password by a mailed link."""
        await self._passwords.reset(call.context, request.token, request.password)
        return login_pb.ResetPasswordResponse()

    async def ChangePassword(
        self, request: login_pb.ChangePasswordRequest, call: Call
    ) -> login_pb.ChangePasswordResponse:
        """Choose a new password by the old one."""
        await self._passwords.change(call.context, request.old_password, request.new_password)
        return login_pb.ChangePasswordResponse()

    async def BeginTotp(self, request: login_pb.BeginTotpRequest, call: Call) -> login_pb.BeginTotpResponse:
        """Make the secret of an authenticator app."""
        setup = await self._second_factors.begin(call.context, request.password)
        never_stored(call)
        return login_pb.BeginTotpResponse(secret=setup.secret, otpauth_uri=setup.uri)

    async def ConfirmTotp(
        self, request: login_pb.ConfirmTotpRequest, call: Call
    ) -> login_pb.ConfirmTotpResponse:
        """Switch the authenticator app on."""
        codes = await self._second_factors.confirm(call.context, request.code)
        never_stored(call)
        return login_pb.ConfirmTotpResponse(recovery_codes=codes)

    async def DisableTotp(
        self, request: login_pb.DisableTotpRequest, call: Call
    ) -> login_pb.DisableTotpResponse:
        """Switch the authenticator app off."""
        await self._second_factors.disable(call.context, request.password, request.code)
        return login_pb.DisableTotpResponse()


def token_pair(pair: TokenPair) -> pb.TokenPair:
    """The tokens of a session as a message."""
    return pb.TokenPair(
        access_token=pair.access_token,
        expires_in=pair.expires_in_s,
        refresh_token=pair.refresh_token,
        refresh_expires_in=pair.refresh_expires_in_s,
        session=str(pair.session_id),
    )


def never_stored(call: Call) -> None:
    """Keep an answer that holds secrets out of every cache."""
    call.response_headers.append(("cache-control", "no-store"))


def _choices(opened: Opened) -> list[login_pb.TenantChoice]:
    return [
        login_pb.TenantChoice(
            tenant=str(one.membership.tenant_id), display_name=one.display_name, role=one.membership.role
        )
        for one in opened.tenants
    ]


def _device(name: str, call: Call) -> Device:
    return Device(name, call.header("user-agent") or "")


def _locale(call: Call) -> str:
    """The caller's first language; the templates fall back to English."""
    found = _LANGUAGE.match(call.header("accept-language") or "")
    return found[1].lower() if found else "en"
