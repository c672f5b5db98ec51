"""The composition root of the gateway: which services stand behind which servicers, chain and doors.

The only place of the gateway that knows all of them; ``app`` runs what is made here.
"""

# ruff: noqa: PLC0415 - importing the slices takes a second; the ports must answer meanwhile

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cohortlens.core.settings import CoreConfig
from cohortlens.v1 import (
    analytics_pb2,
    audit_pb2,
    auth_pb2,
    billing_pb2,
    consent_pb2,
    customers_pb2,
    marketplace_pb2,
    models_pb2,
    rewards_pb2,
)
from gateway.config import GatewayConfig
from gateway.grpc.server import AsgiApp
from gateway.interceptors.access import AccessStep
from gateway.interceptors.address_limit import AddressLimitStep
from gateway.interceptors.authn import Authenticate, Authenticators, AuthnStep
from gateway.interceptors.chain import Call, Chain, MethodTable, Proceed, Step
from gateway.interceptors.entitlement import EntitlementStep
from gateway.interceptors.errors import ErrorsStep
from gateway.interceptors.fairness import ShareLimits
from gateway.interceptors.idempotency import IdempotencyStep, Keys
from gateway.interceptors.observe import ObserveStep
from gateway.interceptors.quota import QuotaStep
from gateway.interceptors.rate_limit import RateLimitStep
from gateway.interceptors.request_id import RequestIdStep
from gateway.interceptors.share import ShareStep
from gateway.interceptors.shed import Load, ShedStep
from gateway.interceptors.standing import Standing
from gateway.interceptors.trace import traced
from gateway.interceptors.validate import ValidateStep
from gateway.limits.addresses import TrustedProxies
from gateway.servicers import health, inference_v2_policy, reflection
from gateway.servicers.health import HealthBoard, HealthServicer
from gateway.servicers.rereading import rereads

if TYPE_CHECKING:
    from cohortlens.audit.access import AccessNotes
    from cohortlens.bootstrap.billing import Billing
    from cohortlens.bootstrap.services import Services
    from gateway.limits.limiter import Limiter

_ANALYTICS = "cohortlens.v1.AnalyticsService"


@dataclass(frozen=True)
class Parts:
    """What stands behind the listeners.

    Attributes:
        chain: The chain with its servicers.
        http_app: The HTTP door.
        board: What health answers.
        check: Looks at what readiness needs; raises when it is not there.
        close: Closes pools and connections.
        missing: What keeps the process from being ready, by name; what ``board`` says when None.
    """

    chain: Chain
    http_app: AsgiApp
    board: HealthBoard
    check: Callable[[], Awaitable[None]]
    close: Callable[[], Awaitable[None]]
    missing: Callable[[], Awaitable[list[str]]] | None = None


Compose = Callable[[CoreConfig, GatewayConfig], Awaitable[Parts]]


def make_chain(
    table: MethodTable,
    servicers: Mapping[str, Any],
    authenticate: Authenticators | Authenticate,
    board: HealthBoard,
    config: GatewayConfig | None = None,
    access_log: AccessNotes | None = None,
    limiter: Limiter | None = None,
    keys: Keys | None = None,
    billing: Billing | None = None,
) -> Chain:
    """The chain of the process: the real steps around ``servicers``, health and reflection.

    Args:
        table: Methods of the public API; health and reflection are in it if they are to be served.
        servicers: Servicer of each public service by full name.
        authenticate: Verifies credentials; a function alone verifies access tokens.
        board: What health answers.
        config: How much the process takes on; the defaults when None.
        access_log: Where reads about customers and refused calls are noted; nowhere when None.
        limiter: The rate limits; None where there is no Redis (tests of other steps).
        keys: The keys of requests; None where there is no PostgreSQL, likewise.
        billing: What tenants may do; None where no tenant has a plan, likewise.
    """
    limits = config or GatewayConfig()
    verifiers = authenticate if isinstance(authenticate, Authenticators) else Authenticators(authenticate)
    load = Load(limits.calls_max, limits.loop_lag_max)
    health_servicer = HealthServicer(board, table.services)
    reflection_servicer = reflection.ReflectionServicer(table)
    own = {health.SERVICE: health_servicer, **dict.fromkeys(reflection.SERVICES, reflection_servicer)}
    pacing = None if limiter is None else RateLimitStep(limiter, load)
    steps: dict[str, Step] = {
        "request_id": RequestIdStep(TrustedProxies(limits.trusted_proxies)),
        "observe": traced(ObserveStep()),
        "errors": ErrorsStep(),
        "access": AccessStep(access_log),
        "shed": ShedStep(load),
        "address_limit": _past if limiter is None else AddressLimitStep(limiter, verifiers.knows),
        "authn": AuthnStep(verifiers, None if pacing is None else pacing.denied),
        "rate_limit": pacing or _past,
        "entitlement": _past if billing is None else EntitlementStep(billing.entitlements, billing.catalogue),
        "share": ShareStep(
            load, ShareLimits(running=limits.share_running, waiting_per_tenant=limits.share_waiting)
        ),
        "validate": ValidateStep(table),
        "idempotency": IdempotencyStep(table, keys, rereads(table, servicers)),
        "quota": _past if billing is None else QuotaStep(table, billing.usage, limiter),
    }
    return Chain(table, {**own, **servicers}, steps)


