"""Credentials as callers see them: read, list, verify, revoke; the issuer and its keys."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.audit.trail import AuditTrail
from cohortlens.consent.fulfilment.consents import ConsentReading
from cohortlens.consent.fulfilment.following import want
from cohortlens.consent.fulfilment.models import CREDENTIAL_WANTED, operation_id
from cohortlens.consent.fulfilment.rows import FulfilmentRows
from cohortlens.consent.fulfilment.steps import renew_pin
from cohortlens.consent.models import ConsentRowMissing
from cohortlens.consent.naming import identity_of
from cohortlens.consent.ports import CredentialIssuer
from cohortlens.consent.web3_models import Issuer, PublishedDocument, RotatedKey, Verification
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database
from cohortlens.core.errors import FailedPrecondition, InvalidArgument, Violation
from cohortlens.core.idempotency import held, made
from cohortlens.core.ids import plain_uuid, uuid7
from cohortlens.core.tenant_keys import TenantKeys

MOST_BYTES: Final = 64 * 1024
"""Most that is taken to verify."""
REVOKED_BY_HAND: Final = "REVOKED_BY_ISSUER"
REVOKED_WITH_KEY: Final = "ISSUER_KEY_COMPROMISED"

_COLUMNS = (
    "id, event_id, purpose_key, issuer_did, suite, status_list_id, status_index, valid_from, valid_until,"
    " issued_at, revoked_at, revoke_reason"
)
_STATES = {
    "": "",
    "ACTIVE": " AND revoked_at IS NULL AND valid_until > clock_timestamp()",
    "REVOKED": " AND revoked_at IS NOT NULL",
    "EXPIRED": " AND revoked_at IS NULL AND valid_until <= clock_timestamp()",
}


class CredentialPending(FailedPrecondition):
    """The credential is being issued; a retry in two seconds can help."""

    reason = "CREDENTIAL_PENDING"


@dataclass(frozen=True)
class Credential:
    """A stored credential.

    Attributes:
        id: Identifier.
        event_id: Consent event that it proves.
        purpose_key: The purpose.
        issuer_did: DID of the issuer.
        suite: How it is secured.
        status_list_id: Its status list.
        status_index: Its bit there.
        valid_from: Begin of validity.
        valid_until: End of validity.
        issued_at: When it was issued.
        revoked_at: When it was revoked; None: it was not.
        revoke_reason: Why.
        credential_json: The signed bytes; None in lists, and after an erasure.
    """

    id: UUID
    event_id: UUID
    purpose_key: str
    issuer_did: str
    suite: str
    status_list_id: UUID
    status_index: int
    valid_from: datetime
    valid_until: datetime
    issued_at: datetime
    revoked_at: datetime | None
    revoke_reason: str | None
    credential_json: bytes | None = None

    def state(self, now: datetime) -> str:
        """ACTIVE, REVOKED or EXPIRED."""
        if self.revoked_at is not None:
            return "REVOKED"
        return "ACTIVE" if self.valid_until > now else "EXPIRED"


class Credentials:
    """Use cases of credentials.

    Args:
        db: PostgreSQL.
        keys: The tenants' keys.
        issuer: The sidecar.
    """

    def __init__(self, db: Database, keys: TenantKeys, issuer: CredentialIssuer) -> None:
        self._db, self._keys, self._issuer = db, keys, issuer

    async def get(self, ctx: RequestContext, credential_id: UUID) -> Credential:
        """One credential of the caller's tenant, by its own identifier or by that of its consent event.

        Raises:
            NotFound: There is none, or it is another tenant's.
            FailedPrecondition: CREDENTIAL_PENDING: its consent event is being fulfilled.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            return await _get(tx, credential_id)

    async def page(
        self, ctx: RequestContext, customer: str, purpose: str, state: str, after: Any, limit: int
    ) -> list[Credential]:
        """Credentials of the caller's tenant, the newest first.

        Args:
            ctx: The request.
            customer: Only this customer's; empty for all.
            purpose: Only of this purpose; empty for all.
            state: ACTIVE, REVOKED, EXPIRED, or empty for all.
            after: Identifier behind which the page starts; None for the first page.
            limit: Most rows.

        Raises:
            NotFound: No such customer.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            identity = None
            if customer:
                identity = await identity_of(tx, ctx.tenant_id, self._keys, customer)
                if identity is None:
                    return []
            query = (
                f"SELECT {_COLUMNS} FROM verifiable_credentials"  # noqa: S608 - columns and words of ours
                " WHERE (CAST(:identity AS uuid) IS NULL OR identity_id = :identity)"
                " AND (:purpose = '' OR purpose_key = :purpose)"
                f" AND (CAST(:after AS uuid) IS NULL OR id < :after){_STATES[state]}"
                " ORDER BY id DESC LIMIT :limit"
            )
            values = {
                "identity": identity,
                "purpose": purpose,
                "after": None if after is None else UUID(after),
                "limit": limit,
            }
            return [_credential(row) for row in await tx.execute(text(query), values)]

    async def verify(self, body: bytes) -> Verification:
        """Verify a credential of anybody.

        Args:
            body: The credential, or an object whose only member ``credential`` it is; its bytes are what the
                issuer signed or are read anew, so duplicates inside are found.

        Raises:
            InvalidArgument: FIELD_INVALID: it is too large or no JSON.
        """
        if len(body) > MOST_BYTES:
            raise _invalid(f"is {len(body)} bytes; at most {MOST_BYTES}")
        return await self._issuer.verify(unwrapped(body))

    async def revoke(self, ctx: RequestContext, credential_id: UUID, reason: str) -> Credential:
        """Revoke a credential by hand; the consent itself stays. Once more is a success.

        Raises:
            NotFound: There is none, or it is another tenant's.
        """
        found = await self.get(ctx, credential_id)
        operation = operation_id("revoke", found.id)
        await self._issuer.revoke(ctx.tenant_id, operation, found.id, REVOKED_BY_HAND)
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            rows = FulfilmentRows(tx)
            of = await rows.find(found.event_id, lock=True)
            if await rows.store_revocation(found.id, REVOKED_BY_HAND) and of is not None:
                await rows.change(found.event_id, credential_state="REVOKED")
                await renew_pin(tx, of)
            await AuditTrail(tx).append(
                ctx,
                "consent.credential.revoked",
                resource=f"credentials/{found.id}",
                details={"reason": reason},
            )
            return await _get(tx, found.id)

    async def issuer(self, ctx: RequestContext) -> Issuer:
        """Who issues for the caller's tenant."""
        return await self._issuer.issuer(ctx.tenant_id)

    async def rotate_key(self, ctx: RequestContext, *, compromised: bool) -> tuple[RotatedKey, int]:
        """Replace the issuer's key; what a compromised one signed is revoked and issued again.

        The same request with its key, sent again, replaces the key once, also where the first attempt died
        between the sidecar and here; each request without a key replaces it once more.

        Returns:
            The new key, and how many credentials are issued again.
        """
        claim = held()
        operation = uuid7() if claim is None else claim.id
        rotated = await self._issuer.rotate_key(ctx.tenant_id, operation, compromised=compromised)
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            reissued = await _issue_again(tx, rotated.revoked)
            made(kid=rotated.kid, did=rotated.did, reissued=reissued)
            await AuditTrail(tx).append(
                ctx,
                "consent.issuer_key.rotated",
                resource="issuer",
                details={"compromised": compromised, "kid": rotated.kid, "reissued": str(reissued)},
            )
        return rotated, reissued

    async def status_list(self, status_list_id: UUID) -> PublishedDocument:
        """The newest version of a status list; public."""
        return await self._issuer.status_list(status_list_id)

    async def did_document(self, issuer_id: UUID | None) -> PublishedDocument:
        """The DID document of an issuer, or of the deployment; public."""
        return await self._issuer.did_document(issuer_id)


