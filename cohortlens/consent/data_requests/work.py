"""The work of a data request: step by step, each stored when it is done, so that a crash costs one step.

Every step may run again. What a store held is counted and its digest kept before anything is removed, so a
manifest is right also when the process died in between.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.audit.customer_refs import CUSTOMER_REF, customer_ref
from cohortlens.audit.models import Actor
from cohortlens.audit.trail import AuditTrail
from cohortlens.consent.data_requests.applying import apply
from cohortlens.consent.data_requests.files import FOLDER, ExportFolder, text_of
from cohortlens.consent.data_requests.models import (
    EXPORT_LIFE,
    DataRequest,
    DataRequestState,
    DataRequestType,
    LegalHold,
    Notes,
    Step,
)
from cohortlens.consent.data_requests.rows import DataRequestRows
from cohortlens.consent.data_requests.service import subject_of
from cohortlens.consent.personal_data import Stores
from cohortlens.consent.suppressions import Suppressions
from cohortlens.core.clock import Clock, now
from cohortlens.core.db import Database
from cohortlens.core.errors import NotFound
from cohortlens.core.failpoints import failpoint
from cohortlens.core.ids import TenantId, parse_uuid
from cohortlens.core.personal_data import StoreBusy
from cohortlens.core.telemetry import get_logger
from cohortlens.core.tenant_keys import TenantKeyDestroyed, TenantKeys

SUPPRESS, VERIFY, PACKAGE, APPLY = "suppress", "verify", "package", "apply"
WORKER = Actor("job", "data-requests")
_LOG = get_logger(__name__)


class DataRequestWork:
    """Works on approved requests.

    Args:
        db: The database.
        keys: Open who a request is about.
        stores: Where data of persons lie.
        suppressions: Keeps erased persons out.
        root: Folder of the artifact store, where exports lie.
        clock: Current time.
    """

    def __init__(
        self,
        db: Database,
        keys: TenantKeys,
        stores: Stores,
        suppressions: Suppressions,
        root: Path,
        clock: Clock = now,
    ) -> None:
        self._db = db
        self._keys = keys
        self._stores = stores
        self._suppressions = suppressions
        self._root = root
        self._clock = clock

    async def run(self, tenant_id: TenantId, request_id: UUID) -> None:
        """Do or go on with a request; one that is not approved, or has ended, is left alone.

        Raises:
            CohortLensError: A passing fault, such as STORE_BUSY; call again later.
        """
        async with self._db.tenant_transaction(tenant_id) as tx:
            rows = await self._rows(tx, tenant_id)
            request = await rows.get(request_id, lock=True)
            if request is None or request.state not in {DataRequestState.APPROVED, DataRequestState.RUNNING}:
                return
            if request.type is DataRequestType.ERASURE and await rows.held(request.identity_id):
                await rows.change(request_id, state="FAILED", error_reason=LegalHold.reason)
                return
            await rows.plan(request_id, self._plan(request))
            await rows.change(request_id, state="RUNNING")
            request = await rows.get(request_id)
        assert request is not None
        try:
            for step in request.steps:
                if step.state != "DONE":
                    await self._do(tenant_id, request, step)
                    failpoint(f"data_request.{step.name}")
        except _EndedMeanwhileError:
            await self._remove_files(tenant_id, request)
            return
        await self._complete(tenant_id, request)

    async def fail(self, tenant_id: TenantId, request_id: UUID, reason: str = "INTERNAL") -> None:
        """Mark a request failed after its last attempt; approving it again takes it up where it stopped.

        An export begins anew: what it has gathered so far must not lie about until somebody approves it.
        """
        async with self._db.tenant_transaction(tenant_id) as tx:
            rows = await self._rows(tx, tenant_id)
            request = await rows.get(request_id, lock=True)
            if request is None or request.state not in {DataRequestState.APPROVED, DataRequestState.RUNNING}:
                return
            await rows.change(request_id, state="FAILED", error_reason=reason)
            if request.type.is_export:
                await rows.begin_anew(request_id)
        await self._remove_files(tenant_id, request)

    async def _remove_files(self, tenant_id: TenantId, request: DataRequest) -> None:
        if request.type.is_export:
            await asyncio.to_thread(ExportFolder(self._root, tenant_id, request.request_id).remove)

    async def sweep(self) -> int:
        """Remove files of exports whose time is over, and those of requests that nobody knows."""
        removed = 0
        for path in await asyncio.to_thread(lambda: list((self._root / FOLDER).glob("*/*"))):
            tenant, request_id = parse_uuid(path.parent.name), parse_uuid(path.name)
            if tenant is None or request_id is None:
                continue
            try:
                async with self._db.tenant_transaction(TenantId(tenant)) as tx:
                    request = await (await self._rows(tx, tenant)).get(request_id)
            except (TenantKeyDestroyed, NotFound):
                request = None  # the whole tenant was erased
            if request is None or _is_over(request, self._clock()):
                await asyncio.to_thread(ExportFolder(self._root, tenant, request_id).remove)
                removed += 1
        return removed

    def _plan(self, request: DataRequest) -> list[str]:
        names = [store.name for store in self._stores]
        if request.type is DataRequestType.ERASURE:
            return [SUPPRESS, *names, VERIFY]
        if request.type is DataRequestType.ACCESS:
            return [*names, PACKAGE]
        if request.type is DataRequestType.PORTABILITY:
            return [*(store.name for store in self._stores if store.is_provided), PACKAGE]
        return [APPLY]

    async def _do(self, tenant_id: TenantId, request: DataRequest, step: Step) -> None:
        own: dict[str, Callable[[TenantId, DataRequest], Awaitable[None]]] = {
            SUPPRESS: self._suppress,
            VERIFY: self._verify,
            PACKAGE: self._package,
            APPLY: self._apply,
        }
        if step.name in own:
            await own[step.name](tenant_id, request)
        elif request.type.is_export:
            await self._export(tenant_id, request, step)
        else:
            await self._erase(tenant_id, request, step)

    async def _suppress(self, tenant_id: TenantId, request: DataRequest) -> None:
        async with self._db.tenant_transaction(tenant_id) as tx:
            await self._suppressions.add(tx, request.identity_id)
            await tx.execute(text("SELECT app.train_without(:customer)"), {"customer": request.customer_id})
            # From here on nothing may use the data, so no new rows come while the stores are emptied.
            await tx.execute(
                text(
                    "UPDATE consent_identities SET restricted_at = coalesce(restricted_at, :at)"
                    " WHERE tenant_id = app.tid() AND id = :id"
                ),
                {"id": request.identity_id, "at": self._clock()},
            )
            await self._told(tx, request, "suppressed")
            await self._done(tx, tenant_id, request, SUPPRESS, rows_found=1)

    async def _export(self, tenant_id: TenantId, request: DataRequest, step: Step) -> None:
        tables = await self._stores.named(step.name).export(tenant_id, subject_of(request))
        folder = ExportFolder(self._root, tenant_id, request.request_id)
        digest = await asyncio.to_thread(folder.write_part, step.name, tables)
        found = sum(len(rows) for rows in tables.values())
        async with self._db.tenant_transaction(tenant_id) as tx:
            await self._done(tx, tenant_id, request, step.name, rows_found=found, sha256=digest)

    async def _erase(self, tenant_id: TenantId, request: DataRequest, step: Step) -> None:
        store, subject = self._stores.named(step.name), subject_of(request)
        found = step.rows_found
        if step.state == "PENDING":
            found = await store.count(tenant_id, subject)
            before = await store.export(tenant_id, subject)
            digest = hashlib.sha256(text_of(before)).hexdigest()
            async with self._db.tenant_transaction(tenant_id) as tx:
                rows = await self._rows(tx, tenant_id)
                await rows.step(
                    request.request_id, step.name, state="RUNNING", rows_found=found, sha256=digest
                )
        await store.erase(tenant_id, subject)
        failpoint(f"data_request.{step.name}.erased")
        if await store.count(tenant_id, subject):
            # A step of fulfilment that was under way has stored something meanwhile: once more.
            raise StoreBusy(f"work on the store {step.name}")
        async with self._db.tenant_transaction(tenant_id) as tx:
            await self._done(tx, tenant_id, request, step.name, rows_erased=found)

    async def _verify(self, tenant_id: TenantId, request: DataRequest) -> None:
        left = {
            store.name: rows
            for store in self._stores
            if (rows := await store.count(tenant_id, subject_of(request)))
        }
        if left:
            _LOG.warning("erasure_left_rows", data_request=str(request.request_id), stores=sorted(left))
            for name in left:
                await self._stores.named(name).erase(tenant_id, subject_of(request))
            raise StoreBusy("work that began before the erasure")
        async with self._db.tenant_transaction(tenant_id) as tx:
            await self._done(tx, tenant_id, request, VERIFY)

    async def _package(self, tenant_id: TenantId, request: DataRequest) -> None:
        steps = [step for step in await self._steps(tenant_id, request) if step.name != PACKAGE]
        folder = ExportFolder(self._root, tenant_id, request.request_id)
        manifest = {
            "data_request": str(request.request_id),
            "type": request.type.value,
            "identity": str(request.identity_id),
            "customer": request.external_id,
            "stores": [{"name": s.name, "rows": s.rows_found, "sha256": s.sha256} for s in steps],
        }
        names = [step.name for step in steps]
        if not await asyncio.to_thread(folder.result.is_file):
            await asyncio.to_thread(folder.pack, manifest, names)
        digest, size = await asyncio.to_thread(_digest_of, folder.result)
        async with self._db.tenant_transaction(tenant_id) as tx:
            rows = await self._rows(tx, tenant_id)
            until = self._clock() + EXPORT_LIFE
            await rows.change(request.request_id, export_sha256=digest, export_bytes=size, export_until=until)
            found = sum(step.rows_found for step in steps)
            await self._done(tx, tenant_id, request, PACKAGE, rows_found=found, sha256=digest)

    async def _apply(self, tenant_id: TenantId, request: DataRequest) -> None:
        async with self._db.tenant_transaction(tenant_id) as tx:
            changed = await apply(tx, request, self._clock())
            await self._told(tx, request, "applied")
            await self._done(tx, tenant_id, request, APPLY, rows_found=changed)

    async def _complete(self, tenant_id: TenantId, request: DataRequest) -> None:
        is_erasure = request.type is DataRequestType.ERASURE
        async with self._db.tenant_transaction(tenant_id) as tx:
            rows = await self._rows(tx, tenant_id)
            held = await rows.get(request.request_id, lock=True)
            if held is None or held.state is not DataRequestState.RUNNING:
                return
            await rows.change(request.request_id, state="COMPLETED", ended_at=self._clock())
            if is_erasure:
                await self._forget(tx, tenant_id, rows, request)
            await AuditTrail(tx).append(
                WORKER,
                "consent.data_request.completed",
                resource=f"dataRequests/{request.request_id}",
                details={
                    "type": request.type.value,
                    "rows": {step.name: step.rows_found for step in held.steps if step.rows_found},
                },
            )
        _LOG.info("data_request_completed", data_request=str(request.request_id), type=request.type.value)

    async def _forget(
        self, tx: AsyncConnection, tenant_id: TenantId, rows: DataRequestRows, request: DataRequest
    ) -> None:
        """Remove the last mention of the person: who the request itself was about."""
        await rows.change(request.request_id, subject_enc=None, notes=Notes())
        if request.customer_id is not None:
            secret = await self._keys.mac_key(tx, tenant_id, CUSTOMER_REF)
            ref = customer_ref(secret, str(request.customer_id))
            await AuditTrail(tx).append(WORKER, "customers.customer.erased", resource=f"customers/{ref}")

    async def _told(self, tx: AsyncConnection, request: DataRequest, verb: str) -> None:
        """Audit a change of an identity with it: its place in the chain is the version that watchers see."""
        await AuditTrail(tx).append(
            WORKER,
            f"consent.data_request.{verb}",
            resource=f"dataRequests/{request.request_id}",
            details={"type": request.type.value, "identity": str(request.identity_id)},
        )

    async def _steps(self, tenant_id: TenantId, request: DataRequest) -> tuple[Step, ...]:
        async with self._db.tenant_transaction(tenant_id) as tx:
            found = await (await self._rows(tx, tenant_id)).get(request.request_id)
        assert found is not None
        return found.steps

    async def _done(
        self, tx: AsyncConnection, tenant_id: TenantId, request: DataRequest, name: str, **values: int | str
    ) -> None:
        rows = await self._rows(tx, tenant_id)
        held = await rows.get(request.request_id, lock=True)
        if held is None or held.state is not DataRequestState.RUNNING:
            raise _EndedMeanwhileError
        await rows.step(request.request_id, name, state="DONE", done_at=self._clock(), **values)

    async def _rows(self, tx: AsyncConnection, tenant_id: UUID) -> DataRequestRows:
        return await DataRequestRows.of(tx, tenant_id, self._keys)


class _EndedMeanwhileError(Exception):
    """The request ended while a step was under way, as an export does when its person is erased."""


def _is_over(request: DataRequest, at: datetime) -> bool:
    return request.state.is_final and (request.export_until is None or request.export_until <= at)


def _digest_of(path: Path) -> tuple[str, int]:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size
