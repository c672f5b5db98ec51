"""The composition root of the gateway: services, chain, doors; start, readiness and drain of the process.

The only place of the gateway that knows which service stands behind which servicer.
"""

# ruff: noqa: PLC0415 - importing the slices takes a second; the ports must answer meanwhile

from __future__ import annotations

import asyncio
import gc
import importlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from cohortlens import __version__
from cohortlens.core.errors import CohortLensError, Unavailable
from cohortlens.core.ops import OpsListener, OpsPortInUseError
from cohortlens.core.settings import CoreConfig
from cohortlens.core.telemetry import BUILD_INFO, get_logger
from cohortlens.v1 import analytics_pb2, audit_pb2, auth_pb2, billing_pb2, customers_pb2, models_pb2
from gateway.config import GatewayConfig
from gateway.fleet.link import Link
from gateway.fleet.membership import Membership
from gateway.grpc.internal import internal_listener
from gateway.grpc.server import AsgiApp, Gateway, PortInUseError
from gateway.http import metrics
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
from gateway.interceptors.validate import ValidateStep
from gateway.limits.addresses import TrustedProxies
from gateway.servicers import health, inference_v2_policy, reflection
from gateway.servicers.health import HealthBoard, HealthServicer
from gateway.servicers.rereading import rereads

if TYPE_CHECKING:
    from cohortlens.audit.access import AccessNotes
    from cohortlens.bootstrap import Billing, Services
    from gateway.limits.limiter import Limiter

EXIT_OK, EXIT_FAILED, EXIT_SETTINGS, EXIT_PORT_IN_USE, EXIT_TWICE = 0, 1, 2, 3, 143
"""Exit codes: stopped as asked; failed; settings invalid; PORT_IN_USE; stopped at once by a second signal."""

_LOG = get_logger(__name__)
_RETRY_S = 1.0
_ANALYTICS = "cohortlens.v1.AnalyticsService"
_CHECK_EVERY_S = 1.0
_DOWN_AFTER_S = 5.0
# With 64 calls under way the default of 700 starts a collection every few calls: a seventh of all CPU time.
_GC_THRESHOLDS = (20_000, 10, 10)


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
    steps: dict[str, Step] = {
        "request_id": RequestIdStep(TrustedProxies(limits.trusted_proxies)),
        "observe": ObserveStep(),
        "errors": ErrorsStep(),
        "access": AccessStep(access_log),
        "shed": ShedStep(load),
        "address_limit": _past if limiter is None else AddressLimitStep(limiter, verifiers.knows),
        "authn": AuthnStep(verifiers),
        "rate_limit": _past if limiter is None else RateLimitStep(limiter, load),
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
    files = (analytics_pb2, audit_pb2, auth_pb2, billing_pb2, customers_pb2, models_pb2)
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
    from cohortlens.bootstrap import Services
    from cohortlens.core.failpoints import arm
    from cohortlens.core.idempotency_keys import IdempotencyKeys
    from cohortlens.core.sealing import derived_key
    from gateway.http.app import build_http_app
    from gateway.http.checks import SCORING, http_checks, migrated
    from gateway.http.cors import guarded
    from gateway.http.limited import AddressGate
    from gateway.http.pages.addresses import page_door
    from gateway.http.webhooks import webhook_door
    from gateway.microbatch.batcher import MicroBatcher
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
    from gateway.servicers.customers import CustomersServicer
    from gateway.servicers.inference_v2 import InferenceServicer
    from gateway.servicers.joined import joined
    from gateway.servicers.models import ModelsServicer

    arm(core.failpoint, core.environment)
    await migrated(core)
    table = public_table(with_reflection=config.shows_reflection(core.environment))
    services = await Services.open(core, wrap_inference=MicroBatcher)
    board = HealthBoard(table.services())
    servicers = {
        _ANALYTICS: AnalyticsServicer(services),
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
        "cohortlens.v1.CustomersService": CustomersServicer(services.customers),
        "cohortlens.v1.ModelsService": ModelsServicer(services),
        inference_v2_policy.SERVICE: InferenceServicer(
            services.analytics.predictions,
            services.analytics.segmentation,
            services.registry,
            services.inference,
            board,
        ),
    }
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

    form_key = derived_key(services.keyring, "form-token")
    people = page_door(chain, form_key, core.public_url, core.stripe_api_base, core.billing_currency)
    http_app = build_http_app(
        chain,
        http_checks(core, services),
        lambda: not board.draining,
        people,
        webhook_door(services.billing.receiving, config.rate_webhook_in),
        AddressGate(limiter, TrustedProxies(config.trusted_proxies)),
    )
    is_secure = config.tls_files() is not None or core.public_url.startswith("https:")
    entrance = guarded(http_app, config.cors_origins, is_secure=is_secure, is_page=people.has)

    async def close() -> None:
        await _keys_given_back(chain)
        await limiter.close()
        await services.close()

    return Parts(chain, entrance, board, check, close, http_app.missing)


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
        "cohortlens.bootstrap",
        "gateway.http.app",
        "gateway.microbatch.batcher",
        "gateway.servicers.analytics",
    ):
        importlib.import_module(name)


