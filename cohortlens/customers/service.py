"""The use cases of customers: import, list, read, erase; features and the training snapshot for analytics."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.audit.customer_refs import CUSTOMER_REF, customer_ref
from cohortlens.audit.trail import AuditTrail
from cohortlens.contracts.features import SCHEMA
from cohortlens.contracts.sequences import SEQUENCE
from cohortlens.core import clock, idempotency
from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database, retried
from cohortlens.core.errors import FailedPrecondition, InvalidArgument, Violation
from cohortlens.core.ids import CustomerId, ImportId, TenantId, plain_uuid, uuid7
from cohortlens.core.outbox import Outbox
from cohortlens.core.paging import PageTokens, page_size
from cohortlens.core.tenant_keys import TenantKeys
from cohortlens.customers import features as feature_store
from cohortlens.customers import loading
from cohortlens.customers.consents import ConsentAtImport, NoConsents
from cohortlens.customers.erased import ReadErased, nobody
from cohortlens.customers.import_options import check_options
from cohortlens.customers.imports import ImportsRepository
from cohortlens.customers.models import (
    IMPORT_REQUESTED,
    Customer,
    CustomerNotFound,
    FeatureRows,
    Import,
    ImportOptions,
    Page,
    TrainingSnapshot,
)
from cohortlens.customers.naming import known, resolved
from cohortlens.customers.repository import CustomersRepository
from cohortlens.customers.spool import Spool
from cohortlens.customers.usability import (
    Activity,
    ConsentRequired,
    consent_version,
    losses,
    purpose_of,
    refused,
)
from cohortlens.customers.work import ImportWork

SegmentNames = Callable[[AsyncConnection, Sequence[UUID]], Awaitable[dict[UUID, str]]]
_CURSOR_CHARACTERS = 40


class CustomersService:
    """What a tenant can do with its customers.

    Args:
        db: Database as the runtime role.
        spool_dir: Folder of uploads that wait for their import.
        page_tokens: Seals the tokens of lists.
        tenant_keys: Give what stands for a customer in the audit log.
        segment_names: Names of the published segments by customer, asked in the transaction of the read.
        erased: Reads whose rows an import refuses.
        consents: Records the consent of imported customers; None where nobody does.
    """

    def __init__(
        self,
        db: Database,
        spool_dir: Path,
        page_tokens: PageTokens,
        tenant_keys: TenantKeys,
        segment_names: SegmentNames | None = None,
        erased: ReadErased = nobody,
        consents: ConsentAtImport | None = None,
    ) -> None:
        self._db = db
        self._tenant_keys = tenant_keys
        self._tokens = page_tokens
        self._segment_names = segment_names
        self.spool = Spool(spool_dir)
        self.work = ImportWork(db, self.spool, erased, consents)
        self._consents = consents or NoConsents()

    async def start_import(
        self, ctx: RequestContext, options: ImportOptions, chunks: AsyncIterator[bytes]
    ) -> Import:
        """Store an upload and ask for its import.

        Raises:
            InvalidArgument: An option is wrong, or the file is empty or too large.
            DiskFull: The upload cannot be stored.
        """
        check_options(options)
        if options.consent is not None:
            async with self._db.tenant_transaction(ctx.tenant_id) as tx:
                await self._consents.check(tx, options.consent)
        tenant_id, import_id = ctx.tenant_id, ImportId(uuid7())
        file = await self.spool.receive(tenant_id, import_id, chunks)
        # If this transaction fails, its outcome may be unknown: the file stays, maintenance sweeps it later.
        async with self._db.tenant_transaction(tenant_id) as tx:
            imports = ImportsRepository(tx)
            idempotency.made(**{"import": str(import_id)})
            await imports.add(import_id, options, file.size_bytes, file.sha256, clock.now())
            await Outbox(tx).record(IMPORT_REQUESTED, "imports", {"import_id": str(import_id)})
            stored = await imports.get(import_id)
            await AuditTrail(tx).append(
                ctx,
                "customers.import.requested",
                resource=f"imports/{import_id}",
                details={
                    "file_sha256": file.sha256,
                    "file_bytes": file.size_bytes,
                    "dry_run": options.dry_run,
                },
            )
        return stored

    async def run_import(self, tenant_id: TenantId, import_id: UUID) -> None:
        """Do the work of an import; see ``ImportWork.run``."""
        await self.work.run(tenant_id, import_id)

    async def get_import(self, ctx: RequestContext, import_id: UUID) -> Import:
        """One import.

        Raises:
            ImportNotFound: No such import of this tenant.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            return await ImportsRepository(tx).get(import_id)

    async def list_imports(self, ctx: RequestContext, size: int, token: str) -> Page:
        """A page of imports, newest first.

        Raises:
            InvalidArgument: PAGE_TOKEN_INVALID.
        """
        limit, cursor = page_size(size), None
        if token:
            cursor = UUID(self._tokens.decode_token(ctx.tenant_id, "ListImports", {}, token))
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            found = await ImportsRepository(tx).page(cursor, limit + 1)
        following = ""
        if len(found) > limit:
            last = str(found[limit - 1].import_id)
            following = self._tokens.encode_token(ctx.tenant_id, "ListImports", {}, last)
        return Page(found[:limit], following)

    async def list_import_faults(self, ctx: RequestContext, import_id: UUID, size: int, token: str) -> Page:
        """A page of the refused rows of an import, in file order.

        Raises:
            ImportNotFound: No such import of this tenant.
            InvalidArgument: PAGE_TOKEN_INVALID.
        """
        limit, filters, after = page_size(size), {"import": str(import_id)}, 0
        if token:
            after = int(self._tokens.decode_token(ctx.tenant_id, "ListImportFaults", filters, token))
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            await ImportsRepository(tx).get(import_id)
            found = await ImportsRepository(tx).faults(import_id, after, limit + 1)
        following = ""
        if len(found) > limit:
            last = found[limit - 1][0]
            following = self._tokens.encode_token(ctx.tenant_id, "ListImportFaults", filters, last)
        return Page([fault for _, fault in found[:limit]], following)

    async def get_customer(self, ctx: RequestContext, name: str) -> Customer:
        """One customer by identifier or ``external:`` identifier.

        Raises:
            CustomerNotFound: No such customer of this tenant.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            ((customer_id, _),) = await resolved(tx, [name], ["customer"])
            customer = await CustomersRepository(tx).get(customer_id)
            if customer is None:
                raise CustomerNotFound("customer")
            return (await self._with_segments(tx, [customer]))[0]

    async def get_customers(self, ctx: RequestContext, names: Sequence[str]) -> list[Customer]:
        """Customers in the order of their names, each once; those that do not exist are left out.

        Raises:
            InvalidArgument: The first name that is neither an identifier nor an ``external:`` one.
        """
        fields = [f"customers[{index}]" for index in range(len(names))]
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            ids = [found[0] for found in await known(tx, names, fields) if found is not None]
            by_id = await CustomersRepository(tx).get_many(ids) if ids else {}
            return await self._with_segments(tx, [by_id[one] for one in dict.fromkeys(ids) if one in by_id])

    async def list_customers(self, ctx: RequestContext, size: int, token: str) -> Page:
        """A page of customers by external id, with their number.

        Raises:
            InvalidArgument: PAGE_TOKEN_INVALID.
        """
        limit, after_id, after = page_size(size), None, ""
        if token:
            identifier, after = self._tokens.decode_token(ctx.tenant_id, "ListCustomers", {}, token)
            after_id = UUID(identifier)
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            customers = CustomersRepository(tx)
            found = await customers.page(after_id, after, limit + 1)
            shown = await self._with_segments(tx, found[:limit])
            total = await customers.count()
        following = ""
        if len(found) > limit:
            # A whole external id could outgrow a token; its start serves if the customer is erased meanwhile.
            cursor = [str(shown[-1].customer_id), shown[-1].external_id[:_CURSOR_CHARACTERS]]
            following = self._tokens.encode_token(ctx.tenant_id, "ListCustomers", {}, cursor)
        return Page(shown, following, total)

    async def delete_customer(self, ctx: RequestContext, name: str) -> None:
        """Erase a customer with all rows that hang on them.

        Raises:
            CustomerNotFound: No such customer of this tenant.
            Aborted: SERIALIZATION_RETRY: imports hold the rows again and again.
        """
        await retried(lambda: self._deleted(ctx, name))

    async def _deleted(self, ctx: RequestContext, name: str) -> None:
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            ((customer_id, _),) = await resolved(tx, [name], ["customer"])
            if not await CustomersRepository(tx).delete(customer_id):
                raise CustomerNotFound("customer")
            secret = await self._tenant_keys.mac_key(tx, ctx.tenant_id, CUSTOMER_REF)
            ref = customer_ref(secret, str(customer_id))
            await AuditTrail(tx).append(ctx, "customers.customer.erased", resource=f"customers/{ref}")

    async def resolve(
        self, ctx: RequestContext, names: Sequence[str], fields: Sequence[str] | None = None
    ) -> list[tuple[CustomerId, str]]:
        """(identifier, external id) of customers named by identifier or ``external:`` identifier.

        Args:
            ctx: The request.
            names: Customers as the request names them.
            fields: Path of each in the request; ``customers[i]`` when omitted.

        Raises:
            CustomerNotFound: The first that does not exist, or belongs to another tenant.
            InvalidArgument: The first that is neither form.
        """
        paths = fields or [f"customers[{index}]" for index in range(len(names))]
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            return await resolved(tx, names, paths)

    async def features(
        self,
        ctx: RequestContext,
        customer_ids: Sequence[UUID],
        activity: Activity = Activity.PREDICTION,
        *,
        wide: bool = False,
    ) -> FeatureRows:
        """Stored features of customers, in the order asked for; ``wide`` with their weekly sequences.

        Those who may not be used for the activity are left out and counted.

        Raises:
            ConsentRequired: None of them may be used.
            CustomerNotFound: The first that does not exist, or belongs to another tenant.
            FailedPrecondition: FEATURES_MISSING: the first without a purchase that was not reversed.
        """
        async with self._db.tenant_transaction(ctx.tenant_id) as tx:
            await _refresh_features(tx, wide)
            found = await CustomersRepository(tx).features_of(customer_ids, activity, wide=wide)
            have: set[UUID] = set(found.customer_ids) if found else set()
            left_out: set[UUID] = set()
            if found is None or len(have) < len(set(customer_ids)):
                known = await CustomersRepository(tx).by_ids(customer_ids)
                left_out = await refused(tx, customer_ids, activity)
                _explain_missing(customer_ids, have | left_out, set(known))
            if found is None and left_out:
                raise ConsentRequired(activity, await purpose_of(tx, activity))
        if found is None:
            raise InvalidArgument(
                "customers: name at least one", violations=(Violation("customers", "is empty"),)
            )
        at = {customer: row for row, customer in enumerate(found.customer_ids)}
        kept = [one for customer in customer_ids if (one := CustomerId(plain_uuid(customer))) in at]
        order = [at[customer] for customer in kept]
        return replace(
            found,
            customer_ids=tuple(found.customer_ids[row] for row in order),
            external_ids=tuple(found.external_ids[row] for row in order),
            matrix=found.matrix[order],
            excluded_no_consent=len(customer_ids) - len(kept),
        )

    async def all_features(
        self,
        tenant_id: TenantId,
        batch: int = 5000,
        activity: Activity = Activity.SEGMENTATION,
        *,
        wide: bool = False,
    ) -> AsyncIterator[FeatureRows]:
        """Stored features of usable customers by identifier, in batches; each is one short transaction."""
        after: UUID | None = None
        while True:
            async with self._db.tenant_transaction(tenant_id) as tx:
                if after is None:
                    await _refresh_features(tx, wide)
                rows = await CustomersRepository(tx).features_after(after, batch, activity, wide=wide)
            if rows is None:
                return
            yield rows
            after = rows.customer_ids[-1]

    async def training_snapshot(self, tenant_id: TenantId) -> TrainingSnapshot:
        """Purchase-days of the customers whom models may be trained on, without identifiers.

        Raises:
            FailedPrecondition: DATA_MISSING: nothing was imported yet.
        """
        async with self._db.tenant_transaction(tenant_id) as tx:
            await loading.allow_long_work(tx)
            state = await CustomersRepository(tx).data_state()
            if state is None:
                raise FailedPrecondition(
                    "there are no transactions yet; import some first", reason="DATA_MISSING"
                )
            # Before the data: what is then read is never older than what it is said to know.
            version, mark = await consent_version(tx), await losses(tx)
            days = await feature_store.tenant_days(tx, state[0], Activity.TRAINING)
            _, excluded = await CustomersRepository(tx).count_features(Activity.TRAINING)
        return TrainingSnapshot(feature_store.snapshot(days), state[1], state[0], excluded, version, mark)

    async def _with_segments(self, tx: AsyncConnection, customers: list[Customer]) -> list[Customer]:
        if self._segment_names is None or not customers:
            return customers
        names = await self._segment_names(tx, [customer.customer_id for customer in customers])
        return [replace(one, segment_name=names.get(one.customer_id, "")) for one in customers]


async def _refresh_features(tx: AsyncConnection, wide: bool) -> None:
    # After an upgrade the stored rows may be of an older schema; they are a cache and can be made again.
    repository = CustomersRepository(tx)
    if await repository.has_stale_features(SCHEMA.hash, SEQUENCE.hash if wide else ""):
        state = await repository.data_state()
        assert state is not None
        await feature_store.rebuild_features(tx, *state)


def _explain_missing(asked: Sequence[UUID], have: set[UUID], known: set[UUID]) -> None:
    for index, customer in enumerate(asked):
        if customer in have:
            continue
        field = f"customers[{index}]"
        if customer not in known:
            raise CustomerNotFound(field)
        raise FailedPrecondition(
            f"{field}: this customer has no purchase that was not reversed; there is nothing to predict from",
            reason="FEATURES_MISSING",
            metadata={"field": field},
        )
