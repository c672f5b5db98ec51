"""What an import says about the consent of its customers, and who records it.

Consent stands above customers, so the import knows nothing but this port.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeAlias
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.core.errors import InvalidArgument, Violation

ReadCustomers: TypeAlias = Callable[[], Awaitable[Sequence[tuple[UUID, str]]]]
"""Reads identifier and the tenant's own one of each customer of a file."""


@dataclass(frozen=True)
class ImportedConsent:
    """The consent that all customers of a file have given elsewhere.

    Attributes:
        purposes: Names and versions; version 0 is the one that the notice names.
        notice: The notice they were shown.
        locale: Language it was shown in; empty: that of the notice.
        collected_at: When they gave it.
    """

    purposes: tuple[tuple[str, int], ...]
    notice: UUID
    locale: str
    collected_at: datetime

    def as_json(self) -> dict[str, Any]:
        """As the row of the import stores it."""
        return {
            "purposes": [list(one) for one in self.purposes],
            "notice": str(self.notice),
            "locale": self.locale,
            "collected_at": self.collected_at.isoformat(),
        }

    @staticmethod
    def from_json(stored: dict[str, Any]) -> ImportedConsent:
        """From a stored row."""
        return ImportedConsent(
            tuple((key, version) for key, version in stored["purposes"]),
            UUID(stored["notice"]),
            stored["locale"],
            datetime.fromisoformat(stored["collected_at"]),
        )


class ConsentAtImport(Protocol):
    """Records the consent of imported customers."""

    async def check(self, tx: AsyncConnection, consent: ImportedConsent) -> None:
        """Refuse a consent that could not be recorded, before the file is taken.

        Raises:
            InvalidArgument: FIELD_INVALID.
            NotFound: RESOURCE_NOT_FOUND: a purpose or the notice.
            FailedPrecondition: NOTICE_OUTDATED.
        """
        ...

    async def imported(
        self,
        tx: AsyncConnection,
        tenant_id: UUID,
        import_id: UUID,
        customers: ReadCustomers,
        consent: ImportedConsent | None,
    ) -> None:
        """Find earlier decisions of people who are customers now, and record the consent of the file.

        Args:
            tx: The transaction of the import.
            tenant_id: Its tenant.
            import_id: The import.
            customers: Reads the customers of the file.
            consent: What the file says; None for nothing.
        """
        ...


class NoConsents:
    """Where no consent is recorded: tests of imports alone."""

    async def check(self, tx: AsyncConnection, consent: ImportedConsent) -> None:  # noqa: ARG002
        """Refuse every consent."""
        fault = Violation("options.consent", "is not recorded here")
        raise InvalidArgument("options.consent: is not recorded here", violations=(fault,))

    async def imported(
        self,
        tx: AsyncConnection,
        tenant_id: UUID,
        import_id: UUID,
        customers: ReadCustomers,
        consent: ImportedConsent | None,
    ) -> None:
        """Nothing to do."""
