"""What goes into the opening of a session, and what comes out: shared by log-in and verification."""

from __future__ import annotations

from dataclasses import dataclass

from cohortlens.identity.accounts.credentials import TenantOfUser
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
