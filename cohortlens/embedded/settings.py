"""Settings of the embedded stack, the ports that follow from them, and the environment of its processes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cohortlens.core.config import PREFIX, Url, read, setting, setting_names
from cohortlens.core.settings import OPS_PORT, OPS_PROCESSES, CoreConfig
from cohortlens.embedded import web3
from cohortlens.embedded.faults import Fault, StackFailed
from cohortlens.embedded.ports import free_port, free_ports

_CHECKOUT = Path(__file__).resolve().parents[2]
DEFAULT_PORTS = {
    "http": 8080,
    "grpc": 50051,
    "postgres": 15432,
    "redis": 16379,
    "smtp": 11025,
    "stripe": 12111,
    "web3": 50071,
    "ops": OPS_PORT,
}
PASSED_THROUGH = frozenset(
    PREFIX + name
    for name in (
        "BATCH_SLOTS",
        "CALLS_MAX",
        "CORS_ORIGINS",
        "DRAIN_DELAY",
        "DRAIN_TIMEOUT",
        "GRPC_SERVER",
        "INTERNAL_PORT",
        "INTERNAL_TLS_CA",
        "INTERNAL_TLS_CERT",
        "INTERNAL_TLS_KEY",
        "LOOP_LAG_MAX",
        "RATE_AUTH_REFRESH",
        "RATE_AUTH_REFRESH_ADDRESS",
        "RATE_AUTH_SENSITIVE",
        "RATE_BULK",
        "RATE_INFERENCE",
        "RATE_INTERNAL",
        "RATE_PENDING_AUTH",
        "RATE_PENDING_AUTH_ADDRESS",
        "RATE_PLATFORM",
        "RATE_PUBLIC",
        "RATE_READ",
        "RATE_REDIS_TIMEOUT",
        "RATE_SHADOW",
        "RATE_WEBHOOK_IN",
        "RATE_WRITE",
        "RAY_HEAD",
        "RAY_PORT",
        "RAY_TOKEN",
        "REFLECTION",
        "REPLICAS",
        "REPLICAS_MAX",
        "SCALE_DOWN_DELAY",
        "SCALE_TARGET_BUSY",
        "SCALE_TARGET_QUEUE",
        "SCALE_TARGET_ROWS",
        "SCALE_UP_DELAY",
        "SEQUENCE_CELL",
        "SEQUENCE_HEAD",
        "SHARE_RUNNING",
        "SHARE_WAITING",
        "TLS_CERT",
        "TLS_KEY",
        "TRAINING_SLOTS",
        "TRUSTED_PROXIES",
        "WORKER_BIND",
        "WORKER_MODEL_MEMORY",
        "WORKER_OBJECT_MEMORY",
        *web3.SETTINGS,
    )
)
"""Settings that only gateway, workers or web3 sidecar read; the stack hands them on without looking."""

_OF_OTHER_ROLES = ("DATABASE_ADMIN_URL", "JOBS_DATABASE_URL")
_OF_PAYMENTS = ("STRIPE_API_KEY", "STRIPE_WEBHOOK_SECRETS")
_OF_THE_DOMAIN = (
    *_OF_OTHER_ROLES,
    *_OF_PAYMENTS,
    *web3.OF_THE_SIDECAR,
    "DATABASE_URL",
    "KEK",
    "KEK_PREVIOUS",
    "WEB3_TOKEN",
)
_WITHHELD = {
    "gateway": (*_OF_OTHER_ROLES, *web3.OF_THE_SIDECAR),
    "jobs": (*_OF_OTHER_ROLES, *web3.OF_THE_SIDECAR, "STRIPE_WEBHOOK_SECRETS"),
    "workers": _OF_THE_DOMAIN,
    "mail": (*_OF_THE_DOMAIN, "REDIS_URL"),
    "stripe": (
        *_OF_OTHER_ROLES,
        *web3.OF_THE_SIDECAR,
        "DATABASE_URL",
        "KEK",
        "KEK_PREVIOUS",
        "PASSWORD_PEPPER",
        "REDIS_URL",
        "WEB3_TOKEN",
    ),
    "web3": (
        *_OF_OTHER_ROLES,
        *_OF_PAYMENTS,
        "DATABASE_URL",
        "KEK",
        "KEK_PREVIOUS",
        "PASSWORD_PEPPER",
        "REDIS_URL",
        "SMTP_URL",
    ),
}


@dataclass(frozen=True)
class StackConfig(CoreConfig):
    """What ``cohortlens up`` starts, where it listens, where its data lies."""

    bind: str = setting("BIND", "127.0.0.1", "address the gateway listens on")
    http_port: int | None = setting("HTTP_PORT", None, "port of HTTP; 8080 + offset when unset, 0 for any")
    grpc_port: int | None = setting("GRPC_PORT", None, "port of gRPC; 50051 + offset when unset, 0 for any")
    postgres_port: int | None = setting(
        "POSTGRES_PORT", None, "port of the embedded PostgreSQL; 15432 + offset when unset, 0 for any"
    )
    redis_port: int | None = setting(
        "REDIS_PORT", None, "port of the embedded Valkey; 16379 + offset when unset, 0 for any"
    )
    smtp_port: int | None = setting(
        "SMTP_PORT", None, "port of the embedded mail server; 11025 + offset when unset, 0 for any"
    )
    stripe_port: int | None = setting(
        "STRIPE_PORT",
        None,
        "port of the embedded stand-in for Stripe; 12111 + offset when unset, 0 for any",
    )
    port_offset: int = setting(
        "PORT_OFFSET", 0, "added to every default port, so that two stacks stand side by side"
    )
    jobs_database_url: Url = setting(
        "JOBS_DATABASE_URL",
        Url(""),
        "PostgreSQL of the role of jobs; given with DATABASE_URL, embedded when unset",
    )
    web3_port: int | None = setting(
        "WEB3_PORT", None, "port of the embedded web3 sidecar; 50071 + offset when unset, 0 for any"
    )
    web3_dsn: Url = setting(
        "WEB3_DSN", Url(""), "PostgreSQL of the role cl_web3; without it an external database has no sidecar"
    )
    gateway_processes: str = setting(
        "GATEWAY_PROCESSES", "1", "processes that share the two ports: a number, or auto for one per core"
    )
    workers_python: Path = setting(
        "WORKERS_PYTHON",
        _CHECKOUT / ".venv-workers" / "bin" / "python",
        "interpreter of the workers' environment",
    )

    def port(self, service: str) -> int:
        """The port a service is to use: as given, or the default plus the offset; 0 lets the kernel choose.

        Args:
            service: ``http``, ``grpc``, ``postgres``, ``redis``, ``smtp``, ``stripe``, ``web3`` or ``ops``.
        """
        given: int | None = getattr(self, f"{service}_port")
        return DEFAULT_PORTS[service] + self.port_offset if given is None else given

    @property
    def embeds_postgres(self) -> bool:
        """Whether no PostgreSQL was given."""
        return not self.database_url

    @property
    def embeds_redis(self) -> bool:
        """Whether no Redis was given."""
        return not self.redis_url

    @property
    def embeds_mail(self) -> bool:
        """Whether no mail server was given."""
        return not self.smtp_url

    @property
    def embeds_stripe(self) -> bool:
        """Whether a local stand-in takes the place of Stripe: in development, when no key was given."""
        return self.environment == "development" and not self.stripe_api_key

    @property
    def embeds_web3(self) -> bool:
        """Whether the web3 sidecar runs here: when no other one was given and it can reach a journal."""
        return not self.web3_address and (self.embeds_postgres or bool(self.web3_dsn))

    @property
    def folder(self) -> Path:
        """The data folder, absolute: the stack's processes have other working folders."""
        return self.data_dir.absolute()


