"""What a decision was about: purposes and notice as they were in force when it was made.

A decision that is recorded later is held against what was in force then: a form that was signed under the old
notice stays good, a page that still shows the old notice does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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


class TermsReading:
    """Reads what decisions of one tenant are about; what it has read it keeps for the transaction.

    Args:
        tx: A connection inside ``Database.tenant_transaction``.
    """

    def __init__(self, tx: AsyncConnection) -> None:
        self._tx = tx
        self._notices: dict[UUID, tuple[Notice, datetime | None] | None] = {}
        self._versions: dict[str, list[Purpose]] = {}
        self._last: UUID | None = None
        self._has_last = False

    async def of(self, wanted: Sequence[Wanted]) -> list[Terms]:
        """The terms of each decision.

        Raises:
            InvalidArgument: FIELD_INVALID.
            NotFound: RESOURCE_NOT_FOUND: a purpose or a notice.
            FailedPrecondition: NOTICE_OUTDATED: it was not in force when the decision was made.
        """
        self._current = {one.key: one for one in await PurposeRows(self._tx).current()}
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
        if held.key not in self._versions:
            self._versions[held.key] = await PurposeRows(self._tx).versions(held.key, 1000)
        by_version = {known.version: known for known in self._versions[held.key]}
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
        superseded = (self._notices[one.notice_id] or (None, None))[1]
        if superseded is not None and one.at >= superseded:
            raise NoticeOutdated(
                f"{one.path}notice: a newer version was published before the decision; show that one",
                metadata={"field": f"{one.path}notice"},
            )
        return found

    async def _newest(self) -> Notice | None:
        if not self._has_last:
            self._last, self._has_last = await NoticeRows(self._tx).last(), True
        return None if self._last is None else await self._loaded(self._last)

    async def _loaded(self, notice_id: UUID) -> Notice | None:
        if notice_id not in self._notices:
            self._notices[notice_id] = await NoticeRows(self._tx).get_with_end(notice_id)
        kept = self._notices[notice_id]
        return None if kept is None else kept[0]


def _outdated(field: str, key: str, fault: str) -> NoticeOutdated:
    return NoticeOutdated(f"{field}: {fault}; show the newest notice", metadata={"purpose": key})
