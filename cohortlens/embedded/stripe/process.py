"""The stand-in as a process: its settings, what it refuses, its life."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import h2corn

from cohortlens.core.telemetry import configure_logging, get_logger
from cohortlens.embedded.ports import LOOPBACK, free_port
from cohortlens.embedded.settings import StackConfig, from_environment
from cohortlens.embedded.stripe import events
from cohortlens.embedded.stripe.provider import Provider
from cohortlens.embedded.stripe.server import StripeServer
from cohortlens.embedded.stripe.store import Store

STACK_ENDPOINT = "we_stack"
WEBHOOK_PATH = "/billing/stripe/webhook"
_DRAIN_S = 2.0
_LOG = get_logger(__name__)


class NotHere(Exception):
    """The stand-in must not run like this; the text says why."""


def check(environment: str, key: str) -> None:
    """Refuse to stand in where money is real.

    Raises:
        NotHere: The installation is one of production, or the key is none of a test account.
    """
    if environment == "production":
        raise NotHere("COHORTLENS_ENV=production: the stand-in for Stripe never runs in production")
    if not key.startswith("sk_test_"):
        raise NotHere("COHORTLENS_STRIPE_API_KEY: the stand-in takes keys that begin with sk_test_ only")


def state_file(config: StackConfig) -> Path:
    """Where the state lies."""
    return config.folder / "stripe" / "state.db"


async def serve(config: StackConfig, stop: asyncio.Event) -> None:
    """Serve on loopback until ``stop`` is set.

    Raises:
        NotHere: It must not run.
    """
    key = config.stripe_api_key.reveal()
    check(config.environment, key)
    port = config.port("stripe") or free_port()
    store = Store(state_file(config))
    provider = Provider(store, f"http://{LOOPBACK}:{port}", config.stripe_account or "acct_local")
    _register_endpoint(config, provider)
    application = StripeServer(provider, key)
    server = h2corn.Server(
        application,
        h2corn.Config(
            bind=(f"{LOOPBACK}:{port}",),
            lifespan="off",
            access_log=False,
            log_format="json",
            timeout_graceful_shutdown=_DRAIN_S,
        ),
    )
    working = asyncio.create_task(application.work())
    serving = asyncio.create_task(server.serve())
    try:
        await server.wait_started()
        _LOG.info("ready", port=port)
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({stopping, serving, working}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
    finally:
        working.cancel()
        server.shutdown()
        ends = await asyncio.gather(serving, working, return_exceptions=True)
        store.close()
    for end in ends:
        if isinstance(end, Exception):
            raise end


def main() -> int:
    """Run until SIGTERM or SIGINT; answers the exit status."""
    config = from_environment()
    configure_logging(config.log_level, config.log_format)
    try:
        asyncio.run(_run(config))
    except NotHere as reason:
        sys.stderr.write(f"{reason}\n")
        return 5
    return 0


def _register_endpoint(config: StackConfig, provider: Provider) -> None:
    """Let the stack's gateway hear of events, when it has a secret to know them by."""
    secrets = config.stripe_webhook_secrets.reveal().replace(",", " ").split()
    if not secrets:
        return
    url = f"http://{LOOPBACK}:{config.port('http')}{WEBHOOK_PATH}"
    with provider.store.transaction():
        events.ensure_endpoint(provider, STACK_ENDPOINT, url, secrets[0])


async def _run(config: StackConfig) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await serve(config, stop)
