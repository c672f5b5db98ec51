"""The one place that wires the domain: configuration in, services out; for the gateway and for jobs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from cohortlens.adapters.batch_scoring import GrpcBatchScorer
from cohortlens.adapters.checkpoint_signing import StoredCheckpointSigner
from cohortlens.adapters.email import smtp_mailer
from cohortlens.adapters.inference import GrpcInferenceClient
from cohortlens.adapters.replicas import ReplicaDirectory
from cohortlens.adapters.stripe_provider import payment_provider
from cohortlens.adapters.traced_inference import traced
from cohortlens.adapters.worker_tls import channels
from cohortlens.analytics.ports import InferenceClient
from cohortlens.analytics.reads import segment_names
from cohortlens.analytics.shadow import ShadowTraffic
from cohortlens.analytics.warmup import ModelWarmup
from cohortlens.audit.access_log import AccessLog
from cohortlens.audit.access_reading import AccessReading
from cohortlens.audit.access_sealing import AccessSealing
from cohortlens.audit.checkpoints import Checkpoints
from cohortlens.audit.exports import AuditExports
from cohortlens.audit.service import AuditService
from cohortlens.billing.entitlements.cache import Entitlements
from cohortlens.billing.entitlements.mails import add_plan_mails
from cohortlens.billing.payments.mails import add_billing_mails
from cohortlens.billing.usage.mails import add_quota_mails
from cohortlens.bootstrap.analytics import Analytics, open_analytics
from cohortlens.bootstrap.billing import Billing, open_billing, open_usage
from cohortlens.bootstrap.consent import Consent, open_consent
from cohortlens.bootstrap.marketplace import Marketplace, open_marketplace
from cohortlens.bootstrap.rights import Rights, open_rights
from cohortlens.bootstrap.web3 import Web3, open_web3
from cohortlens.consent.imports import ConsentImports
from cohortlens.consent.suppressions import Suppressions
from cohortlens.contracts.artifacts import LocalArtifactStore
from cohortlens.core.db import Database, assert_runtime_role
from cohortlens.core.mail import MAIL_PURPOSE, Links, MailTemplates
from cohortlens.core.mail_delivery import MailDelivery
from cohortlens.core.paging import PageTokens
from cohortlens.core.redis import RedisClient, redis_client
from cohortlens.core.sealing import Keyring, Sealer
from cohortlens.core.settings import CoreConfig
from cohortlens.core.tenant_keys import TenantKeys
from cohortlens.customers.lookup import FeatureLookup
from cohortlens.customers.service import CustomersService
from cohortlens.identity.access.token_check import AccessTokenVerifier
from cohortlens.identity.accounts.attempts import LoginLimits
from cohortlens.identity.accounts.service import People
from cohortlens.identity.mails import add_mails
from cohortlens.identity.oauth.service import OAuth
from cohortlens.identity.programs.service import Programs
from cohortlens.identity.service import IdentityService
from cohortlens.identity.tenancy.invitation_mails import add_invitation_mails
from cohortlens.identity.tenancy.service import Tenancy
from cohortlens.marketplace.personal_data import MarketStore
from cohortlens.registry.challengers import ChallengersService
from cohortlens.registry.promotions import PromotionsService
from cohortlens.registry.service import RegistryService

InferenceWrapper = Callable[[InferenceClient], InferenceClient]


@dataclass(frozen=True)
class Audit:
    """Use cases of the audit slice, one attribute per file."""

    log: AuditService
    checkpoints: Checkpoints
    exports: AuditExports
    access: AccessLog
    access_reading: AccessReading
    access_sealing: AccessSealing


@dataclass(frozen=True)
class Identity:
    """Use cases of the identity slice, one attribute per file."""

    core: IdentityService
    programs: Programs
    people: People
    tenancy: Tenancy
    oauth: OAuth


@dataclass(frozen=True)
class Services:
    """Everything a process of the control plane calls; made by ``open``, ended by ``close``.

    Attributes:
        config: What it was made from.
        db: PostgreSQL.
        redis: Redis or Valkey.
        identity: Who is calling.
        verifier: Turns an access token into a principal.
        customers: Customers and imports.
        features: Stored features of customers.
        registry: Model versions.
        promotions: Which version is active.
        challengers: Which version is compared with it.
        analytics: Predictions, segments, explanations, trainings.
        inference: Runs models; the gateway's gathers rows.
        page_tokens: Seals the tokens of lists.
        keyring: The installation's keys.
        tenant_keys: The tenants' keys.
        mail: Sends the mails of the queue.
        audit: The audit log and the access log.
        billing: What a tenant may do and pays for.
        consent: What customers allow.
        rights: The rights of persons about their data.
        web3: Credentials, rewards and pins, and what follows a consent.
        market: Offers, agreements, questions and settlement.
    """

    config: CoreConfig
    db: Database
    redis: RedisClient
    identity: Identity
    verifier: AccessTokenVerifier
    customers: CustomersService
    features: FeatureLookup
    registry: RegistryService
    promotions: PromotionsService
    challengers: ChallengersService
    analytics: Analytics
    inference: InferenceClient
    page_tokens: PageTokens
    keyring: Keyring
    tenant_keys: TenantKeys
    mail: MailDelivery
    audit: Audit
    billing: Billing
    consent: Consent
    rights: Rights
    web3: Web3
    market: Marketplace
    _closing: AsyncExitStack

    @classmethod
    async def open(cls, config: CoreConfig, *, wrap_inference: InferenceWrapper | None = None) -> Services:
        """Connect and wire.

        Args:
            config: Addresses and keys, all filled in.
            wrap_inference: Puts something around the inference client, such as the gateway's micro-batcher.

        Raises:
            Unavailable: PostgreSQL cannot be reached.
            FailedPrecondition: The database role is not bound by row-level security, or the KEK is another.
            ValueError: A KEK is not 32 bytes of base64.
        """
        keyring = Keyring.parse(config.kek.reveal(), config.kek_previous.reveal())
        async with AsyncExitStack() as opened:
            db = Database(config.database_url, config.database_pool_size, pooled=config.database_pooled)
            opened.push_async_callback(db.close)
            await assert_runtime_role(db)
            tenant_keys = TenantKeys(keyring)
            audit = _audit(db, keyring, tenant_keys, config)
            opened.push_async_callback(audit.access.close)
            await tenant_keys.make_missing(db)
            redis = redis_client(config.redis_url)
            opened.push_async_callback(redis.aclose)
            # One connection of its own: a busy pool must not make changes of access late.
            feed = Database(config.database_url, 1, pooled=config.database_pooled)
            opened.push_async_callback(feed.close)
            provider = payment_provider(config.stripe_api_key.reveal(), config.stripe_api_base)
            opened.push_async_callback(provider.close)
            entitlements = Entitlements(db, redis, feed)
            opened.push_async_callback(entitlements.close)
            entitlements.start()
            usage = open_usage(opened, db, entitlements, keyring, config)
            billing = open_billing(db, entitlements, usage, provider, config, keyring)
            identity = await IdentityService.open(
                db,
                redis,
                kek=keyring,
                issuer=config.token_issuer,
                access_token_ttl_s=int(config.access_token_ttl),
                limits=_login_limits(config),
                pepper=config.password_pepper.reveal(),
                feed=feed,
            )
            opened.push_async_callback(identity.close)
            await identity.receipt_keys.ensure()
            programs = Programs(db, identity.revocations, is_live=config.environment == "production")
            opened.push_async_callback(programs.close)
            directory = ReplicaDirectory(redis, open_channel=channels(config.worker_tls()))
            client = GrpcInferenceClient(directory)
            opened.push_async_callback(client.close)
            directory.start()
            inference = traced(wrap_inference(client) if wrap_inference is not None else client)
            tokens = PageTokens(keyring)
            customers = CustomersService(
                db,
                config.data_dir / "spool",
                tokens,
                tenant_keys,
                segment_names=segment_names,
                erased=Suppressions(db, tenant_keys).erased,
                consents=ConsentImports(tenant_keys),
            )
            features = FeatureLookup(db, customers)
            registry = RegistryService(db, float(config.shadow_period))
            scorer = GrpcBatchScorer(directory)
            # Not through the wrapper: callers' rows must not wait behind the shadow's.
            shadow = ShadowTraffic(db, client)
            opened.push_async_callback(shadow.close)
            people = People(db, keyring, tenant_keys, identity)
            web3 = open_web3(opened, db, tenant_keys, config)
            return cls(
                config=config,
                db=db,
                redis=redis,
                identity=Identity(
                    identity,
                    programs,
                    people,
                    Tenancy(
                        db,
                        keyring,
                        tenant_keys,
                        identity,
                        people,
                        config.artifacts,
                        before_erasure=[billing.subscriptions.ending.erase],
                    ),
                    OAuth(db, identity, programs.account_verifier, config.token_issuer),
                ),
                verifier=identity.verifier,
                customers=customers,
                features=features,
                registry=registry,
                promotions=PromotionsService(db, registry, ModelWarmup(inference)),
                challengers=ChallengersService(db, registry, ModelWarmup(inference)),
                analytics=open_analytics(
                    db, features, registry, inference, scorer, config, shadow, usage, billing
                ),
                inference=inference,
                page_tokens=tokens,
                keyring=keyring,
                tenant_keys=tenant_keys,
                mail=_mail(db, keyring, config),
                audit=audit,
                billing=billing,
                consent=open_consent(db, tenant_keys, identity.receipt_keys),
                rights=open_rights(
                    db,
                    redis,
                    tenant_keys,
                    LocalArtifactStore(config.artifacts).root,
                    (MarketStore(db), web3.personal_data),
                ),
                web3=web3,
                market=open_marketplace(db, web3.means),
                _closing=opened.pop_all(),
            )

    async def close(self) -> None:
        """Close every connection, in the reverse order of opening."""
        await self._closing.aclose()


def _login_limits(config: CoreConfig) -> LoginLimits:
    return LoginLimits(
        at_once=config.login_at_once,
        wait_s=float(config.login_wait),
        max_wait_s=float(config.login_wait_max),
        per_address=config.login_per_address,
        per_email=config.login_per_email,
        mails=config.login_mails,
    )


def _audit(db: Database, keyring: Keyring, tenant_keys: TenantKeys, config: CoreConfig) -> Audit:
    signer, root = StoredCheckpointSigner(db, keyring), LocalArtifactStore(config.artifacts).root
    checkpoints = Checkpoints(db, signer, root)
    return Audit(
        log=AuditService(db, signer),
        checkpoints=checkpoints,
        exports=AuditExports(db, signer, checkpoints, root),
        access=AccessLog(db, tenant_keys),
        access_reading=AccessReading(db, tenant_keys),
        access_sealing=AccessSealing(db),
    )


def _mail(db: Database, keyring: Keyring, config: CoreConfig) -> MailDelivery:
    templates = MailTemplates(Links(config.public_url))
    add_mails(templates)
    add_invitation_mails(templates)
    add_quota_mails(templates)
    add_plan_mails(templates)
    add_billing_mails(templates)
    mailer = smtp_mailer(config.smtp_url, config.mail_from)
    return MailDelivery(db, Sealer(keyring, MAIL_PURPOSE), templates, mailer)