def known_settings() -> set[str]:
    """Names of all settings that any process of the stack reads."""
    return setting_names(StackConfig) | PASSED_THROUGH


def current_environment() -> dict[str, str]:
    """Environment of this process; the stack's processes inherit it."""
    return dict(os.environ)


def from_environment() -> StackConfig:
    """The configuration that this process's environment asks for.

    Raises:
        SettingsInvalid: Every fault of every setting.
    """
    return read(StackConfig, os.environ)


def external_urls(config: StackConfig) -> tuple[Url, Url, Url]:
    """Addresses of an external PostgreSQL: owner role, runtime role, role of jobs.

    Raises:
        StackFailed: ``SETTING_MISSING``: the runtime role is given, another is not.
    """
    for url, name, role, work in (
        (config.database_admin_url, "DATABASE_ADMIN_URL", "cl_owner", "migrations"),
        (config.jobs_database_url, "JOBS_DATABASE_URL", "cl_jobs", "jobs"),
    ):
        if not url:
            raise StackFailed(
                Fault(
                    reason="SETTING_MISSING",
                    message=f"the external database is out of reach of {work}",
                    found=f"COHORTLENS_DATABASE_URL without COHORTLENS_{name}",
                    cause="each role may do its own work and no more",
                    next=f"set COHORTLENS_{name} to the address of the role {role}",
                )
            )
    return config.database_admin_url, config.database_url, config.jobs_database_url


def chosen_ports(config: StackConfig) -> dict[str, int]:
    """Ports of our own servers in this start; a 0 is replaced by a port that is free now."""
    services = ["http", "grpc"]
    services += ["smtp"] if config.embeds_mail else []
    services += ["stripe"] if config.embeds_stripe else []
    services += ["web3"] if config.embeds_web3 else []
    chosen = {service: config.port(service) or free_port() for service in services}
    chosen["ops"] = config.port("ops") or free_ports(len(OPS_PROCESSES))
    return chosen


def child_environment(
    base: Mapping[str, str], config: StackConfig, values: Mapping[str, str]
) -> dict[str, str]:
    """Environment of gateway, jobs and workers: ours, with what the stack decided on top.

    Args:
        base: Environment of the supervisor.
        config: Settings.
        values: Settings without prefix that the stack decided: addresses, ports, key.
    """
    environ = {
        name: value for name, value in base.items() if name.removesuffix("_FILE") not in _names(values)
    }
    defaults = {
        # A stop of the whole stack has 15 s; calls under way get a third of it.
        f"{PREFIX}DRAIN_TIMEOUT": "5s",
        # Processes that rename themselves would else overwrite the marker that `down` knows them by.
        "SPT_NOENV": "1",
        "PYTHONUNBUFFERED": "1",
    }
    decided = {PREFIX + name: value for name, value in values.items()}
    decided[f"{PREFIX}DATA_DIR"] = str(config.folder)
    return {**defaults, **environ, **decided}


def own_environment(program: str, environ: Mapping[str, str]) -> dict[str, str]:
    """What one program of the stack gets: nobody holds an address or a key that is not for its work.

    Args:
        program: Name as in ``status``.
        environ: Environment of the stack's programs.
    """
    withheld = {PREFIX + name for name in _WITHHELD.get(program, ())}
    own = {name: value for name, value in environ.items() if name.removesuffix("_FILE") not in withheld}
    if program == "jobs":
        own[f"{PREFIX}DATABASE_URL"] = environ[f"{PREFIX}JOBS_DATABASE_URL"]
    return own


def _names(values: Mapping[str, str]) -> set[str]:
    return {PREFIX + name for name in values}
