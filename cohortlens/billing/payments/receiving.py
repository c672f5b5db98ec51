"""Takes notifications of the payment provider: verified, stored, answered; nothing else happens here."""

from __future__ import annotations

from cohortlens.billing.payments.alarms import EVENTS, alarm
from cohortlens.billing.payments.event_types import EVENT_TYPES
from cohortlens.billing.payments.inbox_rows import InboxRows
from cohortlens.billing.payments.notifications import ProviderEvent, WebhookEnvironmentMismatch
from cohortlens.billing.payments.ports import WebhookVerifier
from cohortlens.core.db import Database
from cohortlens.core.errors import CohortLensError, Unavailable
from cohortlens.core.telemetry import get_logger

API_VERSION = "2026-10-28.endive"
"""Version of the provider's shapes that is expected; of others too only identifiers are used."""
_LOG = get_logger(__name__)


class Receiving:
    """Stores genuine events.

    Args:
        db: Database as the runtime role.
        verifier: Knows genuine notifications.
    """

    def __init__(self, db: Database, verifier: WebhookVerifier) -> None:
        self._db, self._verifier = db, verifier

    async def receive(self, payload: bytes, signature: str) -> bool:
        """Store the event of a notification; False when it was stored before.

        Args:
            payload: The body, byte by byte.
            signature: The header that signs it.

        Raises:
            WebhookSignatureInvalid: Not genuine, or not of now; nothing is stored.
            WebhookEnvironmentMismatch: Of another account or another kind of money; nothing is stored.
            Unavailable: INBOX_UNAVAILABLE: it cannot be stored now; the provider sends it again.
        """
        try:
            event = self._verifier.verify(payload, signature)
        except WebhookEnvironmentMismatch as fault:
            alarm("environment_mismatch", detail=fault.message)
            raise
        is_ignored = event.is_thin or event.type not in EVENT_TYPES
        try:
            async with self._db.transaction() as tx:
                is_new = await InboxRows(tx).store(event, ignored=is_ignored)
        except CohortLensError as fault:
            raise Unavailable(
                "the event cannot be stored now; send it again",
                reason="INBOX_UNAVAILABLE",
                retry_delay_s=fault.retry_delay_s or 5.0,
            ) from fault
        self._note(event, is_new=is_new, is_ignored=is_ignored)
        return is_new

    def _note(self, event: ProviderEvent, *, is_new: bool, is_ignored: bool) -> None:
        outcome = "ignored" if is_ignored else "received"
        EVENTS.labels(outcome if is_new else "repeated").inc()
        if is_new and not event.is_thin and event.api_version != API_VERSION:
            alarm("api_version", event_id=event.id, version=event.api_version, expected=API_VERSION)
        _LOG.info("billing_event", event_id=event.id, type=event.type, is_new=is_new, is_ignored=is_ignored)
