"""What a tenant needs before it can be measured: its rows, and a prediction version that nobody trained."""

from __future__ import annotations

import time

from sqlalchemy import text

from cohortlens.analytics.training_runs import Cause, NewRun, TrainingRunsRepository
from cohortlens.billing.entitlements.rows import EntitlementRows
from cohortlens.billing.models import Override
from cohortlens.bootstrap.services import Services
from cohortlens.contracts.features import SCHEMA
from cohortlens.contracts.manifest import IntervalCalibration, ModelManifest
from cohortlens.core.clock import now
from cohortlens.core.context import Principal, RequestContext
from cohortlens.core.db import Database
from cohortlens.core.ids import PLATFORM_TENANT_ID, SessionId, TenantId, TrainingRunId, UserId, uuid7
from cohortlens.identity.models import ROLE_SCOPES
from cohortlens.identity.repository import Accounts

_UNASKED = "UPDATE purpose_heads SET mechanism = 'OPT_OUT' WHERE tenant_id = app.tid() AND key = 'profiling'"
_TARGETS = ("purchases", "spend")


async def registered(db: Database, *, asks_consent: bool = False) -> Principal:
    """The owner of a new tenant of the largest plan, who cannot log in: no password matches.

    Args:
        db: Database as the runtime role.
        asks_consent: Whether customers are used only with their consent; else unless they object.
    """
    tenant_id, user_id = TenantId(uuid7()), UserId(uuid7())
    async with db.transaction() as tx:
        await Accounts(tx).register(
            tenant_id,
            user_id,
            name="Bench",
            email=f"{user_id}@bench.example",
            password_hash="none",
            terms="2026-11",
        )
    async with db.tenant_transaction(PLATFORM_TENANT_ID) as tx:
        await EntitlementRows(tx).override(tenant_id, Override("a measurement", "enterprise"))
    if not asks_consent:
        async with db.tenant_transaction(tenant_id) as tx:
            await tx.execute(text(_UNASKED))
    return Principal(tenant_id, user_id, SessionId(uuid7()), "owner", ROLE_SCOPES["owner"])


def request_of(principal: Principal, timeout_s: float = 30.0) -> RequestContext:
    """A request by someone; what it does must end within ``timeout_s`` seconds."""
    return RequestContext("bench", principal, time.monotonic() + timeout_s)


async def activate_untrained(services: Services, tenant_id: TenantId) -> None:
    """Give a tenant an active prediction version whose scores come from whatever replica is asked.

    Args:
        services: Open services; their registry learns of the version at once.
        tenant_id: A tenant without versions.
    """
    manifest = ModelManifest(
        model="prediction",
        schema_hash=SCHEMA.hash,
        data_sha256="0" * 64,
        as_of="2026-01-01",
        currency="USD",
        seed=0,
        code_version="bench",
        targets=_TARGETS,
        horizons_days=(30, 90),
        calibration=dict.fromkeys(_TARGETS, IntervalCalibration(0.8, (), (1.0,), (1.0,), 1.0)),
    )
    run_id = TrainingRunId(uuid7())
    async with services.db.tenant_transaction(tenant_id) as tx:
        runs = TrainingRunsRepository(tx)
        await runs.insert(NewRun(run_id, manifest.model, Cause.REQUESTED, 0, None, None, now()))
        made = await services.registry.register(tx, manifest, manifest.digest, run_id)
        await runs.succeed(run_id, made.version, made.outcome, now())
    services.registry.forget(tenant_id)