def _json_line(line: dict[str, Any]) -> str:
    # A line per call: orjson writes it in a tenth of the standard library's time.
    return orjson.dumps(line, default=str).decode()


async def run(core: CoreConfig, config: GatewayConfig, compose: Compose, link: Link | None = None) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code.

    Args:
        core: Shared settings.
        config: The gateway's settings.
        compose: Opens the services and builds chain and HTTP door; tried again while it is Unavailable.
        link: Place among several processes; None for the only one.
    """
    member, stop = Membership(link), asyncio.Event()
    member.configure_logging(core, _json_line)
    BUILD_INFO.labels(__version__).set(1)
    internal = internal_listener(config, is_shared=link is not None)
    gateway = (
        Gateway(config, link.sockets(), waits=link.waits, internal=internal)
        if link is not None
        else Gateway(config, internal=internal)
    )
    _on_signals(stop)
    try:
        ops = OpsListener(
            core.ops_bind, core.ops_port_of("gateway"), link.ops_socket() if link is not None else None
        )
        await gateway.start()
    except (PortInUseError, OpsPortInUseError) as fault:
        _LOG.error("port_in_use", reason=fault.reason, detail=str(fault))
        sys.stderr.write(f"{fault}\n")
        return EXIT_PORT_IN_USE
    await member.join()
    ops.follow(_starting, metrics.page)
    tasks = [
        asyncio.create_task(_serve(core, config, compose, gateway, member, ops)),
        asyncio.create_task(stop.wait()),
        asyncio.create_task(gateway.wait_failed()),
    ]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    failed = not stop.is_set()
    await member.draining()
    await gateway.stop()
    await member.leave()
    for task in tasks:
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    for error in ended:
        if isinstance(error, Exception):
            _LOG.error("gateway_failed", exc_info=error)
            if isinstance(error, CohortLensError):
                sys.stderr.write(f"{error.reason}: {error.message}\n")
    await asyncio.to_thread(ops.close)
    _LOG.info("stopped")
    return EXIT_FAILED if failed else EXIT_OK


async def _starting() -> list[str]:
    return ["process"]


async def _serve(
    core: CoreConfig,
    config: GatewayConfig,
    compose: Compose,
    gateway: Gateway,
    member: Membership,
    ops: OpsListener,
) -> None:
    """Open the services, let calls in, watch readiness; ends by cancellation after the drain."""
    parts = await _opened(core, config, compose)
    try:
        _settle_memory()
        await gateway.open_doors(parts.chain, parts.http_app, parts.board)
        ops.follow(parts.missing or _missing_of(parts.board))
        member.ready()
        await _watch(parts)
    finally:
        await parts.close()


def _missing_of(board: HealthBoard) -> Callable[[], Awaitable[list[str]]]:
    async def missing() -> list[str]:
        return [] if board.ready else ["process"]

    return missing


def _settle_memory() -> None:
    """Spare the collector what lives as long as the process, and runs that only find calls under way."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)


async def _opened(core: CoreConfig, config: GatewayConfig, compose: Compose) -> Parts:
    while True:
        try:
            return await compose(core, config)
        except Unavailable as fault:
            _LOG.warning("waiting", reason=fault.reason, detail=fault.message)
            await asyncio.sleep(_RETRY_S)


async def _watch(parts: Parts) -> None:
    """Take no calls while PostgreSQL has been away for some seconds."""
    loop = asyncio.get_running_loop()
    seen_at = loop.time()
    while True:
        try:
            async with asyncio.timeout(_CHECK_EVERY_S):
                await parts.check()
        except Exception as error:
            # Whatever a check stumbles over means not ready; it must never end the process.
            if parts.board.ready and loop.time() - seen_at > _DOWN_AFTER_S:
                _LOG.error("not_ready", detail=str(error))
                parts.board.block("postgres")
        else:
            seen_at = loop.time()
            if "postgres" in parts.board.blocks():
                _LOG.info("ready_again")
                parts.board.unblock("postgres")
        await asyncio.sleep(_CHECK_EVERY_S)


def _on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    def asked() -> None:
        if stop.is_set():
            # Somebody has asked twice: nothing may keep the process alive, no cleanup either.
            os._exit(EXIT_TWICE)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked)
