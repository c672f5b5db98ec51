"""AuthService, who is calling and public keys: messages to values of identity and back."""

# ruff: noqa: ARG002 - the methods of a servicer are named like its RPCs and take the same arguments

from __future__ import annotations

from cohortlens.identity.access.jws import encode
from cohortlens.identity.service import IdentityService
from cohortlens.v1 import auth_pb2 as pb
from gateway.interceptors.chain import Call
from gateway.servicers.analytics_mapping import timestamp
from gateway.servicers.auth_users import USER_STATUS


class AuthServicer:
    """RPCs that tell about the caller and about public keys.

    Args:
        identity: The use cases.
    """

    def __init__(self, identity: IdentityService) -> None:
        self._identity = identity

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
            email=me.email,
            status=USER_STATUS[me.status],
            last_login_time=timestamp(me.last_login_at),
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
