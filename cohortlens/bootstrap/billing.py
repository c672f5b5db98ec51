"""Wires the billing slice."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta

from cohortlens.adapters.stripe_calls import is_live
from cohortlens.adapters.stripe_webhooks import StripeWebhooks
from cohortlens.billing.entitlements.cache import Entitlements
from cohortlens.billing.entitlements.catalogue import Catalogue
from cohortlens.billing.entitlements.overrides import Overrides
from cohortlens.billing.entitlements.upkeep import EntitlementUpkeep
from cohortlens.billing.payments.operating import BillingOperations
from cohortlens.billing.payments.ports import PaymentProvider
from cohortlens.billing.payments.receiving import Receiving
from cohortlens.billing.subscriptions.offers import Terms
from cohortlens.billing.subscriptions.return_urls import ReturnUrls
from cohortlens.billing.subscriptions.service import Subscriptions
from cohortlens.billing.usage.service import Usage, UsageSettings
from cohortlens.core.db import Database
from cohortlens.core.mail import MAIL_PURPOSE
from cohortlens.core.payment_settings import webhook_secrets
from cohortlens.core.sealing import Keyring, Sealer
from cohortlens.core.selling_settings import exported_meters, listed_origins, trial_days
from cohortlens.core.settings import CoreConfig


@dataclass(frozen=True)
class Billing:
    """Use cases of the billing slice, one attribute per file."""

    entitlements: Entitlements
    catalogue: Catalogue
    overrides: Overrides
    upkeep: EntitlementUpkeep
    usage: Usage
    provider: PaymentProvider
    subscriptions: Subscriptions
    receiving: Receiving | None
    operations: BillingOperations


def open_usage(
    opened: AsyncExitStack, db: Database, entitlements: Entitlements, keyring: Keyring, config: CoreConfig
) -> Usage:
    """Usage and quota, whose tasks ``opened`` ends."""
    settings = UsageSettings(
        config.database_url,
        config.database_pooled,
        config.data_dir,
        config.quota_processes,
        float(config.quota_fail_open),
    )
    return Usage.open(opened, db, entitlements, Sealer(keyring, MAIL_PURPOSE), settings)


def open_billing(
    db: Database,
    entitlements: Entitlements,
    usage: Usage,
    provider: PaymentProvider,
    config: CoreConfig,
    keyring: Keyring,
) -> Billing:
    """Wire the billing slice; the arguments are what it stands on."""
    return Billing(
        entitlements=entitlements,
        catalogue=Catalogue(db),
        overrides=Overrides(db, entitlements, Sealer(keyring, MAIL_PURPOSE)),
        upkeep=EntitlementUpkeep(db, entitlements, Sealer(keyring, MAIL_PURPOSE)),
        usage=usage,
        provider=provider,
        subscriptions=_subscriptions(db, provider, config),
        receiving=_receiving(db, config),
        operations=BillingOperations(db),
    )


def _receiving(db: Database, config: CoreConfig) -> Receiving | None:
    """What takes the provider's notifications; None without a secret: anybody could sign them then."""
    secrets = webhook_secrets(config.stripe_webhook_secrets.reveal())
    if not secrets:
        return None
    live = is_live(config.stripe_api_key.reveal())
    return Receiving(db, StripeWebhooks(secrets, livemode=live, account=config.stripe_account))


def _subscriptions(db: Database, provider: PaymentProvider, config: CoreConfig) -> Subscriptions:
    grace = timedelta(seconds=config.billing_grace)
    terms = Terms(config.billing_currency, trial_days(config.trial_days), grace)
    urls = ReturnUrls(config.public_url, listed_origins(config.allowed_origins))
    return Subscriptions.over(db, provider, terms, urls, exported_meters(config.stripe_meters))