async def _past(call: Call, proceed: Proceed, /) -> None:
    await proceed(call)


def public_table(*, with_reflection: bool) -> MethodTable:
    """Every method of the process: the public API, the Open Inference Protocol, health, reflection if wanted.

    Raises:
        MethodTableInvalid: An RPC lacks policy or HTTP rule.
    """
    table = MethodTable()
    files = (
        analytics_pb2,
        audit_pb2,
        auth_pb2,
        billing_pb2,
        consent_pb2,
        customers_pb2,
        marketplace_pb2,
        models_pb2,
        rewards_pb2,
    )
    table.add_public_api(one.DESCRIPTOR for one in files)
    inference_v2_policy.add_inference(table)
    health.add_health(table)
    if with_reflection:
        reflection.add_reflection(table)
    return table


async def compose(core: CoreConfig, config: GatewayConfig) -> Parts:
    """The parts of a real gateway.

    Raises:
        Unavailable: PostgreSQL is not there, or its schema is older than the code.
    """
    await asyncio.to_thread(_import_slices)
    from cohortlens.bootstrap.services import Services
    from cohortlens.core.failpoints import arm
    from cohortlens.core.idempotency_keys import IdempotencyKeys
    from gateway.http.checks import SCORING, migrated
    from gateway.microbatch.batcher import MicroBatcher

    arm(core.failpoint, core.environment)
    await migrated(core)
    table = public_table(with_reflection=config.shows_reflection(core.environment))
    services = await Services.open(core, wrap_inference=MicroBatcher)
    board = HealthBoard(table.services())
    servicers = _servicers(services, board)
    limiter = _limiter(core, config, services)
    chain = make_chain(
        table,
        servicers,
        _authenticators(services),
        board,
        config,
        services.audit.access,
        limiter,
        IdempotencyKeys(services.db, services.tenant_keys),
        services.billing,
    )

    async def check() -> None:
        replicas = await services.inference.live_replicas()
        scoring = any(replicas.get(one) for one in SCORING)
        for name in (_ANALYTICS, inference_v2_policy.SERVICE):
            board.set_service(name, serving=scoring)
        await services.db.ping()

    async def close() -> None:
        await _keys_given_back(chain)
        await limiter.close()
        await services.close()

    http_app, missing = _http_door(core, config, services, board, chain, limiter)
    return Parts(chain, http_app, board, check, close, missing)


