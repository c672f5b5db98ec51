"""Links by which persons reach their own decisions and data, without an account.

A link holds a secret behind the hash sign of the tenant's own page, so no server and no mail scanner sees it.
One POST exchanges it for a token of 30 minutes. The token is no access token: it opens the person's own calls
and nothing else, and stands in the body of a request, never in an address. Only hashes of both are stored.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy import text

from cohortlens.audit.models import Actor
from cohortlens.audit.trail import AuditTrail
from cohortlens.consent.models import field_fault
from cohortlens.consent.subjects import People
from cohortlens.core import idempotency
from cohortlens.core.clock import Clock, now
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database, go_on_for
from cohortlens.core.errors import Unauthenticated
from cohortlens.core.ids import TenantId, plain_uuid, uuid7

LINK_LIFE = timedelta(hours=24)
TOKEN_LIFE = timedelta(minutes=30)
SECRET_START, TOKEN_START = "clk_", "clc_"
_BYTES = 32
_INSERT = """
INSERT INTO consent_links (tenant_id, id, identity_id, secret_sha256, created_by, expires_at)
VALUES (app.tid(), :id, :identity, :secret, :by, :until)
"""
_OPEN = "SELECT * FROM app.consent_link_open(:secret, :token, :seconds)"
_TOKEN = "SELECT * FROM app.consent_link_token(:token)"  # noqa: S105 - a statement


class LinkTokenInvalid(Unauthenticated):
    """The secret or the token opens nothing: unknown, used, or its time is over."""

    reason = "TOKEN_INVALID"


@dataclass(frozen=True)
class Link:
    """A new link; ``url`` holds its secret and is shown once."""

    link_id: UUID
    url: str
    expires_at: datetime


@dataclass(frozen=True)
class OpenedLink:
    """What a secret was exchanged for."""

    token: str
    expires_at: datetime


@dataclass(frozen=True)
class LinkHolder:
    """Whoever holds a token.

    Attributes:
        tenant_id: Tenant of the person.
        identity_id: The person.
        link_id: The link that was opened; stands for the person in the audit log.
    """

    tenant_id: TenantId
    identity_id: UUID
    link_id: UUID

    @property
    def actor(self) -> Actor:
        """Who did it, in the audit log."""
        return Actor("customer_link", str(self.link_id))


class ConsentLinks:
    """Makes links, opens them, checks tokens.

    Args:
        db: The database.
        people: Find the person.
        clock: Current time.
    """

    def __init__(self, db: Database, people: People, clock: Clock = now) -> None:
        self._db = db
        self._people = people
        self._clock = clock

    async def create(self, ctx: RequestContext, customer: str, page_url: str) -> Link:
        """A link for a person, good for 24 hours and one use.

        Args:
            ctx: The request.
            customer: A customer's identifier, or ``external:`` and the tenant's own one.
            page_url: The tenant's page that calls the API for the person.

        Raises:
            ConsentRowMissing: There is no such customer.
            CustomerErased: The person was erased.
            InvalidArgument: The address is none that a secret may be sent to.
        """
        _check_page(page_url)
        link_id, secret = uuid7(), SECRET_START + secrets.token_urlsafe(_BYTES)
        until = self._clock() + LINK_LIFE
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            person = await self._people.subject(tx, ctx.tenant_id, customer)
            idempotency.made(link=str(link_id))
            await tx.execute(
                text(_INSERT),
                {
                    "id": link_id,
                    "identity": person.identity_id,
                    "secret": _hash(secret),
                    "by": ctx.caller.actor,
                    "until": until,
                },
            )
            await AuditTrail(tx).append(
                ctx,
                "consent.link.created",
                resource=f"consentLinks/{link_id}",
                details={"identity": str(person.identity_id)},
            )
        return Link(link_id, f"{page_url}#{secret}", until)

    async def open(self, secret: str) -> OpenedLink:
        """Exchange the secret of a link for a token; the link is used up.

        Raises:
            LinkTokenInvalid: The link is unknown, used or over, or the person was erased.
        """
        token = TOKEN_START + secrets.token_urlsafe(_BYTES)
        values = {
            "secret": _hash(secret),
            "token": _hash(token),
            "seconds": int(TOKEN_LIFE.total_seconds()),
        }
        async with self._db.transaction() as tx:
            row = (await tx.execute(text(_OPEN), values)).one_or_none()
            if row is None:
                raise LinkTokenInvalid("the link was used before, or its time is over; ask for a new one")
            holder = _holder(row)
            await go_on_for(tx, holder.tenant_id)
            await AuditTrail(tx).append(
                holder.actor, "consent.link.opened", resource=f"consentLinks/{holder.link_id}"
            )
        return OpenedLink(token, row.token_expires_at)

    async def holder(self, token: str) -> LinkHolder:
        """Whose token it is.

        Raises:
            LinkTokenInvalid: It is unknown or over.
        """
        async with self._db.transaction() as tx:
            row = (await tx.execute(text(_TOKEN), {"token": _hash(token)})).one_or_none()
        if row is None:
            raise LinkTokenInvalid("the token is unknown or its 30 minutes are over; ask for a new link")
        return _holder(row)

    async def name_of(self, holder: LinkHolder) -> str:
        """The person as a request names them.

        Raises:
            CustomerErased: The person was erased meanwhile.
        """
        async with self._db.tenant_transaction(holder.tenant_id) as tx:
            person = await self._people.opened(tx, holder.tenant_id, holder.identity_id)
        return f"external:{person.external_id}"


def _holder(row: object) -> LinkHolder:
    tenant, identity, link = (
        plain_uuid(getattr(row, f"{name}_id")) for name in ("tenant", "identity", "link")
    )
    return LinkHolder(TenantId(tenant), identity, link)


def _hash(secret: str) -> bytes:
    # 256 random bits need no slow hash.
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _check_page(page_url: str) -> None:
    try:
        parts = urlsplit(page_url)
        host = parts.hostname or ""
    except ValueError:
        raise field_fault("page_url", "is no address") from None
    is_local = parts.scheme == "http" and host in {"localhost", "127.0.0.1"}
    if not (parts.scheme == "https" or is_local) or not host or not page_url.isprintable():
        raise field_fault("page_url", "must be an https address, or http on localhost")
    if "#" in page_url or " " in page_url or parts.username is not None:
        raise field_fault("page_url", "must hold no fragment, no space and no user name")
