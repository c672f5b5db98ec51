"""Credentials of programs in one place: what a process needs of API keys and service accounts."""

from __future__ import annotations

from sqlalchemy import text

from cohortlens.core.db import Database
from cohortlens.identity.access.revocations import Revocations
from cohortlens.identity.programs import api_key_text
from cohortlens.identity.programs.api_key_verifier import ApiKeyVerifier
from cohortlens.identity.programs.api_keys import ApiKeys
from cohortlens.identity.programs.service_account_verifier import ServiceAccountVerifier
from cohortlens.identity.programs.service_accounts import ServiceAccounts
from cohortlens.identity.programs.use import ProgramUse

KEPT_DAYS = 90
"""How long a key that ended is still listed."""
_BATCH = 1000


class Programs:
    """API keys and service accounts of a process.

    Args:
        db: Database as the runtime role.
        revocations: What was revoked, suspended or changed.
        is_live: Whether keys are for production, and begin with ``cl_live_``; else ``cl_test_``.

    Attributes:
        keys: Makes and ends API keys.
        accounts: Makes and ends service accounts.
        key_verifier: For the doors: ``await key_verifier.verify(key, address)``.
        account_verifier: Proves service accounts by assertion or certificate.
    """

    def __init__(self, db: Database, revocations: Revocations, *, is_live: bool) -> None:
        prefix = api_key_text.LIVE if is_live else api_key_text.TEST
        self._db = db
        self._use = ProgramUse(db)
        self.keys = ApiKeys(db, revocations, prefix)
        self.accounts = ServiceAccounts(db, revocations)
        self.key_verifier = ApiKeyVerifier(db, revocations, self._use, prefix)
        self.account_verifier = ServiceAccountVerifier(db, revocations, self._use)

    async def tidy(self) -> int:
        """Remove API keys that ended long ago and assertions too old to be shown again; answers how many."""
        removed = 0
        while True:
            async with self._db.transaction() as tx:
                row = (
                    await tx.execute(
                        text("SELECT * FROM app.auth_programs_tidy(:days, :limit)"),
                        {"days": KEPT_DAYS, "limit": _BATCH},
                    )
                ).one()
            keys, assertions = int(row.api_keys), int(row.assertions)
            removed += keys + assertions
            if max(keys, assertions) < _BATCH:
                return removed

    async def close(self) -> None:
        """Write what is pending."""
        await self._use.close()