def unwrapped(body: bytes) -> bytes:
    """The credential out of ``{"credential": ...}``, or the body as it is.

    Raises:
        InvalidArgument: FIELD_INVALID: it is no JSON.
    """
    try:
        read = json.loads(body)
    except (ValueError, RecursionError):
        raise _invalid("is no JSON") from None
    if not isinstance(read, dict) or set(read) != {"credential"}:
        return body
    # Cut out, not written anew: a member that stands twice has to be seen by the verifier.
    inner = body.decode("utf-8", "strict")
    start = inner.index(":", inner.index('"credential"')) + 1
    return inner[start : inner.rindex("}")].strip().encode()


async def _get(tx: AsyncConnection, credential_id: UUID) -> Credential:
    query = text(
        f"SELECT {_COLUMNS}, credential_json FROM verifiable_credentials"  # noqa: S608 - columns of ours
        " WHERE id = :id OR event_id = :id ORDER BY (id = :id) DESC, issued_at DESC LIMIT 1"
    )
    row = (await tx.execute(query, {"id": credential_id})).one_or_none()
    if row is not None:
        return _credential(row, row.credential_json)
    of = await FulfilmentRows(tx).find(credential_id)
    is_coming = of is not None and of.credential_state in {"PENDING", "ISSUING"}
    if is_coming or (of is None and await ConsentReading(tx).followed(credential_id) is not None):
        raise CredentialPending("the credential is being issued; ask again in 2 s", retry_delay_s=2.0)
    raise ConsentRowMissing("credential")


async def _issue_again(tx: AsyncConnection, revoked: Sequence[UUID]) -> int:
    """Have the credentials that were revoked with a key issued under the new one."""
    rows, reissued = FulfilmentRows(tx), 0
    for credential_id in sorted(revoked):
        await rows.store_revocation(credential_id, REVOKED_WITH_KEY)
        event_id = await tx.scalar(
            text("SELECT event_id FROM verifiable_credentials WHERE id = :id"), {"id": credential_id}
        )
        of = None if event_id is None else await rows.find(plain_uuid(event_id), lock=True)
        if of is None or of.credential_id != credential_id or of.credential_state != "ISSUED":
            continue
        if of.ended_at is not None:
            await rows.change(of.event_id, credential_state="REVOKED")
            continue
        await rows.change(of.event_id, credential_state="PENDING", issues=of.issues + 1)
        await want(tx, CREDENTIAL_WANTED, of.event_id)
        reissued += 1
    return reissued


def _credential(row: Any, credential_json: bytes | None = None) -> Credential:
    return Credential(
        id=plain_uuid(row.id),
        event_id=plain_uuid(row.event_id),
        purpose_key=row.purpose_key,
        issuer_did=row.issuer_did,
        suite=row.suite,
        status_list_id=plain_uuid(row.status_list_id),
        status_index=row.status_index,
        valid_from=row.valid_from,
        valid_until=row.valid_until,
        issued_at=row.issued_at,
        revoked_at=row.revoked_at,
        revoke_reason=row.revoke_reason,
        credential_json=None if credential_json is None else bytes(credential_json),
    )


def _invalid(fault: str) -> InvalidArgument:
    return InvalidArgument(f"credential: {fault}", violations=(Violation("credential", fault),))
