"""AuthService: the RPCs of API keys and service accounts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from cohortlens.core.paging import PageTokens
from cohortlens.identity.programs.api_key_rows import ApiKey
from cohortlens.identity.programs.api_keys import ApiKeys
from cohortlens.identity.programs.keys import ProgramKey, program_key
from cohortlens.identity.programs.service_account_rows import ServiceAccountRow
from cohortlens.identity.programs.service_accounts import ServiceAccounts
from cohortlens.v1 import auth_keys_pb2 as pb
from gateway.interceptors.chain import Call
from gateway.servicers.paging import read_page

_JWK_MEMBERS = ("kty", "alg", "kid", "crv", "x", "y", "n", "e", "use")


class AuthKeysServicer:
    """One method per RPC of ``cohortlens.v1.AuthService`` that is about credentials of programs.

    Args:
        keys: The use cases of API keys.
        accounts: The use cases of service accounts.
        tokens: Seals the tokens of lists.
    """

    def __init__(self, keys: ApiKeys, accounts: ServiceAccounts, tokens: PageTokens) -> None:
        self._keys = keys
        self._accounts = accounts
        self._tokens = tokens

    async def CreateApiKey(self, request: pb.CreateApiKeyRequest, call: Call) -> pb.CreateApiKeyResponse:
        """Make a key and show its secret, this once."""
        _never_stored(call)
        made = await self._keys.create(
            call.context,
            display_name=request.display_name,
            scopes=request.scopes,
            expires_at=_time(request, "expire_time"),
            ip_allowlist=request.ip_allowlist,
        )
        return pb.CreateApiKeyResponse(api_key=_key(made.key), secret=made.secret)

    async def ListApiKeys(self, request: pb.ListApiKeysRequest, call: Call) -> pb.ListApiKeysResponse:
        """Keys of the tenant, newest first."""

        async def read(cursor: Any, limit: int) -> list[ApiKey]:
            return await self._keys.page(call.context, None if cursor is None else UUID(cursor), limit)

        rows, following = await read_page(
            self._tokens, call.context, "ListApiKeys", {}, request, read, lambda row: str(row.key_id)
        )
        return pb.ListApiKeysResponse(api_keys=[_key(row) for row in rows], next_page_token=following)

    async def RevokeApiKey(self, request: pb.RevokeApiKeyRequest, call: Call) -> pb.RevokeApiKeyResponse:
        """End a key."""
        await self._keys.revoke(call.context, UUID(request.api_key))
        return pb.RevokeApiKeyResponse()

    async def RotateApiKey(self, request: pb.RotateApiKeyRequest, call: Call) -> pb.RotateApiKeyResponse:
        """Make the successor of a key and show its secret, this once."""
        _never_stored(call)
        made = await self._keys.rotate(
            call.context,
            UUID(request.api_key),
            overlap_s=request.overlap.ToTimedelta().total_seconds(),
            expires_at=_time(request, "expire_time"),
        )
        response = pb.RotateApiKeyResponse(api_key=_key(made.key), secret=made.secret)
        _set(response.old_expire_time, made.old_expires_at)
        return response

    async def RevokeLeakedKey(
        self, request: pb.RevokeLeakedKeyRequest, call: Call
    ) -> pb.RevokeLeakedKeyResponse:
        """End a key that was found in public; the answer tells nothing."""
        _never_stored(call)
        await self._keys.revoke_leaked(call.context, request.key)
        return pb.RevokeLeakedKeyResponse()

    async def CreateServiceAccount(
        self, request: pb.CreateServiceAccountRequest, call: Call
    ) -> pb.CreateServiceAccountResponse:
        """Make a service account."""
        account = await self._accounts.create(
            call.context,
            display_name=request.display_name,
            scopes=request.scopes,
            audiences=request.audiences,
            certificate_name=request.certificate_name,
            keys=[_program_key(key, f"keys[{at}]") for at, key in enumerate(request.keys)],
        )
        return pb.CreateServiceAccountResponse(service_account=_account(account))

    async def ListServiceAccounts(
        self, request: pb.ListServiceAccountsRequest, call: Call
    ) -> pb.ListServiceAccountsResponse:
        """Service accounts of the tenant, newest first."""

        async def read(cursor: Any, limit: int) -> list[ServiceAccountRow]:
            return await self._accounts.page(call.context, None if cursor is None else UUID(cursor), limit)

        rows, following = await read_page(
            self._tokens,
            call.context,
            "ListServiceAccounts",
            {},
            request,
            read,
            lambda row: str(row.account_id),
        )
        return pb.ListServiceAccountsResponse(
            service_accounts=[_account(row) for row in rows], next_page_token=following
        )

    async def AddServiceAccountKey(
        self, request: pb.AddServiceAccountKeyRequest, call: Call
    ) -> pb.AddServiceAccountKeyResponse:
        """Give a service account a further public key."""
        key = _program_key(request.key, "key")
        await self._accounts.add_key(call.context, UUID(request.service_account), key)
        return pb.AddServiceAccountKeyResponse(key=_jwk(key))

    async def DeleteServiceAccountKey(
        self, request: pb.DeleteServiceAccountKeyRequest, call: Call
    ) -> pb.DeleteServiceAccountKeyResponse:
        """Take a public key from a service account."""
        await self._accounts.delete_key(call.context, UUID(request.service_account), request.kid)
        return pb.DeleteServiceAccountKeyResponse()

    async def DeleteServiceAccount(
        self, request: pb.DeleteServiceAccountRequest, call: Call
    ) -> pb.DeleteServiceAccountResponse:
        """End a service account."""
        await self._accounts.delete(call.context, UUID(request.service_account))
        return pb.DeleteServiceAccountResponse()


def _key(row: ApiKey) -> pb.ApiKey:
    message = pb.ApiKey(
        api_key=str(row.key_id),
        display_name=row.display_name,
        prefix=row.prefix,
        scopes=row.scopes,
        ip_allowlist=row.ip_allowlist,
        created_by=str(row.created_by),
        replaced_by="" if row.replaced_by is None else str(row.replaced_by),
    )
    _set(message.create_time, row.created_at)
    _set(message.expire_time, row.expires_at)
    _set(message.last_used_time, row.last_used_at)
    _set(message.revoke_time, row.revoked_at)
    return message


def _account(row: ServiceAccountRow) -> pb.ServiceAccount:
    message = pb.ServiceAccount(
        service_account=str(row.account_id),
        display_name=row.display_name,
        scopes=row.scopes,
        audiences=row.audiences,
        certificate_name=row.certificate_name,
        keys=[_jwk(key) for key in row.keys],
        created_by=str(row.created_by),
    )
    _set(message.create_time, row.created_at)
    _set(message.last_used_time, row.last_used_at)
    return message


def _program_key(message: pb.PublicJwk, field: str) -> ProgramKey:
    return program_key({name: getattr(message, name) for name in _JWK_MEMBERS}, field)


def _jwk(key: ProgramKey) -> pb.PublicJwk:
    return pb.PublicJwk(kid=key.kid, alg=key.alg, use="sig", **key.jwk)


def _time(request: Any, field: str) -> datetime | None:
    return getattr(request, field).ToDatetime(UTC) if request.HasField(field) else None


def _set(field: Timestamp, at: datetime | None) -> None:
    if at is not None:
        field.FromDatetime(at)


def _never_stored(call: Call) -> None:
    call.response_headers.append(("cache-control", "no-store"))