def _servicers(services: Services, board: HealthBoard) -> dict[str, Any]:
    """The servicer of each public service by its full name."""
    from gateway.servicers.analytics import AnalyticsServicer
    from gateway.servicers.audit import AuditServicer
    from gateway.servicers.audit_access import AccessLogServicer
    from gateway.servicers.auth import AuthServicer
    from gateway.servicers.auth_keys import AuthKeysServicer
    from gateway.servicers.auth_login import LoginServicer
    from gateway.servicers.auth_oauth import AuthOAuthServicer
    from gateway.servicers.auth_sessions import AuthSessionsServicer
    from gateway.servicers.auth_tenants import AuthTenantsServicer
    from gateway.servicers.auth_users import AuthUsersServicer
    from gateway.servicers.billing import billing_servicer
    from gateway.servicers.cohorts import CohortsServicer
    from gateway.servicers.consent import consent_servicer
    from gateway.servicers.customers import CustomersServicer
    from gateway.servicers.drift import DriftServicer
    from gateway.servicers.explanations import ExplanationsServicer
    from gateway.servicers.inference_v2 import InferenceServicer
    from gateway.servicers.joined import joined
    from gateway.servicers.marketplace import MarketplaceServicer
    from gateway.servicers.marketplace_answers import MarketplaceAnswersServicer
    from gateway.servicers.model_history import ModelHistoryServicer
    from gateway.servicers.models import ModelsServicer
    from gateway.servicers.rewards import RewardsServicer
    from gateway.servicers.segmentations import SegmentationsServicer

    return {
        _ANALYTICS: joined(
            AnalyticsServicer(services),
            ExplanationsServicer(services),
            DriftServicer(services),
            CohortsServicer(services.analytics.cohorts, services.analytics.survival),
            SegmentationsServicer(services),
        ),
        "cohortlens.v1.AuthService": joined(
            AuthServicer(services.identity.core),
            AuthSessionsServicer(
                services.identity.core.control, services.identity.core.keys, services.page_tokens
            ),
            LoginServicer(services.identity.people),
            AuthKeysServicer(
                services.identity.programs.keys, services.identity.programs.accounts, services.page_tokens
            ),
            AuthOAuthServicer(services.identity.oauth, services.page_tokens),
            AuthUsersServicer(
                services.identity.tenancy.users, services.identity.tenancy.invitations, services.page_tokens
            ),
            AuthTenantsServicer(
                services.identity.tenancy.tenants, services.identity.tenancy.platform, services.page_tokens
            ),
        ),
        "cohortlens.v1.AuditService": joined(
            AuditServicer(services.audit, services.page_tokens),
            AccessLogServicer(services.audit.access_reading, services.page_tokens),
        ),
        "cohortlens.v1.BillingService": billing_servicer(services.billing, services.page_tokens),
        "cohortlens.v1.ConsentService": consent_servicer(
            services.consent, services.rights, services.web3, services.page_tokens
        ),
        "cohortlens.v1.RewardService": RewardsServicer(
            services.web3.wallets, services.web3.rewards, services.page_tokens
        ),
        "cohortlens.v1.CustomersService": CustomersServicer(services.customers),
        "cohortlens.v1.MarketplaceService": joined(
            MarketplaceServicer(services.market, services.page_tokens),
            MarketplaceAnswersServicer(services.market, services.page_tokens),
        ),
        "cohortlens.v1.ModelsService": joined(ModelsServicer(services), ModelHistoryServicer(services)),
        inference_v2_policy.SERVICE: InferenceServicer(
            services.analytics.predictions,
            services.analytics.segmentation,
            services.registry,
            services.inference,
            board,
        ),
    }


def _http_door(
    core: CoreConfig,
    config: GatewayConfig,
    services: Services,
    board: HealthBoard,
    chain: Chain,
    limiter: Limiter,
) -> tuple[AsgiApp, Callable[[], Awaitable[list[str]]]]:
    """The HTTP door as the network sees it, and what keeps it from being ready."""
    from cohortlens.core.sealing import derived_key
    from gateway.graphql.door import GraphqlDoor
    from gateway.http.app import build_http_app
    from gateway.http.checks import http_checks
    from gateway.http.cors import guarded
    from gateway.http.limited import AddressGate
    from gateway.http.pages.addresses import page_door
    from gateway.http.webhooks import webhook_door

    form_key = derived_key(services.keyring, "form-token")
    people = page_door(chain, form_key, core.public_url, core.stripe_api_base, core.billing_currency)
    http_app = build_http_app(
        chain,
        http_checks(core, services),
        lambda: not board.draining,
        people,
        webhook_door(services.billing.receiving, config.rate_webhook_in),
        AddressGate(limiter, TrustedProxies(config.trusted_proxies)),
        board,
        GraphqlDoor(chain, is_production=core.environment == "production", drain=board),
    )
    is_secure = config.tls_files() is not None or core.public_url.startswith("https:")
    door = guarded(
        http_app,
        config.cors_origins,
        is_secure=is_secure,
        is_page=people.has,
        methods=http_app.methods,
    )
    return door, http_app.missing


async def _keys_given_back(chain: Chain) -> None:
    step = chain.steps["idempotency"]
    if isinstance(step, IdempotencyStep):
        await step.close()


def _authenticators(services: Services) -> Authenticators:
    programs = services.identity.programs
    return Authenticators(
        services.verifier.verify,
        programs.key_verifier.verify,
        programs.account_verifier.principal,
        Standing(services.identity.core.revocations, services.verifier.standing),
        lambda text: programs.key_verifier.knows(text) or services.verifier.knows(text),
    )


def _limiter(core: CoreConfig, config: GatewayConfig, services: Services) -> Limiter:
    from gateway.limits.limiter import Limiter

    # Also processes of other hosts share the limits: what QUOTA_PROCESSES says, where it says more.
    processes = max(core.quota_processes, config.process_count())
    limiter = Limiter.open(core.redis_url, services.billing.entitlements, config, processes)
    services.identity.core.sessions.paced_by(limiter.refresh)
    return limiter


def _import_slices() -> None:
    """Load what ``compose`` imports: it takes a second, and the ports must answer meanwhile."""
    for name in (
        "cohortlens.bootstrap.services",
        "gateway.graphql.door",
        "gateway.http.app",
        "gateway.microbatch.batcher",
        "gateway.servicers.analytics",
    ):
        importlib.import_module(name)
