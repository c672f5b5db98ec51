"""AuthService: the RPCs of sessions and of signing keys."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from cohortlens.core.ids import SessionId
from cohortlens.core.paging import PageTokens
from cohortlens.identity.access.key_control import KeyControl
from cohortlens.identity.access.key_rows import KeyRow
from cohortlens.identity.sessions.control import SessionControl
from cohortlens.identity.sessions.rows import SessionRow
from cohortlens.v1 import auth_pb2 as auth
from cohortlens.v1 import auth_sessions_pb2 as pb
from gateway.interceptors.chain import Call
from gateway.servicers.auth_login import never_stored, token_pair
from gateway.servicers.paging import read_page


class AuthSessionsServicer:
    """One method per RPC of ``cohortlens.v1.AuthService`` that is about sessions and signing keys.

    Args:
        sessions: The use cases of sessions.
        keys: The use cases of signing keys.
        tokens: Seals the tokens of lists.
    """

    def __init__(self, sessions: SessionControl, keys: KeyControl, tokens: PageTokens) -> None:
        self._sessions = sessions
        self._keys = keys
        self._tokens = tokens

    async def RefreshSession(
        self, request: auth.RefreshSessionRequest, call: Call
    ) -> auth.RefreshSessionResponse:
        """Exchange a refresh token for the next pair."""
        never_stored(call)
        pair = await self._sessions.refresh(
            request.refresh_token, address=call.context.address, request_id=call.request_id
        )
        return auth.RefreshSessionResponse(tokens=token_pair(pair), replayed=pair.replayed)

    async def ListSessions(self, request: pb.ListSessionsRequest, call: Call) -> pb.ListSessionsResponse:
        """The caller's sessions, newest first."""

        async def read(cursor: Any, limit: int) -> list[SessionRow]:
            after = None if cursor is None else SessionId(UUID(cursor))
            return await self._sessions.page(call.context, after, limit)

        caller = call.context.caller
        rows, following = await read_page(
            self._tokens,
            call.context,
            "ListSessions",
            {"user": str(caller.id)},
            request,
            read,
            lambda row: str(row.session_id),
        )
        return pb.ListSessionsResponse(
            sessions=[_session(row, caller.session_id) for row in rows], next_page_token=following
        )

    async def DeleteSession(
        self, request: auth.DeleteSessionRequest, call: Call
    ) -> auth.DeleteSessionResponse:
        """End a session of the caller."""
        await self._sessions.delete(call.context, request.session)
        return auth.DeleteSessionResponse()

    async def RevokeUserSessions(
        self, request: pb.RevokeUserSessionsRequest, call: Call
    ) -> pb.RevokeUserSessionsResponse:
        """End every session of a user."""
        return pb.RevokeUserSessionsResponse(count=await self._sessions.revoke_of(call.context, request.user))

    async def SwitchTenant(self, request: pb.SwitchTenantRequest, call: Call) -> auth.CreateSessionResponse:
        """Open a session in another tenant of the caller."""
        never_stored(call)
        pair = await self._sessions.switch_tenant(
            call.context, request.tenant, user_agent=call.header("user-agent") or ""
        )
        return auth.CreateSessionResponse(tokens=token_pair(pair), tenant=str(pair.tenant_id))

    async def ListSigningKeys(
        self, request: pb.ListSigningKeysRequest, call: Call
    ) -> pb.ListSigningKeysResponse:
        """The signing keys of the installation."""
        rows = await self._keys.recent(call.context, request.key_set)
        return pb.ListSigningKeysResponse(keys=[_key(row) for row in rows])

    async def RotateSigningKey(
        self, request: pb.RotateSigningKeyRequest, call: Call
    ) -> pb.RotateSigningKeyResponse:
        """Let the next key of a set sign."""
        row = await self._keys.rotate(call.context, request.key_set, request.reason)
        return pb.RotateSigningKeyResponse(key=_key(row))


def _session(row: SessionRow, current: SessionId) -> pb.Session:
    message = pb.Session(
        session=str(row.session_id),
        device_name=row.device_name,
        user_agent=row.user_agent,
        address_prefix=row.address_prefix,
        amr=row.amr,
        client_id=row.client_id,
        is_current=row.session_id == current,
    )
    _set(message.create_time, row.created_at)
    _set(message.last_refresh_time, row.last_refreshed_at)
    _set(message.expire_time, row.expires_at)
    return message


def _key(row: KeyRow) -> pb.SigningKey:
    message = pb.SigningKey(kid=row.kid, key_set=row.key_set, state=f"SIGNING_KEY_STATE_{row.state}")
    _set(message.create_time, row.created_at)
    if row.activated_at is not None:
        _set(message.activate_time, row.activated_at)
    if row.retire_at is not None:
        _set(message.retire_time, row.retire_at)
    return message


def _set(target: Timestamp, at: datetime) -> None:
    target.FromDatetime(at.astimezone(UTC).replace(tzinfo=None))
