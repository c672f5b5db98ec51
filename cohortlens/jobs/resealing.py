"""Which columns hold sealed values, and the upkeep that brings them under the installation's current key.

A new column of sealed values goes into one of the two lists here; a test walks the catalogue of the database.
Under the installation's key: also ``SELECT app.allow_resealing('table', 'column')`` in its migration.
"""

from __future__ import annotations

from uuid import UUID

from cohortlens.core.db import Database
from cohortlens.core.mail import MAIL_PURPOSE, seal_context
from cohortlens.core.resealing import Resealer, RowKey, SealedColumn, uuid_of
from cohortlens.core.sealing import Keyring


def _mail_context(key: RowKey) -> bytes:
    return seal_context(UUID(key["tenant_id"]), UUID(key["id"]))


def _kid(key: RowKey) -> bytes:
    return str(key["kid"]).encode()


SEALED_COLUMNS = (
    SealedColumn("tenants", "key_wrapped", "tenant-key", uuid_of("id")),
    SealedColumn("signing_keys", "private_enc", "signing-key", _kid),
    SealedColumn("sessions", "refresh_key_enc", "refresh-key", uuid_of("id")),
    SealedColumn("users", "totp_enc", "totp", uuid_of("id")),
    SealedColumn("users", "totp_pending_enc", "totp", uuid_of("id")),
    SealedColumn("mails", "sealed", MAIL_PURPOSE, _mail_context),
)
"""Columns under the installation's key; the tenants' keys first, since most depends on them."""

TENANT_SEALED = frozenset(
    {
        "consent_events.evidence_enc",
        "consent_identities.data_key_enc",
        "consent_identities.ident_enc",
        "consent_fulfilments.secret_enc",
        "data_requests.notes_enc",
        "data_requests.subject_enc",
        "idempotency_keys.answer_enc",
        "invitations.email_enc",
        "legal_holds.reason_enc",
    }
)
"""Columns under the key of their tenant: a change of the installation's key leaves them as they are."""


def resealer(db: Database, keyring: Keyring) -> Resealer:
    """The resealer of an installation.

    Args:
        db: Database as the runtime role.
        keyring: The installation's keys.
    """
    return Resealer(db, keyring, SEALED_COLUMNS)


async def reseal_all(db: Database, keyring: Keyring) -> int:
    """Bring every value under the current key while previous keys are given; answers how many moved."""
    if len(keyring.keys) == 1:
        return 0
    moved = {}
    async for told in resealer(db, keyring).reseal():
        moved[told.column] = told.moved
    return sum(moved.values())
