"""The purposes of a tenant: made, changed by new versions, listed."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from cohortlens.audit.trail import AuditTrail
from cohortlens.consent.models import (
    ACTIVITIES,
    BASES,
    ConsentRowExists,
    ConsentRowMissing,
    LawfulBasis,
    Mechanism,
    Purpose,
    field_fault,
)
from cohortlens.consent.purpose_rows import PurposeRows
from cohortlens.core.clock import Clock, now
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database, retried
from cohortlens.core.errors import Aborted

PURPOSES_MAX = 50
VERSIONS_MAX = 1000
FIELDS = (
    "title",
    "description",
    "dpv_purpose",
    "lawful_basis",
    "mechanism",
    "data_categories",
    "recipients",
    "retention_days",
    "validity_days",
    "activities",
)
"""What a new version may change."""
_REQUIRED = frozenset({"title", "description", "dpv_purpose", "lawful_basis", "mechanism", "retention_days"})
_IRI = re.compile(r"https://[^\s<>\"{}|\\^`]{1,192}")
_RECIPIENT_CHARACTERS = 200


class PurposesService:
    """The use cases of purposes.

    Args:
        db: Database as the runtime role.
        clock: Current time.
    """

    def __init__(self, db: Database, clock: Clock = now) -> None:
        self._db = db
        self._clock = clock

    async def create(self, ctx: RequestContext, key: str, values: Mapping[str, Any]) -> Purpose:
        """Add a purpose in its first version.

        Args:
            ctx: The request.
            key: Its name.
            values: Value of each of ``FIELDS``; ``lawful_basis`` None: the mechanism tells.

        Raises:
            InvalidArgument: FIELD_INVALID.
            AlreadyExists: RESOURCE_EXISTS: the name is taken, or another purpose covers an activity.
        """
        first = _checked(_made(key, values, self._clock()))
        return await retried(lambda: self._create(ctx, first))

    async def update(
        self,
        ctx: RequestContext,
        key: str,
        values: Mapping[str, Any],
        fields: Sequence[str],
        *,
        requires_reconsent: bool,
        etag: str = "",
        validate_only: bool = False,
    ) -> Purpose:
        """Change a purpose by a new version.

        Args:
            ctx: The request.
            key: Its name.
            values: Value of each of ``FIELDS`` as sent; empty ones were not set.
            fields: What to change; what is set when empty.
            requires_reconsent: Whether the consents to the versions before end with it.
            etag: The purpose as it was read; not looked at when empty.
            validate_only: Whether nothing is stored.

        Raises:
            InvalidArgument: FIELD_INVALID.
            NotFound: RESOURCE_NOT_FOUND.
            AlreadyExists: RESOURCE_EXISTS: another purpose covers an activity.
            Aborted: ETAG_MISMATCH.
        """
        changes = _changes(values, fields)
        if not changes and not requires_reconsent:
            raise field_fault("update_mask", "nothing is changed; set a field, or requires_reconsent")

        async def work() -> Purpose:
            async with self._db.tenant_transaction(ctx.tenant_id) as tx:
                rows = PurposeRows(tx)
                before = await rows.locked(key)
                if before is None:
                    raise ConsentRowMissing("purpose")
                if etag and etag != before.etag:
                    raise Aborted(
                        "etag: it was changed meanwhile; read it again and repeat the change",
                        reason="ETAG_MISMATCH",
                    )
                after = _next(before, changes, self._clock(), requires_reconsent=requires_reconsent)
                await _require_free(rows, after)
                if not validate_only:
                    await rows.add(after, ctx.caller.actor)
                    await rows.cover(after)
                    await _noted(AuditTrail(tx), ctx, "consent.purpose.updated", after)
                return after

        return await retried(work)

    async def current(self, ctx: RequestContext) -> list[Purpose]:
        """Every purpose as it holds now, by name."""
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            return await PurposeRows(tx).current()

    async def versions(self, ctx: RequestContext, key: str) -> list[Purpose]:
        """All versions of a purpose, the newest first, at most 1,000.

        Raises:
            NotFound: RESOURCE_NOT_FOUND.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            found = await PurposeRows(tx).versions(key, VERSIONS_MAX)
        if not found:
            raise ConsentRowMissing("versions_of")
        return found

    async def _create(self, ctx: RequestContext, first: Purpose) -> Purpose:
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            rows = PurposeRows(tx)
            # Purposes of a tenant are made one at a time: their number is bounded.
            names = await rows.lock_all()
            if first.key in names:
                raise ConsentRowExists("purpose", "there is one of this name; change it with UpdatePurpose")
            if len(names) >= PURPOSES_MAX:
                raise field_fault("purpose", f"a tenant has at most {PURPOSES_MAX} purposes")
            await _require_free(rows, first)
            await rows.add(first, ctx.caller.actor)
            await rows.cover(first)
            await _noted(AuditTrail(tx), ctx, "consent.purpose.created", first)
        return first


