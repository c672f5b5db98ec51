"""The stack of this machine as the commands see it: its settings, its folder, where its doors are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cohortlens.cli.output import Fault
from cohortlens.core.sealing import Keyring
from cohortlens.embedded import secrets, stack
from cohortlens.embedded.postgres import PostgresUrls, database_urls
from cohortlens.embedded.settings import StackConfig


@dataclass(frozen=True)
class Endpoints:
    """Where the doors of the running stack are.

    Attributes:
        http: Base URL of the HTTP door.
        grpc: ``host:port`` of the gRPC door.
        ops: Base URL of the gateway's ops pages.
    """

    http: str
    grpc: str
    ops: str


def config() -> StackConfig:
    """The settings of this environment; raises StackFailed with every fault."""
    return stack.load_config()


def data_dir() -> Path:
    """The stack's data folder, absolute."""
    return config().folder


def endpoints() -> Endpoints:
    """The doors of the running stack, or those it would have."""
    settings = config()
    ports = stack.status(settings).ports
    http, grpc, ops = (ports.get(name) or settings.port(name) for name in ("http", "grpc", "ops"))
    return Endpoints(
        f"http://{settings.bind}:{http}", f"{settings.bind}:{grpc}", f"http://{settings.ops_bind}:{ops}"
    )


def local_target() -> str:
    """``host:port`` of the gRPC door of this machine's stack."""
    return endpoints().grpc


def keyring(config: StackConfig) -> Keyring:
    """The keys of this machine's stack.

    Raises:
        Fault: There are none, or they cannot be read.
    """
    if config.kek:
        return _parsed(config.kek.reveal(), config.kek_previous.reveal())
    if not secrets.exists(config.folder):
        raise Fault(
            "KEY_MISSING",
            f"no key: COHORTLENS_KEK is not set and {config.folder} has no secrets",
            "set COHORTLENS_KEK, or cohortlens up",
        )
    stored = secrets.load_or_create(config.folder)
    return _parsed(stored.kek.reveal(), stored.kek_previous.reveal())


def runtime_url(config: StackConfig) -> str:
    """Address of the database of this machine's stack, as the runtime role.

    Raises:
        Fault: DATABASE_UNREACHABLE.
    """
    return config.database_url or _embedded(config, "DATABASE_URL").runtime


def jobs_url(config: StackConfig) -> str:
    """Address of the database of this machine's stack, as the role of jobs.

    Raises:
        Fault: DATABASE_UNREACHABLE.
    """
    return config.jobs_database_url or _embedded(config, "JOBS_DATABASE_URL").jobs


def payments(config: StackConfig) -> tuple[str, str]:
    """Key and address of the payment provider of this machine's stack; both empty without one.

    The address is empty for Stripe itself.
    """
    port = stack.status(config).ports.get("stripe")
    if config.embeds_stripe and port and secrets.exists(config.folder):
        made = secrets.load_or_create(config.folder)
        return made.stripe_key.reveal(), f"http://127.0.0.1:{port}"
    return config.stripe_api_key.reveal(), config.stripe_api_base


def _parsed(current: str, previous: str) -> Keyring:
    try:
        return Keyring.parse(current, previous)
    except ValueError as fault:
        raise Fault("SETTING_INVALID", str(fault), "cohortlens doctor", "INVALID_ARGUMENT") from None


def _embedded(config: StackConfig, setting: str) -> PostgresUrls:
    """Addresses of the embedded server; ``setting`` would have named another."""
    port = stack.status(config).ports.get("postgres")
    if not port or not secrets.exists(config.folder):
        raise Fault(
            "DATABASE_UNREACHABLE",
            f"no database: nothing runs here and COHORTLENS_{setting} is not set",
            f"cohortlens up, or set COHORTLENS_{setting}",
        )
    return database_urls(secrets.load_or_create(config.folder), port)
