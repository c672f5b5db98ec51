"""AuthService: the RPCs of OAuth 2; the HTTP door gives some of them the bodies that the RFCs ask for."""

# ruff: noqa: ARG002 - the methods of a servicer are named like its RPCs and take the same arguments

from __future__ import annotations

from typing import Any
from uuid import UUID

from cohortlens.core.paging import PageTokens
from cohortlens.identity.oauth.keys import shown_key_set
from cohortlens.identity.oauth.models import (
    AuthorizationParameters,
    ClientAuthentication,
    ClientProof,
    Grant,
    OAuthClient,
)
from cohortlens.identity.oauth.service import OAuth
from cohortlens.identity.oauth.tokens import TokenRequest
from cohortlens.identity.programs.certificates import certificate
from cohortlens.v1 import auth_oauth_pb2 as pb
from gateway.interceptors.chain import Call
from gateway.servicers.paging import read_page

_AUTHENTICATIONS = {
    pb.OAUTH_CLIENT_AUTHENTICATION_NONE: ClientAuthentication.NONE,
    pb.OAUTH_CLIENT_AUTHENTICATION_SECRET_BASIC: ClientAuthentication.SECRET_BASIC,
    pb.OAUTH_CLIENT_AUTHENTICATION_PRIVATE_KEY_JWT: ClientAuthentication.PRIVATE_KEY_JWT,
}
_GRANTS = {
    pb.OAUTH_GRANT_AUTHORIZATION_CODE: Grant.AUTHORIZATION_CODE,
    pb.OAUTH_GRANT_CLIENT_CREDENTIALS: Grant.CLIENT_CREDENTIALS,
}
_AUTHENTICATION_OF = {value: key for key, value in _AUTHENTICATIONS.items()}
_GRANT_OF = {value: key for key, value in _GRANTS.items()}
_WITH_PROOF = ["client_secret_basic", "private_key_jwt"]
# Certificates prove a client on the internal port only, which speaks gRPC; these are of the HTTP endpoints.
_METHODS = ["none", *_WITH_PROOF]