async def _require_free(rows: PurposeRows, purpose: Purpose) -> None:
    for activity, holder in sorted((await rows.holders(purpose.activities)).items()):
        if holder != purpose.key:
            fault = f"the purpose {holder} covers {activity}; take it out there first"
            raise ConsentRowExists("activities", fault)


async def _noted(trail: AuditTrail, ctx: RequestContext, action: str, purpose: Purpose) -> None:
    details = {
        "version": purpose.version,
        "mechanism": purpose.mechanism.value,
        "min_version": purpose.min_version,
        "activities": list(purpose.activities),
    }
    await trail.append(ctx, action, resource=f"purposes/{purpose.key}", details=details)


def _made(key: str, values: Mapping[str, Any], at: Any) -> Purpose:
    mechanism = Mechanism(values["mechanism"])
    basis = values.get("lawful_basis") or BASES[mechanism][0]
    return Purpose(
        key=key,
        version=1,
        title=values["title"],
        description=values["description"],
        dpv_purpose=values["dpv_purpose"],
        lawful_basis=LawfulBasis(basis),
        mechanism=mechanism,
        data_categories=tuple(values.get("data_categories") or ()),
        recipients=tuple(values.get("recipients") or ()),
        retention_days=values["retention_days"],
        validity_days=values.get("validity_days"),
        requires_reconsent=False,
        min_version=1,
        activities=tuple(sorted(set(values.get("activities") or ()))),
        created_at=at,
    )


def _next(before: Purpose, changes: Mapping[str, Any], at: Any, *, requires_reconsent: bool) -> Purpose:
    changed = dict(changes)
    if "mechanism" in changed and "lawful_basis" not in changed:
        changed["lawful_basis"] = BASES[changed["mechanism"]][0]
    version = before.version + 1
    return _checked(
        dataclasses.replace(
            before,
            **changed,
            version=version,
            requires_reconsent=requires_reconsent,
            min_version=version if requires_reconsent else before.min_version,
            created_at=at,
        )
    )


def _changes(values: Mapping[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    unknown = set(fields) - set(FIELDS)
    if unknown:
        raise field_fault("update_mask", f"can name {', '.join(FIELDS)}")
    named = fields or [name for name in FIELDS if values.get(name)]
    changes: dict[str, Any] = {}
    for name in named:
        value = values.get(name)
        if name in _REQUIRED and not value:
            raise field_fault(name, "is required when update_mask names it")
        changes[name] = tuple(value or ()) if name in ("data_categories", "recipients") else value
    if "activities" in changes:
        changes["activities"] = tuple(sorted(set(changes["activities"] or ())))
    return changes


def _checked(purpose: Purpose) -> Purpose:
    if purpose.lawful_basis not in BASES[purpose.mechanism]:
        allowed = ", ".join(BASES[purpose.mechanism])
        raise field_fault("lawful_basis", f"{purpose.mechanism} stands on one of {allowed}")
    for place, activity in enumerate(purpose.activities):
        if activity not in ACTIVITIES:
            raise field_fault(f"activities[{place}]", f"must be one of {', '.join(sorted(ACTIVITIES))}")
    for place, category in enumerate(purpose.data_categories):
        if not _IRI.fullmatch(category):
            raise field_fault(
                f"data_categories[{place}]", "must be an IRI such as https://w3id.org/dpv/pd#Location"
            )
    for place, recipient in enumerate(purpose.recipients):
        if not 1 <= len(recipient) <= _RECIPIENT_CHARACTERS:
            raise field_fault(f"recipients[{place}]", f"must have 1 to {_RECIPIENT_CHARACTERS} characters")
    return purpose
