"""What is done for each topic of the outbox, and how often it is tried.

A handler may run more than once for an event, also after it succeeded: it must be safe to repeat. To add a
topic, write the use case in its slice and add a line to ``HANDLERS``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from cohortlens.analytics.alias_moves import follow_alias
from cohortlens.analytics.batches.models import BATCH_REQUESTED
from cohortlens.analytics.drift.models import DRIFT_REPORTED, DRIFT_REQUESTED
from cohortlens.analytics.models import SEGMENTATION_REQUESTED, TRAINING_REQUESTED
from cohortlens.audit.exports import EXPORT_REQUESTED
from cohortlens.billing.models import ENTITLEMENT_CHANGED, ENTITLEMENT_USAGE
from cohortlens.bootstrap.analytics import Analytics
from cohortlens.bootstrap.billing import Billing
from cohortlens.bootstrap.consent import Consent
from cohortlens.bootstrap.marketplace import Marketplace
from cohortlens.bootstrap.rights import Rights
from cohortlens.bootstrap.services import Audit, Identity
from cohortlens.bootstrap.web3 import Web3
from cohortlens.consent.data_requests.models import DATA_REQUEST_APPROVED
from cohortlens.consent.events import CONSENT_RECORDED
from cohortlens.consent.fulfilment.models import CREDENTIAL_WANTED, END_WANTED, PIN_WANTED, REWARD_WANTED
from cohortlens.consent.fulfilment.owing import REWARD_RELEASED
from cohortlens.core import outbox
from cohortlens.core.db import Database
from cohortlens.core.mail import MAIL_REQUESTED, MailRefused
from cohortlens.core.mail_delivery import MailDelivery
from cohortlens.core.outbox import Event
from cohortlens.core.redis import RedisClient
from cohortlens.core.sealing import Keyring, SealBroken
from cohortlens.core.settings import CoreConfig
from cohortlens.core.tenant_keys import TenantKeys
from cohortlens.customers.models import IMPORT_REQUESTED, TRANSACTIONS_IMPORTED
from cohortlens.customers.service import CustomersService
from cohortlens.identity.models import TENANT_DELETION
from cohortlens.identity.sessions.keeper import SESSION_REVOKED
from cohortlens.marketplace.models import ENDING_WANTED, SETTLEMENT_WANTED
from cohortlens.registry.models import ALIAS_MOVED


class Services(Protocol):
    """What handlers and upkeep use of ``cohortlens.bootstrap.services.Services``."""

    @property
    def config(self) -> CoreConfig:
        """The settings."""

    @property
    def db(self) -> Database:
        """The database as the runtime role."""

    @property
    def redis(self) -> RedisClient:
        """Redis."""

    @property
    def customers(self) -> CustomersService:
        """The use cases of customers."""

    @property
    def identity(self) -> Identity:
        """The use cases of identity."""

    @property
    def analytics(self) -> Analytics:
        """The use cases of analytics."""

    @property
    def market(self) -> Marketplace:
        """The use cases of the marketplace."""

    @property
    def billing(self) -> Billing:
        """The use cases of billing."""

    @property
    def consent(self) -> Consent:
        """The use cases of consent."""

    @property
    def keyring(self) -> Keyring:
        """The installation's keys."""

    @property
    def tenant_keys(self) -> TenantKeys:
        """The tenants' keys."""

    @property
    def audit(self) -> Audit:
        """The use cases of the audit log."""

    @property
    def web3(self) -> Web3:
        """Credentials, rewards and pins, and what follows a consent."""

    @property
    def rights(self) -> Rights:
        """The rights of persons about their data."""

    @property
    def mail(self) -> MailDelivery:
        """Sends the mails of the queue."""


@dataclass(frozen=True)
class Handler:
    """How the events of one topic are worked on.

    Attributes:
        run: Does the work; whatever it raises is a failure of this attempt.
        concurrency: Events of the topic that one process works on at a time.
        max_attempts: Attempts that end in a fault of the work itself; a lost database or Redis costs none.
        on_dead: Called after the last attempt, to leave the resource in a state that a caller understands.
        final: Faults that no further attempt can mend: the event is dead at the first.
        lease_s: Seconds a claim holds; the runner's own when None. Short for work that another process should
            take over within seconds of a death, and that knows what is done.
    """

    run: Callable[[Services, Event], Awaitable[None]]
    concurrency: int = 1
    max_attempts: int = 5
    on_dead: Callable[[Services, Event], Awaitable[None]] | None = None
    lease_s: float | None = None
    final: tuple[type[Exception], ...] = ()


