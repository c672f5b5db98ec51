"""What goes into the opening of a session, and what comes out: shared by log-in and verification."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cohortlens.core.ids import TenantId, UserId
from cohortlens.identity.credentials import TenantOfUser
from cohortlens.identity.models import TokenPair


@dataclass(frozen=True)
class Device:
    """Where a session is opened.

    Attributes:
        name: How the list of sessions shows the device.
        user_agent: As the client names itself.
    """

    name: str = ""
    user_agent: str = ""


@dataclass(frozen=True)
class Opened:
    """A session that was opened.

    Attributes:
        pair: Its tokens.
        tenants: Every active tenant of the user, for the choice among them.
    """

    pair: TokenPair
    tenants: tuple[TenantOfUser, ...]


class SessionOpening(Protocol):
    """The one way to a session, whoever leads to it; see ``SessionKeeper``."""

    async def open(
        self,
        tenant_id: TenantId,
        user_id: UserId,
        *,
        device_name: str,
        address: str,
        user_agent: str,
        amr: Sequence[str],
        ver: int | None = None,
    ) -> TokenPair:
        """Store a session and answer its first tokens.

        Args:
            tenant_id: The tenant.
            user_id: The user; must belong to it.
            device_name: How the list of sessions shows the device.
            address: Network address of the caller.
            user_agent: As the caller's program names itself.
            amr: How the user proved who it is (RFC 8176).
            ver: Version of the user's rights when the proof was checked; a change since then opens nothing.
        """
