"""The work of one import, from the stored upload to committed rows; run by jobs, safe to repeat."""

from __future__ import annotations

import asyncio
import contextlib
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.audit.models import Actor
from cohortlens.audit.trail import AuditTrail
from cohortlens.billing.models import CUSTOMER_QUOTA_EXCEEDED
from cohortlens.core import clock
from cohortlens.core.db import Database, retried
from cohortlens.core.disk import disk_faults
from cohortlens.core.errors import Aborted, InvalidArgument, ResourceExhausted
from cohortlens.core.ids import TenantId
from cohortlens.core.outbox import Outbox
from cohortlens.customers import features, histories, loading
from cohortlens.customers.consents import ConsentAtImport, NoConsents
from cohortlens.customers.erased import ErasedPeople, ReadErased, nobody
from cohortlens.customers.importer import Reading, accepted_batches, read_file
from cohortlens.customers.imports import ImportsRepository
from cohortlens.customers.models import TRANSACTIONS_IMPORTED, Import, ImportRows
from cohortlens.customers.repository import CustomersRepository
from cohortlens.customers.spool import Spool

_IMPORTER = Actor("job", "import")
_READING_SHARE = 0.5
_CUSTOMER_GONE_STATE = "23503"  # a foreign key found no customer any more
_PROGRESS_S = 0.5
_FULL = "no space is left for uploads; free space in the data folder and the import goes on by itself"


