"""AuthService: the RPCs of users and invitations."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from cohortlens.core.ids import parse_uuid
from cohortlens.core.paging import PageTokens
from cohortlens.identity.tenancy.invitation_rows import Invitation
from cohortlens.identity.tenancy.invitations import InvitationsService
from cohortlens.identity.tenancy.members import Member
from cohortlens.identity.tenancy.roles import missing
from cohortlens.identity.tenancy.users import UsersService
from cohortlens.v1 import auth_users_pb2 as pb
from gateway.interceptors.chain import Call
from gateway.servicers.analytics_mapping import timestamp
from gateway.servicers.paging import read_page

USER_STATUS = {"ACTIVE": pb.USER_STATUS_ACTIVE, "DISABLED": pb.USER_STATUS_DISABLED}
"""Status of a user as messages name it."""


class AuthUsersServicer:
    """One method per RPC of ``cohortlens.v1.AuthService`` that is about the people of a tenant.

    Args:
        users: The use cases of users.
        invitations: The use cases of invitations.
        tokens: Seals the tokens of lists.
    """

    def __init__(self, users: UsersService, invitations: InvitationsService, tokens: PageTokens) -> None:
        self._users = users
        self._invitations = invitations
        self._tokens = tokens

    async def GetUser(self, request: pb.GetUserRequest, call: Call) -> pb.GetUserResponse:
        """One user of the tenant."""
        return pb.GetUserResponse(user=_user(await self._users.get(call.context, _id(request.user, "user"))))

    async def ListUsers(self, request: pb.ListUsersRequest, call: Call) -> pb.ListUsersResponse:
        """Users in the order of joining."""

        async def read(cursor: Any, limit: int) -> list[Member]:
            after = None if cursor is None else (datetime.fromisoformat(cursor[0]), UUID(cursor[1]))
            return await self._users.page(call.context, request.role, after, limit)

        rows, following = await read_page(
            self._tokens,
            call.context,
            "ListUsers",
            {"role": request.role},
            request,
            read,
            lambda row: [row.joined_at.isoformat(), str(row.user_id)],
        )
        return pb.ListUsersResponse(users=[_user(row) for row in rows], next_page_token=following)

    async def UpdateUser(self, request: pb.UpdateUserRequest, call: Call) -> pb.UpdateUserResponse:
        """Change the role of a user."""
        changed = await self._users.update(
            call.context,
            _id(request.user, "user"),
            request.role,
            list(request.update_mask.paths),
            request.etag,
        )
        return pb.UpdateUserResponse(user=_user(changed))

    async def DeleteUser(self, request: pb.DeleteUserRequest, call: Call) -> pb.DeleteUserResponse:
        """Remove a user from the tenant."""
        heir = _id(request.transfer_to, "transfer_to") if request.transfer_to else None
        done = await self._users.delete(call.context, _id(request.user, "user"), request.etag, heir)
        return pb.DeleteUserResponse(
            sessions_ended=done.sessions_ended,
            api_keys_revoked=done.keys_revoked,
            api_keys_transferred=done.keys_transferred,
        )

    async def InviteUser(self, request: pb.InviteUserRequest, call: Call) -> pb.InviteUserResponse:
        """Mail an invitation."""
        made = await self._invitations.invite(call.context, request.email, request.role)
        return pb.InviteUserResponse(invitation=_invitation(made))

    async def ListInvitations(
        self, request: pb.ListInvitationsRequest, call: Call
    ) -> pb.ListInvitationsResponse:
        """Open invitations, newest first."""

        async def read(cursor: Any, limit: int) -> list[Invitation]:
            below = None if cursor is None else UUID(cursor)
            return await self._invitations.page(call.context, below, limit)

        rows, following = await read_page(
            self._tokens,
            call.context,
            "ListInvitations",
            {},
            request,
            read,
            lambda row: str(row.invitation_id),
        )
        return pb.ListInvitationsResponse(
            invitations=[_invitation(row) for row in rows], next_page_token=following
        )

    async def RevokeInvitation(
        self, request: pb.RevokeInvitationRequest, call: Call
    ) -> pb.RevokeInvitationResponse:
        """Withdraw an open invitation."""
        await self._invitations.revoke(call.context, _id(request.invitation, "invitation"))
        return pb.RevokeInvitationResponse()

    async def ReviewInvitation(
        self, request: pb.ReviewInvitationRequest, call: Call
    ) -> pb.ReviewInvitationResponse:
        """Show what an invitation offers."""
        offer = await self._invitations.offer(request.token)
        call.response_headers.append(("cache-control", "no-store"))
        return pb.ReviewInvitationResponse(
            tenant_display_name=offer.tenant.display_name,
            email=offer.invitation.email,
            role=offer.invitation.role,
            needs_password=offer.needs_password,
            needs_terms=offer.needs_terms,
            expire_time=timestamp(offer.invitation.expires_at),
        )

    async def AcceptInvitation(
        self, request: pb.AcceptInvitationRequest, call: Call
    ) -> pb.AcceptInvitationResponse:
        """Join a tenant by the token of a link."""
        done = await self._invitations.accept(
            call.context,
            request.token,
            password=request.password,
            terms_version=request.accept_terms_version,
            device_name=request.device_name,
            user_agent=" ".join(call.metadata.values("user-agent")),
        )
        call.response_headers.append(("cache-control", "no-store"))
        reply = pb.AcceptInvitationResponse(
            tenant=str(done.tenant_id), user=str(done.user_id), role=done.role
        )
        if done.tokens is not None:
            reply.access_token = done.tokens.access_token
            reply.expires_in = done.tokens.expires_in_s
            reply.refresh_token = done.tokens.refresh_token
            reply.refresh_expires_in = done.tokens.refresh_expires_in_s
            reply.session = str(done.tokens.session_id)
        return reply


def _id(text: str, field: str) -> UUID:
    found = parse_uuid(text)
    if found is None:
        raise missing(field)
    return found


def _user(member: Member) -> pb.User:
    return pb.User(
        user=str(member.user_id),
        email=member.email,
        role=member.role,
        status=USER_STATUS[member.status],
        create_time=timestamp(member.joined_at),
        last_login_time=timestamp(member.last_login_at),
        invited_by=str(member.invited_by or ""),
        etag=member.etag,
    )


def _invitation(made: Invitation) -> pb.Invitation:
    return pb.Invitation(
        invitation=str(made.invitation_id),
        email=made.email,
        role=made.role,
        invited_by=str(made.invited_by or ""),
        create_time=timestamp(made.created_at),
        expire_time=timestamp(made.expires_at),
    )