async def run_import(services: Services, event: Event) -> None:
    """Do the work of an import."""
    await services.customers.run_import(event.tenant_id, UUID(event.payload["import_id"]))


async def import_died(services: Services, event: Event) -> None:
    """Tell the tenant that an import could not be finished."""
    await services.customers.work.end_failed(
        event.tenant_id,
        UUID(event.payload["import_id"]),
        "INTERNAL",
        "the import failed in every attempt by a fault of ours; nothing was written; send the file again",
    )


async def follow_import(services: Services, event: Event) -> None:
    """After an import: train what does not serve yet or knows much less than there is; look for drift."""
    await services.analytics.retraining.after_import(event.tenant_id)
    await services.analytics.drift_watch.after_import(event.tenant_id, UUID(event.payload["import_id"]))


async def run_drift_report(services: Services, event: Event) -> None:
    """Do the work of a drift report."""
    await services.analytics.drift_work.run(event.tenant_id, UUID(event.payload["drift_report_id"]))


async def drift_report_died(services: Services, event: Event) -> None:
    """Tell the tenant that a drift report could not be finished."""
    await services.analytics.drift_work.fail(event.tenant_id, UUID(event.payload["drift_report_id"]))


async def train_after_drift(services: Services, event: Event) -> None:
    """After a drift report that asks to act: train its model again."""
    payload = event.payload
    await services.analytics.retraining.after_drift(
        event.tenant_id, payload["model"], payload["verdict"], UUID(payload["drift_report_id"])
    )


async def alias_moved(services: Services, event: Event) -> None:
    """After another segmentation became active: put all customers into its segments."""
    segmentation = services.analytics.segmentation
    await follow_alias(services.db, segmentation, event.tenant_id, event.payload["model"])


async def run_training(services: Services, event: Event) -> None:
    """Do the work of a training run."""
    await services.analytics.training.run(event.tenant_id, UUID(event.payload["training_run_id"]))


async def training_died(services: Services, event: Event) -> None:
    """Tell the tenant that a training could not be finished."""
    await services.analytics.training.fail(event.tenant_id, UUID(event.payload["training_run_id"]))


async def run_segmentation(services: Services, event: Event) -> None:
    """Do the work of a segmentation run."""
    await services.analytics.segmentation.run(event.tenant_id, UUID(event.payload["run_id"]))


async def segmentation_died(services: Services, event: Event) -> None:
    """Tell the tenant that a segmentation run could not be finished."""
    await services.analytics.segmentation.fail(event.tenant_id, UUID(event.payload["run_id"]))


async def run_batch(services: Services, event: Event) -> None:
    """Do the work of a batch prediction."""
    await services.analytics.batch_work.run(event.tenant_id, UUID(event.payload["batch_id"]))


async def batch_died(services: Services, event: Event) -> None:
    """Tell the tenant that a batch prediction could not be finished."""
    await services.analytics.batch_work.fail(event.tenant_id, UUID(event.payload["batch_id"]))


async def publish_revocation(services: Services, event: Event) -> None:
    """Tell every process again that a session was ended, for one that died right after its commit."""
    await services.identity.core.publish_revocation(event)


async def follow_entitlement(services: Services, event: Event) -> None:
    """Let every process hear of what a tenant may do now, and its owners of a limit that was passed."""
    await services.billing.upkeep.changed(event.tenant_id, event.payload)


async def follow_counts(services: Services, event: Event) -> None:
    """Look at the limits of a tenant whose counts came near one, or back below it."""
    await services.billing.upkeep.used(event.tenant_id)


async def end_subscription(services: Services, event: Event) -> None:
    """End what a deleted tenant pays for."""
    await services.billing.subscriptions.ending.end(event.tenant_id)


async def subscription_goes_on(services: Services, event: Event) -> None:
    """Tell the operator of a deleted tenant that still pays."""
    services.billing.subscriptions.ending.given_up(event.tenant_id)


async def send_mail(services: Services, event: Event) -> None:
    """Send a mail."""
    await services.mail.send(event.tenant_id, UUID(event.payload["mail_id"]))


async def mail_died(services: Services, event: Event) -> None:
    """Mark a mail that cannot be sent."""
    await services.mail.give_up(event.tenant_id, UUID(event.payload["mail_id"]))


async def run_data_request(services: Services, event: Event) -> None:
    """Work on a request of a person about their data."""
    await services.rights.work.run(event.tenant_id, UUID(event.payload["data_request_id"]))


async def data_request_died(services: Services, event: Event) -> None:
    """Tell the tenant that a request could not be finished; approving it again takes it up."""
    await services.rights.work.fail(event.tenant_id, UUID(event.payload["data_request_id"]))