class ImportWork:
    """Runs imports.

    Args:
        db: Database as the runtime role.
        spool: Where the uploads lie.
        erased: Reads whose rows are refused.
        consents: Records the consent of imported customers; None where nobody does.
    """

    def __init__(
        self,
        db: Database,
        spool: Spool,
        erased: ReadErased = nobody,
        consents: ConsentAtImport | None = None,
    ) -> None:
        self._erased = erased
        self._consents = consents or NoConsents()
        self._db = db
        self._spool = spool

    async def run(self, tenant_id: TenantId, import_id: UUID) -> None:
        """Bring an import to its final state; does nothing when it has one.

        A fault of the file ends the import as FAILED. Anything else (a lost database, a stop) is raised and
        leaves every table as it was, so that the same call can be made again.

        Raises:
            CohortLensError: The work could not be done now.
        """
        async with self._db.tenant_transaction(tenant_id) as tx:
            if not await ImportsRepository(tx).begin(import_id):
                return
            stored = await ImportsRepository(tx).get(import_id)
            state = await CustomersRepository(tx).data_state()
            erased = await self._erased(tx, tenant_id)
        reading = Reading()
        try:
            await self._read(tenant_id, stored, state[0] if state else "", reading, erased)
            await retried(lambda: self._written(tenant_id, stored, reading, erased))
        except InvalidArgument as fault:
            await self.end_failed(tenant_id, import_id, fault.reason, fault.message, reading)
        except ResourceExhausted as full:
            if full.reason != CUSTOMER_QUOTA_EXCEEDED:
                raise
            # Nothing of the file is written: the plan has no room for all of it, and no repetition makes any.
            over = sum(int(full.metadata[name]) for name in ("used", "adding")) - int(full.metadata["limit"])
            message = f"{full.message}; nothing of the file was written"
            await self.end_failed(tenant_id, import_id, full.reason, message, reading, over)
        self._spool.discard(tenant_id, import_id)

    async def end_failed(
        self,
        tenant_id: TenantId,
        import_id: UUID,
        reason: str,
        message: str,
        reading: Reading | None = None,
        customers_over: int = 0,
    ) -> None:
        """Mark an import FAILED with what was found until then; does nothing when it is final."""
        found = reading or Reading()
        async with self._db.tenant_transaction(tenant_id) as tx:
            imports = ImportsRepository(tx)
            if not await imports.lock(import_id):
                return
            await imports.replace_faults(import_id, found.faults.kept)
            await imports.finish(
                import_id,
                rows=ImportRows(read=found.rows_read, rejected=found.faults.total),
                new_customers=0,
                customers_over=customers_over,
                columns_used=found.columns_used,
                columns_unused=found.columns_unused,
                rejected_by_reason=dict(found.faults.by_reason),
                now=clock.now(),
                error_reason=reason,
                error_message=message,
            )
            await AuditTrail(tx).append(
                _IMPORTER,
                "customers.import.failed",
                resource=f"imports/{import_id}",
                outcome="FAILED",
                details={"reason": reason, "rows_read": found.rows_read},
            )
        self._spool.discard(tenant_id, import_id)

    async def sweep(self, older_than_s: float = 3600.0) -> int:
        """Remove files that no unfinished import needs and nobody wrote for a while; answers how many."""
        limit = clock.now().timestamp() - older_than_s
        old = [entry for entry in await asyncio.to_thread(list, self._spool.files()) if entry[3] < limit]
        removed = 0
        for tenant_id in {entry[1] for entry in old}:
            own = [entry for entry in old if entry[1] == tenant_id]
            async with self._db.tenant_transaction(tenant_id) as tx:
                needed = await ImportsRepository(tx).unfinished([entry[2] for entry in own])
            for path, _, import_id, _ in own:
                if import_id not in needed:
                    path.unlink(missing_ok=True)
                    removed += 1
        return removed

    async def _read(
        self, tenant_id: TenantId, stored: Import, currency: str, reading: Reading, erased: ErasedPeople
    ) -> None:
        path = self._spool.path(tenant_id, stored.import_id)
        accepted = self._spool.work_path(tenant_id, stored.import_id)
        task = asyncio.create_task(
            asyncio.to_thread(
                read_file, path, accepted, stored.options, currency, clock.now(), reading, erased
            )
        )
        try:
            while not (await asyncio.wait({task}, timeout=_PROGRESS_S))[0]:
                async with self._db.tenant_transaction(tenant_id) as tx:
                    ratio = reading.ratio * _READING_SHARE
                    await ImportsRepository(tx).progress(stored.import_id, ratio, reading.rows_read)
            with disk_faults(_FULL):
                await task
        finally:
            # The thread cannot be cancelled: it is told to stop, and awaited, so that it outlives nothing.
            reading.stop.set()
            if not task.done():
                with contextlib.suppress(Exception):
                    await asyncio.shield(task)

    async def _written(
        self, tenant_id: TenantId, stored: Import, reading: Reading, erased: ErasedPeople
    ) -> None:
        try:
            await self._write(tenant_id, stored, reading, erased)
        except IntegrityError as error:
            if getattr(error.orig, "sqlstate", "") != _CUSTOMER_GONE_STATE:
                raise
            raise Aborted("a customer was deleted during the import; it begins again") from error

    async def _write(
        self, tenant_id: TenantId, stored: Import, reading: Reading, erased: ErasedPeople
    ) -> None:
        async with self._db.tenant_transaction(tenant_id) as tx:
            await ImportsRepository(tx).progress(stored.import_id, _READING_SHARE, reading.rows_read)
        async with self._db.tenant_transaction(tenant_id) as tx:
            await loading.prepare(tx)
            # An erasure takes the same lock: none can come between here and the commit.
            if await self._erased(tx, tenant_id) != erased:
                raise Aborted("a person was erased during the import; it begins again")
            imports = ImportsRepository(tx)
            if not await imports.lock(stored.import_id):
                return
            accepted = self._spool.work_path(tenant_id, stored.import_id)
            staged = await loading.stage(tx, accepted_batches(accepted, reading))
            if stored.options.dry_run:
                loaded = await loading.count_only(tx, staged)
            else:
                loaded = await self._load(tx, tenant_id, stored, reading, staged)
            await imports.replace_faults(stored.import_id, reading.faults.kept)
            await imports.finish(
                stored.import_id,
                rows=ImportRows(reading.rows_read, loaded.accepted, reading.faults.total, loaded.duplicate),
                new_customers=loaded.new_customers,
                customers_over=loaded.customers_over,
                columns_used=reading.columns_used,
                columns_unused=reading.columns_unused,
                rejected_by_reason=dict(reading.faults.by_reason),
                now=clock.now(),
            )
            if not stored.options.dry_run:
                await AuditTrail(tx).append(
                    _IMPORTER,
                    "customers.customer.imported",
                    resource=f"imports/{stored.import_id}",
                    details={
                        "file_sha256": stored.file_sha256,
                        "rows_read": reading.rows_read,
                        "rows_accepted": loaded.accepted,
                        "rows_rejected": reading.faults.total,
                        "customers_created": loaded.new_customers,
                    },
                )

    async def _load(
        self, tx: AsyncConnection, tenant_id: TenantId, stored: Import, reading: Reading, staged: int
    ) -> loading.Loaded:
        loaded = await loading.load(tx, staged, stored.import_id, reading.currency, clock.now())
        consent = stored.options.consent
        await self._consents.imported(
            tx, tenant_id, stored.import_id, lambda: loading.customers_of(tx), consent
        )
        if loaded.accepted:
            as_of, revision = await loading.settle_data(tx, reading.currency)
            await features.rebuild_days(tx, reading.currency)
            await histories.rebuild_histories(tx)
            await features.rebuild_features(tx, reading.currency, as_of, revision)
            await Outbox(tx).record(
                TRANSACTIONS_IMPORTED, "transactions", {"import_id": str(stored.import_id)}
            )
        return loaded
