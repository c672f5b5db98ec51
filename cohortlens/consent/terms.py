"""What a decision was about: purposes and notice as they were in force when it was made.

A decision that is recorded later is held against what was in force then: a form that was signed under the old
notice stays good, a page that still shows the old notice does not.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.consent.models import (
    ActType,
    ConsentRowMissing,
    Mechanism,
    Notice,
    NoticeOutdated,
    Purpose,
    field_fault,
)
from cohortlens.consent.notice_rows import NoticeRows
from cohortlens.consent.purpose_rows import PurposeRows

_TOLERANCE = timedelta(minutes=5)
_KEPT_TENANTS = 512
STAMP = (
    "(SELECT coalesce(string_agg(h.key || ' ' || h.version, ',' ORDER BY h.key), '') FROM purpose_heads h"
    " WHERE h.tenant_id = app.tid())"
    " || '/' || (SELECT count(*) FROM notices n WHERE n.tenant_id = app.tid())"
)
"""SQL: changes with each new version of a purpose and each notice; what they say never changes."""


@dataclass(frozen=True)
class Wanted:
    """What a decision says it is about.

    Attributes:
        type: What was decided.
        purposes: Names and versions; version 0: that of the notice, or the one that holds. None: all.
        notice_id: The notice; None for none.
        at: When it was made.
        path: What stands before the fields in the request.
    """

    type: ActType
    purposes: Sequence[tuple[str, int]] | None
    notice_id: UUID | None
    at: datetime
    path: str


@dataclass(frozen=True)
class Terms:
    """What a decision is about.

    Attributes:
        purposes: The versions, by name.
        notice: The notice that was shown; None for none.
        receipt_notice: Where the receipt takes the controller from; None while there is no notice at all.
    """

    purposes: tuple[Purpose, ...]
    notice: Notice | None
    receipt_notice: Notice | None


class KnownTerms:
    """What was read of a tenant's purposes and notices under one stamp; filled as it is asked for.

    Attributes:
        stamp: As the database answered ``STAMP``.
        current: Every purpose as it holds, by name; None before it was read.
        versions: All versions of purposes whose older ones were asked for.
        notices: Notices without their text, each with its end.
        last: The notice that was published last, in a list; an empty one before it was read.
    """

    def __init__(self, stamp: str = "") -> None:
        self.stamp = stamp
        self.current: dict[str, Purpose] | None = None
        self.versions: dict[str, list[Purpose]] = {}
        self.notices: dict[UUID, tuple[Notice, datetime | None]] = {}
        self.last: list[UUID | None] = []


class TermsMemory:
    """What this process knows of the terms of tenants.

    It is asked with a stamp that was read in the transaction, so nothing in it is ever out of date: versions
    and notices never change, and one more of either is another stamp.

    Args:
        tenants: How many it keeps; the one that was asked for longest ago goes first.
    """

    def __init__(self, tenants: int = _KEPT_TENANTS) -> None:
        self._tenants = tenants
        self._known: OrderedDict[UUID, KnownTerms] = OrderedDict()

    def of(self, tenant_id: UUID, stamp: str) -> KnownTerms:
        """What is known of a tenant's terms under a stamp.

        Args:
            tenant_id: The tenant.
            stamp: What the database answered to ``STAMP``.
        """
        known = self._known.get(tenant_id)
        if known is None or known.stamp != stamp:
            known = self._known[tenant_id] = KnownTerms(stamp)
        self._known.move_to_end(tenant_id)
        if len(self._known) > self._tenants:
            self._known.popitem(last=False)
        return known


class TermsReading:
    """Reads what decisions of one tenant are about.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
        known: What needs no reading; None: nothing.
    """

    def __init__(self, tx: AsyncConnection, known: KnownTerms | None = None) -> None:
        self._tx = tx
        self._known = known or KnownTerms()

    async def of(self, wanted: Sequence[Wanted]) -> list[Terms]:
        """The terms of each decision.

        Raises:
            InvalidArgument: FIELD_INVALID.
            NotFound: RESOURCE_NOT_FOUND: a purpose or a notice.
            FailedPrecondition: NOTICE_OUTDATED: it was not in force when the decision was made.
        """
        if self._known.current is None:
            self._known.current = {one.key: one for one in await PurposeRows(self._tx).current()}
        self._current = self._known.current
        terms = []
        for one in wanted:
            notice = await self._notice(one)
            purposes = tuple(
                [await self._purpose(one, notice, place) for place in range(len(self._named(one)))]
            )
            shown = notice or await self._newest()
            terms.append(Terms(purposes, notice, shown))
        return terms

    def _named(self, one: Wanted) -> Sequence[tuple[str, int]]:
        if one.purposes is None:
            return [(key, 0) for key, held in self._current.items() if held.mechanism is not Mechanism.NOTICE]
        return one.purposes

    async def _purpose(self, one: Wanted, notice: Notice | None, place: int) -> Purpose:
        named = self._named(one)
        key, version = named[place]
        field = f"{one.path}purposes[{place}]"
        if key not in self._current:
            raise ConsentRowMissing(field)
        held = self._current[key]
        if key in {before for before, _ in named[:place]}:
            raise field_fault(field, "is named twice")
        if held.mechanism is Mechanism.NOTICE:
            raise field_fault(field, f"customers are told about {key} and decide nothing")
        if one.type is ActType.WITHDRAWN:
            return held
        if notice is not None:
            told = notice.purposes.get(key)
            if told is None:
                raise field_fault(field, f"the notice does not tell of {key}")
            if version not in (0, told):
                raise _outdated(field, key, f"the notice tells of version {told}")
            version = told
        version = version or held.version
        return await self._in_force(one, field, held, version)

    async def _in_force(self, one: Wanted, field: str, held: Purpose, version: int) -> Purpose:
        if version == held.version:
            if one.at + _TOLERANCE < held.created_at:
                raise _outdated(field, held.key, f"version {version} was made after the decision")
            return held
        versions = self._known.versions
        if held.key not in versions:
            versions[held.key] = await PurposeRows(self._tx).versions(held.key, 1000)
        by_version = {known.version: known for known in versions[held.key]}
        chosen, following = by_version.get(version), by_version.get(version + 1)
        if chosen is None:
            raise ConsentRowMissing(field)
        if one.at + _TOLERANCE < chosen.created_at or (following and one.at >= following.created_at):
            raise _outdated(field, held.key, f"version {held.version} holds")
        return chosen

    async def _notice(self, one: Wanted) -> Notice | None:
        if one.notice_id is None:
            if one.type in (ActType.GIVEN, ActType.REAFFIRMED):
                raise field_fault(f"{one.path}notice", "is required: name the notice that was shown")
            return None
        found = await self._loaded(one.notice_id)
        if found is None:
            raise ConsentRowMissing(f"{one.path}notice")
        notice, superseded = found
        if superseded is not None and one.at >= superseded:
            raise NoticeOutdated(
                f"{one.path}notice: a newer version was published before the decision; show that one",
                metadata={"field": f"{one.path}notice"},
            )
        return notice

    async def _newest(self) -> Notice | None:
        if not self._known.last:
            self._known.last.append(await NoticeRows(self._tx).last())
        last = self._known.last[0]
        found = None if last is None else await self._loaded(last)
        return None if found is None else found[0]

    async def _loaded(self, notice_id: UUID) -> tuple[Notice, datetime | None] | None:
        known = self._known.notices.get(notice_id)
        if known is None and (found := await NoticeRows(self._tx).get_with_end(notice_id)) is not None:
            # Its hash is all that a decision keeps of the text, which may be long.
            known = self._known.notices[notice_id] = (replace(found[0], content=""), found[1])
        return known


def _outdated(field: str, key: str, fault: str) -> NoticeOutdated:
    return NoticeOutdated(f"{field}: {fault}; show the newest notice", metadata={"purpose": key})
