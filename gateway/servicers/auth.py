"""AuthService: messages to values of identity and back."""

# ruff: noqa: ARG002 - the methods of a servicer are named like its RPCs and take the same arguments

from __future__ import annotations

from cohortlens.identity.jws import encode
from cohortlens.identity.models import TokenPair
from cohortlens.identity.service import IdentityService
from cohortlens.v1 import auth_pb2 as pb
from gateway.interceptors.chain import Call


class AuthServicer:
    """One method per RPC of ``cohortlens.v1.AuthService``.

    Args:
        identity: The use cases.
    """

    def __init__(self, identity: IdentityService) -> None:
        self._identity = identity

    async def RegisterTenant(
        self, request: pb.RegisterTenantRequest, call: Call
    ) -> pb.RegisterTenantResponse:
        """Register a tenant with its owner; the answer never tells whether the address was known."""
        await self._identity.register_tenant(
            display_name=request.display_name,
            email=request.email,
            password=request.password,
            accept_terms_version=request.accept_terms_version,
        )
        return pb.RegisterTenantResponse()

    async def CreateSession(self, request: pb.CreateSessionRequest, call: Call) -> pb.CreateSessionResponse:
        """Log in."""
        pair = await self._identity.create_session(
            email=request.email,
            password=request.password,
            tenant=request.tenant,
            device_name=request.device_name,
            address=call.peer,
        )
        _never_stored(call)
        return pb.CreateSessionResponse(tokens=_tokens(pair), tenant=str(pair.tenant_id))

    async def RefreshSession(
        self, request: pb.RefreshSessionRequest, call: Call
    ) -> pb.RefreshSessionResponse:
        """Exchange a refresh token for the next pair."""
        pair = await self._identity.refresh_session(request.refresh_token)
        _never_stored(call)
        return pb.RefreshSessionResponse(tokens=_tokens(pair), replayed=pair.replayed)

    async def DeleteSession(self, request: pb.DeleteSessionRequest, call: Call) -> pb.DeleteSessionResponse:
        """End a session of the caller."""
        await self._identity.delete_session(call.context, request.session)
        return pb.DeleteSessionResponse()

    async def GetMe(self, request: pb.GetMeRequest, call: Call) -> pb.GetMeResponse:
        """Answer who the caller is."""
        me = await self._identity.get_me(call.context)
        response = pb.GetMeResponse(
            user=str(me.user_id),
            tenant=str(me.tenant_id),
            tenant_display_name=me.tenant_display_name,
            role=me.role,
            scopes=me.scopes,
            session=str(me.session_id),
        )
        response.create_time.FromDatetime(me.created_at)
        return response

    async def GetJwks(self, request: pb.GetJwksRequest, call: Call) -> pb.GetJwksResponse:
        """Answer the public keys."""
        keys = await self._identity.jwks()
        call.response_headers.append(("cache-control", "public, max-age=600"))
        return pb.GetJwksResponse(
            keys=[
                pb.JsonWebKey(kty="OKP", crv="Ed25519", x=encode(key.x), kid=key.kid, use="sig", alg="EdDSA")
                for key in keys
            ]
        )


def _tokens(pair: TokenPair) -> pb.TokenPair:
    return pb.TokenPair(
        access_token=pair.access_token,
        expires_in=pair.expires_in_s,
        refresh_token=pair.refresh_token,
        refresh_expires_in=pair.refresh_expires_in_s,
        session=str(pair.session_id),
    )


def _never_stored(call: Call) -> None:
    call.response_headers.append(("cache-control", "no-store"))
