"""Upkeep by the clock: what each slice wants done at start and then again and again.

To add a task, write the work in its slice and add a line to ``TASKS``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sqlalchemy import text

from cohortlens.analytics.retention import drop_old_predictions
from cohortlens.analytics.warmup import remember_active
from cohortlens.consent.wallets import purge_challenges
from cohortlens.core import idempotency_keys, outbox, outbox_operation
from cohortlens.core.errors import CohortLensError
from cohortlens.core.mail_delivery import purge_mails
from cohortlens.core.telemetry import get_logger
from cohortlens.identity.access import changes as access_changes
from cohortlens.identity.one_time import OneTimeTokens
from cohortlens.jobs.handlers import Services
from cohortlens.jobs.partitions import ensure_partitions, watch_partitions
from cohortlens.jobs.resealing import reseal_all
from cohortlens.jobs.watch import OutboxWatch, watch_mail

SESSIONS_KEEP_S = 30 * 86_400
_RETRY_S = 60.0
_LOG = get_logger(__name__)


@dataclass(frozen=True)
class Task:
    """Something done at start and then every ``interval_s`` seconds; answers how much it did.

    Attributes:
        name: Name in log lines.
        interval_s: Seconds between the end of one run and the next.
        run: Does it.
        is_quiet: Whether a run is logged at debug level, for what happens every second.
    """

    name: str
    interval_s: float
    run: Callable[[Services], Awaitable[int]]
    is_quiet: bool = False


async def _partitions(services: Services) -> int:
    return await ensure_partitions(services.db)


async def _sweep(services: Services) -> int:
    return await services.customers.work.sweep()


async def _sweep_batches(services: Services) -> int:
    return await services.analytics.batch_work.sweep()


async def _purge(services: Services) -> int:
    return await outbox.purge(services.db)


async def _purge_idempotency_keys(services: Services) -> int:
    return await idempotency_keys.purge(services.db)


async def _repair(services: Services) -> int:
    return await outbox_operation.repair(services.db)


async def _purge_sessions(services: Services) -> int:
    async with services.db.transaction() as tx:
        return int(await tx.scalar(text("SELECT app.sessions_purge(:keep)"), {"keep": SESSIONS_KEEP_S}) or 0)


async def _purge_mails(services: Services) -> int:
    return await purge_mails(services.db)


async def _watch_mail(services: Services) -> int:
    return await watch_mail(services.mail, services.redis)


async def _watch_partitions(services: Services) -> int:
    return await watch_partitions(services.db, services.redis)


async def _retrain(services: Services) -> int:
    started = await services.analytics.after_erasure.run()
    return started + await services.analytics.retraining.run_schedule()


async def _retire_versions(services: Services) -> int:
    return await services.analytics.version_retention.run()


async def _watch_drift(services: Services) -> int:
    return await services.analytics.drift_watch.run_schedule()


async def _show_drift(services: Services) -> int:
    return await services.analytics.drift_watch.show()


async def _drop_old_drift_reports(services: Services) -> int:
    return await services.analytics.drift_watch.drop_old()


async def _promote_challengers(services: Services) -> int:
    return await services.analytics.shadow_promotion.run()


async def _remember_models(services: Services) -> int:
    return await remember_active(services.db, services.redis)


async def _make_tenant_keys(services: Services) -> int:
    return await services.tenant_keys.make_missing(services.db)


async def _reseal(services: Services) -> int:
    return await reseal_all(services.db, services.keyring)


async def _keep_signing_keys(services: Services) -> int:
    return await services.identity.core.keys.keep_up()


async def _purge_access_changes(services: Services) -> int:
    async with services.db.transaction() as tx:
        return await access_changes.purge(tx)


async def _purge_one_time_tokens(services: Services) -> int:
    async with services.db.transaction() as tx:
        return await OneTimeTokens(tx).purge()


async def _tidy_programs(services: Services) -> int:
    return await services.identity.programs.tidy()


async def _tidy_oauth(services: Services) -> int:
    return await services.identity.oauth.tidy()


async def _seal_chains(services: Services) -> int:
    return await services.audit.checkpoints.seal_all()


async def _seal_months(services: Services) -> int:
    return await services.audit.checkpoints.seal_months()


async def _seal_access(services: Services) -> int:
    return await services.audit.access_sealing.seal_ended()


async def _sweep_exports(services: Services) -> int:
    return await services.audit.exports.sweep()


async def _sweep_data_exports(services: Services) -> int:
    return await services.rights.work.sweep()


async def _tidy_data_requests(services: Services) -> int:
    return await services.rights.upkeep.run()


async def _erase_tenants(services: Services) -> int:
    return await services.identity.tenancy.erasure.run()


async def _purge_invitations(services: Services) -> int:
    return await services.identity.tenancy.invitations.purge()


async def _drop_old_predictions(services: Services) -> int:
    return await drop_old_predictions(services.db)


async def _fold_usage(services: Services) -> int:
    return await services.billing.usage.upkeep.fold()


async def _forfeit_quota(services: Services) -> int:
    return await services.billing.usage.upkeep.forfeit()


async def _check_quota(services: Services) -> int:
    return await services.billing.usage.upkeep.check()


async def _notify_quota(services: Services) -> int:
    return await services.billing.usage.upkeep.notify()


async def _tidy_usage(services: Services) -> int:
    return await services.billing.usage.upkeep.tidy()


async def _settle_entitlements(services: Services) -> int:
    return await services.billing.upkeep.settle_due()


async def _check_counts(services: Services) -> int:
    return await services.billing.upkeep.check_counts()


async def _tidy_checkouts(services: Services) -> int:
    return await services.billing.subscriptions.checkout.tidy()


async def _sync_catalogue(services: Services) -> int:
    # The stand-in of a development stack may have been emptied; at Stripe itself the operator decides when.
    if not services.config.stripe_api_base:
        return 0
    return len([one for one in await services.billing.subscriptions.catalogue.run() if one.done != "kept"])


async def _export_usage(services: Services) -> int:
    return await services.billing.subscriptions.export.run()


async def _poll_rewards(services: Services) -> int:
    return await services.web3.fulfilment.poll()


async def _sweep_fulfilments(services: Services) -> int:
    return await services.web3.fulfilment.sweep()


async def _publish_epochs(services: Services) -> int:
    return await services.web3.fulfilment.publish_epochs()


async def _watch_market(services: Services) -> int:
    return await services.market.upkeep.run()


async def _purge_wallet_challenges(services: Services) -> int:
    return await purge_challenges(services.db)


async def _end_consents(services: Services) -> int:
    return await services.consent.endings.run()


TASKS = (
    Task("end_consents", 30.0, _end_consents),
    Task("poll_rewards", 1.0, _poll_rewards, is_quiet=True),
    Task("watch_market", 30.0, _watch_market),
    Task("sweep_fulfilments", 60.0, _sweep_fulfilments),
    Task("publish_epochs", 600.0, _publish_epochs),
    Task("sync_catalogue", 600.0, _sync_catalogue),
    Task("tidy_checkouts", 3_600.0, _tidy_checkouts),
    Task("export_usage", 900.0, _export_usage),
    Task("settle_entitlements", 30.0, _settle_entitlements),
    Task("check_customer_counts", 86_400.0, _check_counts),
    Task("fold_usage", 1.0, _fold_usage, is_quiet=True),
    Task("notify_quota", 15.0, _notify_quota),
    Task("forfeit_quota", 60.0, _forfeit_quota),
    Task("check_quota", 3_600.0, _check_quota),
    Task("tidy_usage", 86_400.0, _tidy_usage),
    Task("tidy_oauth", 600.0, _tidy_oauth),
    Task("erase_tenants", 3_600.0, _erase_tenants),
    Task("purge_invitations", 86_400.0, _purge_invitations),
    Task("purge_wallet_challenges", 86_400.0, _purge_wallet_challenges),
    Task("drop_old_predictions", 86_400.0, _drop_old_predictions),
    Task("keep_signing_keys", 3_600.0, _keep_signing_keys),
    Task("purge_access_changes", 3_600.0, _purge_access_changes),
    Task("purge_one_time_tokens", 3_600.0, _purge_one_time_tokens),
    Task("tidy_programs", 3_600.0, _tidy_programs),
    Task("make_tenant_keys", 3_600.0, _make_tenant_keys),
    Task("reseal", 3_600.0, _reseal),
    Task("ensure_partitions", 86_400.0, _partitions),
    Task("seal_access_log", 20.0, _seal_access),
    Task("seal_audit_chains", 3_600.0, _seal_chains),
    Task("seal_audit_months", 3_600.0, _seal_months),
    Task("sweep_audit_exports", 3_600.0, _sweep_exports),
    Task("sweep_data_exports", 3_600.0, _sweep_data_exports),
    Task("tidy_data_requests", 600.0, _tidy_data_requests),
    Task("sweep_spool", 3_600.0, _sweep),
    Task("sweep_batches", 3_600.0, _sweep_batches),
    Task("purge_idempotency_keys", 600.0, _purge_idempotency_keys),
    Task("purge_outbox", 3_600.0, _purge),
    Task("repair_outbox", 3_600.0, _repair),
    Task("watch_outbox", 15.0, OutboxWatch().run),
    Task("purge_mails", 3_600.0, _purge_mails),
    Task("purge_sessions", 86_400.0, _purge_sessions),
    Task("watch_mail", 60.0, _watch_mail),
    Task("watch_partitions", 60.0, _watch_partitions),
    Task("remember_models", 600.0, _remember_models),
    Task("retrain", 3_600.0, _retrain),
    Task("watch_drift", 3_600.0, _watch_drift),
    Task("show_drift", 60.0, _show_drift, is_quiet=True),
    Task("drop_old_drift_reports", 86_400.0, _drop_old_drift_reports),
    Task("promote_challengers", 60.0, _promote_challengers),
    Task("retire_versions", 86_400.0, _retire_versions),
)


async def keep_up(services: Services, tasks: tuple[Task, ...] = TASKS) -> None:
    """Run the tasks until cancelled; one that fails is tried again after a minute and holds up no other."""
    await asyncio.gather(*(_repeat(services, task) for task in tasks))


async def _repeat(services: Services, task: Task) -> None:
    while True:
        try:
            done = await task.run(services)
            log = _LOG.debug if task.is_quiet else _LOG.info
            log("upkeep_done", task=task.name, count=done)
            pause = task.interval_s
        except (CohortLensError, OSError) as error:
            _LOG.warning("upkeep_failed", task=task.name, error=str(error))
            pause = min(_RETRY_S, task.interval_s)
        except Exception:
            _LOG.exception("upkeep_failed", task=task.name)
            pause = min(_RETRY_S, task.interval_s)
        await asyncio.sleep(pause)