async def run_export(services: Services, event: Event) -> None:
    """Write an export of the audit log."""
    await services.audit.exports.run(event.tenant_id, UUID(event.payload["export_id"]))


async def export_died(services: Services, event: Event) -> None:
    """Tell the tenant that an export could not be finished."""
    await services.audit.exports.fail(event.tenant_id, UUID(event.payload["export_id"]))


async def follow_consent(services: Services, event: Event) -> None:
    """After an act of consent: begin what follows it, end what followed the one before."""
    await services.web3.fulfilment.follow(event)


async def issue_credential(services: Services, event: Event) -> None:
    """Issue the credential of a consent."""
    await services.web3.fulfilment.issue(event)


async def pay_reward(services: Services, event: Event) -> None:
    """Hand the reward of a consent over."""
    await services.web3.fulfilment.reward(event)


async def pin_receipt(services: Services, event: Event) -> None:
    """Pin what is to be shown of a consent."""
    await services.web3.fulfilment.pin(event)


async def end_consent(services: Services, event: Event) -> None:
    """Revoke and cancel what followed a consent that ended."""
    await services.web3.fulfilment.end(event)


async def release_rewards(services: Services, event: Event) -> None:
    """Hand over what was held for a person."""
    await services.web3.fulfilment.release(event)


async def settle_agreement(services: Services, event: Event) -> None:
    """Do the steps of a settlement that are not done yet."""
    await services.market.settling.run(event)


async def end_agreement(services: Services, event: Event) -> None:
    """Revoke the credential of an agreement that ended."""
    await services.market.settling.end(event)


async def fulfilment_died(services: Services, event: Event) -> None:
    """Show that a step of a fulfilment was given up."""
    await services.web3.fulfilment.give_up(event)


def _step(run: Callable[[Services, Event], Awaitable[None]], concurrency: int = 4) -> Handler:
    # A short lease: another process takes over within seconds, and every step knows what is done.
    return Handler(run, concurrency, outbox.MAX_ATTEMPTS, on_dead=fulfilment_died, lease_s=6.0)


HANDLERS: Mapping[str, Handler] = {
    CONSENT_RECORDED: Handler(follow_consent, concurrency=4, max_attempts=outbox.MAX_ATTEMPTS, lease_s=6.0),
    CREDENTIAL_WANTED: _step(issue_credential, concurrency=8),
    REWARD_WANTED: _step(pay_reward),
    PIN_WANTED: _step(pin_receipt),
    END_WANTED: _step(end_consent),
    REWARD_RELEASED: _step(release_rewards, concurrency=2),
    SETTLEMENT_WANTED: Handler(
        settle_agreement, concurrency=2, max_attempts=outbox.MAX_ATTEMPTS, lease_s=6.0
    ),
    ENDING_WANTED: Handler(end_agreement, concurrency=2, max_attempts=outbox.MAX_ATTEMPTS, lease_s=6.0),
    SESSION_REVOKED: Handler(publish_revocation, concurrency=4),
    TENANT_DELETION: Handler(end_subscription, concurrency=2, max_attempts=12, on_dead=subscription_goes_on),
    ENTITLEMENT_CHANGED: Handler(follow_entitlement, concurrency=2),
    ENTITLEMENT_USAGE: Handler(follow_counts, concurrency=2),
    MAIL_REQUESTED: Handler(
        send_mail, concurrency=4, on_dead=mail_died, final=(MailRefused, SealBroken, LookupError)
    ),
    IMPORT_REQUESTED: Handler(run_import, concurrency=2, on_dead=import_died),
    TRANSACTIONS_IMPORTED: Handler(follow_import, concurrency=2),
    DRIFT_REQUESTED: Handler(run_drift_report, concurrency=2, on_dead=drift_report_died),
    DRIFT_REPORTED: Handler(train_after_drift, concurrency=2),
    ALIAS_MOVED: Handler(alias_moved, concurrency=2),
    TRAINING_REQUESTED: Handler(run_training, on_dead=training_died),
    SEGMENTATION_REQUESTED: Handler(run_segmentation, on_dead=segmentation_died),
    DATA_REQUEST_APPROVED: Handler(run_data_request, concurrency=2, on_dead=data_request_died),
    EXPORT_REQUESTED: Handler(run_export, on_dead=export_died),
    # Each of a tenant's batches has the same key: as many tenants are served at once, never one alone.
    BATCH_REQUESTED: Handler(run_batch, concurrency=3, on_dead=batch_died, lease_s=6.0),
}
"""Handler by topic."""