class AuthOAuthServicer:
    """One method per RPC of ``cohortlens.v1.AuthService`` that is about OAuth 2.

    Args:
        oauth: The use cases.
        tokens: Seals the tokens of lists.
    """

    def __init__(self, oauth: OAuth, tokens: PageTokens) -> None:
        self._oauth = oauth
        self._tokens = tokens

    async def CreateOAuthClient(
        self, request: pb.CreateOAuthClientRequest, call: Call
    ) -> pb.CreateOAuthClientResponse:
        """Register a client and show its secret, this once."""
        _never_stored(call)
        made = await self._oauth.clients.create(
            call.context,
            display_name=request.display_name,
            authentication=_AUTHENTICATIONS[request.authentication],
            grants=[_GRANTS[one] for one in request.grants if one in _GRANTS],
            redirect_uris=request.redirect_uris,
            scopes=request.scopes,
            any_tenant=request.any_tenant,
            jwks=request.jwks,
        )
        return pb.CreateOAuthClientResponse(client=_client(made.client), client_secret=made.secret)

    async def ListOAuthClients(
        self, request: pb.ListOAuthClientsRequest, call: Call
    ) -> pb.ListOAuthClientsResponse:
        """Clients of the tenant, oldest first."""

        async def read(cursor: Any, limit: int) -> list[OAuthClient]:
            return await self._oauth.clients.page(
                call.context, None if cursor is None else UUID(cursor), limit
            )

        rows, following = await read_page(
            self._tokens, call.context, "ListOAuthClients", {}, request, read, lambda row: str(row.id)
        )
        return pb.ListOAuthClientsResponse(clients=[_client(row) for row in rows], next_page_token=following)

    async def DeleteOAuthClient(
        self, request: pb.DeleteOAuthClientRequest, call: Call
    ) -> pb.DeleteOAuthClientResponse:
        """End a client with its sessions."""
        await self._oauth.clients.delete(call.context, UUID(request.oauth_client))
        return pb.DeleteOAuthClientResponse()

    async def RotateOAuthClientSecret(
        self, request: pb.RotateOAuthClientSecretRequest, call: Call
    ) -> pb.RotateOAuthClientSecretResponse:
        """Make a new secret and show it, this once."""
        _never_stored(call)
        secret = await self._oauth.clients.rotate_secret(
            call.context, UUID(request.oauth_client), request.overlap.ToTimedelta().total_seconds()
        )
        return pb.RotateOAuthClientSecretResponse(client_secret=secret)

    async def CheckAuthorization(
        self, request: pb.CheckAuthorizationRequest, call: Call
    ) -> pb.CheckAuthorizationResponse:
        """Look at what a client asks for."""
        asked = await self._oauth.authorization.check(_parameters(request.parameters))
        return pb.CheckAuthorizationResponse(
            display_name=asked.client.display_name,
            publisher=asked.client.publisher,
            scopes=asked.scopes,
            error_uri=asked.error_uri,
        )

    async def ReviewAuthorization(
        self, request: pb.ReviewAuthorizationRequest, call: Call
    ) -> pb.ReviewAuthorizationResponse:
        """What the caller could consent to."""
        asked, choices = await self._oauth.authorization.review(call.context, _parameters(request.parameters))
        return pb.ReviewAuthorizationResponse(
            display_name=asked.client.display_name,
            publisher=asked.client.publisher,
            choices=[
                pb.AuthorizationChoice(
                    tenant=str(one.tenant_id), display_name=one.display_name, scopes=one.scopes
                )
                for one in choices
            ],
            error_uri=asked.error_uri,
        )

    async def DecideAuthorization(
        self, request: pb.DecideAuthorizationRequest, call: Call
    ) -> pb.DecideAuthorizationResponse:
        """Turn the caller's decision into an answer for the client."""
        _never_stored(call)
        address = await self._oauth.authorization.decide(
            call.context,
            _parameters(request.parameters),
            approved=request.approved,
            tenant=request.tenant,
            scopes=request.scopes,
        )
        return pb.DecideAuthorizationResponse(redirect_uri=address)

    async def ExchangeToken(self, request: pb.ExchangeTokenRequest, call: Call) -> pb.ExchangeTokenResponse:
        """Exchange a code, a refresh token or a client's own credentials for an access token."""
        _never_stored(call)
        asked = TokenRequest(
            request.grant_type,
            code=request.code,
            redirect_uri=request.redirect_uri,
            code_verifier=request.code_verifier,
            refresh_token=request.refresh_token,
            scope=request.scope,
            user_agent=call.header("user-agent") or "",
        )
        issued = await self._oauth.tokens.exchange(call.context, _proof(request, call), asked)
        return pb.ExchangeTokenResponse(
            access_token=issued.access_token,
            token_type="Bearer",  # noqa: S106 - its kind, no secret
            expires_in=issued.expires_in_s,
            refresh_token=issued.refresh_token,
            scope=issued.scope,
        )

    async def RevokeToken(self, request: pb.RevokeTokenRequest, call: Call) -> pb.RevokeTokenResponse:
        """End the session of a token."""
        _never_stored(call)
        await self._oauth.inspection.revoke(call.context, _proof(request, call), request.token)
        return pb.RevokeTokenResponse()

    async def IntrospectToken(
        self, request: pb.IntrospectTokenRequest, call: Call
    ) -> pb.IntrospectTokenResponse:
        """Tell what is known of a token."""
        _never_stored(call)
        found = await self._oauth.inspection.introspect(call.context, _proof(request, call), request.token)
        return pb.IntrospectTokenResponse(active=found.active, **found.claims)

    async def GetMetadata(self, request: pb.GetMetadataRequest, call: Call) -> pb.GetMetadataResponse:
        """Tell what this server can do."""
        about = self._oauth.metadata
        return pb.GetMetadataResponse(
            issuer=about.issuer,
            authorization_endpoint=about.endpoint("authorize"),
            token_endpoint=about.endpoint("token"),
            revocation_endpoint=about.endpoint("revoke"),
            introspection_endpoint=about.endpoint("introspect"),
            jwks_uri=about.jwks_uri,
            scopes_supported=about.scopes,
            response_types_supported=["code"],
            response_modes_supported=["query"],
            grant_types_supported=["authorization_code", "refresh_token", "client_credentials"],
            token_endpoint_auth_methods_supported=_METHODS,
            token_endpoint_auth_signing_alg_values_supported=about.algorithms,
            revocation_endpoint_auth_methods_supported=_METHODS,
            revocation_endpoint_auth_signing_alg_values_supported=about.algorithms,
            introspection_endpoint_auth_methods_supported=_WITH_PROOF,
            introspection_endpoint_auth_signing_alg_values_supported=about.algorithms,
            code_challenge_methods_supported=["S256"],
            authorization_response_iss_parameter_supported=True,
        )


def _proof(request: Any, call: Call) -> ClientProof:
    return ClientProof(
        request.client_id,
        tuple(call.metadata.values("authorization")),
        request.client_assertion_type,
        request.client_assertion,
        certificate(call.certificate).names if call.certificate else (),
    )


def _parameters(sent: pb.AuthorizationParameters) -> AuthorizationParameters:
    return AuthorizationParameters(
        sent.response_type,
        sent.client_id,
        sent.redirect_uri,
        sent.scope,
        sent.state,
        sent.code_challenge,
        sent.code_challenge_method,
    )


def _client(client: OAuthClient) -> pb.OAuthClient:
    shown = pb.OAuthClient(
        oauth_client=str(client.id),
        display_name=client.display_name,
        authentication=_AUTHENTICATION_OF[client.authentication],
        grants=sorted(_GRANT_OF[one] for one in client.grants),
        redirect_uris=client.redirect_uris,
        scopes=client.scopes,
        any_tenant=client.any_tenant,
        jwks=shown_key_set(client.jwks),
    )
    shown.create_time.FromDatetime(client.created_at)
    if client.secret_created_at is not None:
        shown.secret_create_time.FromDatetime(client.secret_created_at)
    return shown


def _never_stored(call: Call) -> None:
    call.response_headers.append(("cache-control", "no-store"))
