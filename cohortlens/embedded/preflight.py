"""Checks before a start: settings, folder, ports, disk, memory; all faults in one go, nothing is written.

Used by ``up`` and ``cohortlens doctor``.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from cohortlens.core.config import SettingsInvalid, read, unknown_settings
from cohortlens.core.key_settings import key_faults
from cohortlens.core.mail_settings import mail_faults
from cohortlens.core.settings import OPS_PROCESSES
from cohortlens.embedded.faults import Fault
from cohortlens.embedded.ports import is_free, port_in_use
from cohortlens.embedded.postgres_cluster import MAJOR, RESERVED, SETTINGS, other_version
from cohortlens.embedded.settings import StackConfig, known_settings
from cohortlens.embedded.state import read_state
from cohortlens.embedded.web3 import CONNECTIONS

DISK_NEEDED = 2 * 2**30
MEMORY_WANTED = 3 * 2**30
MEMORY_NEEDED = 1536 * 2**20
_GIB = 2**30


def check_settings(environ: Mapping[str, str]) -> tuple[StackConfig | None, list[Fault]]:
    """Read the settings of the stack.

    Returns:
        The configuration, none when a value cannot be used, and every fault.
    """
    faults = [
        Fault(
            reason="SETTING_UNKNOWN",
            message="a setting is not known",
            found=text,
            cause="it is misspelt, or of another release; it would be ignored",
            next=f"unset {text.partition(':')[0]}",
        )
        for text in unknown_settings(environ, known_settings())
    ]
    try:
        return read(StackConfig, environ), faults
    except SettingsInvalid as invalid:
        return None, faults + [_invalid(text) for text in invalid.faults]


def check_machine(config: StackConfig) -> list[Fault]:
    """Every fault that this machine has for this configuration.

    Args:
        config: Settings that were read.
    """
    checks: tuple[Callable[[StackConfig], list[Fault]], ...] = (
        _ranges,
        _connections,
        _production,
        _keys,
        _mail,
        _running,
        _folder,
        _version,
        _disk,
        _memory,
        _workers,
        _ports,
    )
    return [fault for check in checks for fault in check(config)]


def already_running(config: StackConfig) -> Fault:
    """The fault of a start beside a stack that runs in the same folder."""
    state = read_state(config.folder)
    return Fault(
        reason="STACK_ALREADY_RUNNING",
        message=f"the stack in {config.folder} runs already",
        found=f"supervisor pid {state.supervisor.pid} since {state.since}" if state else "its lock is held",
        cause="one folder holds one stack",
        next="cohortlens status",
        severity="note",
    )


def _invalid(text: str) -> Fault:
    name = text.partition("=")[0]
    return Fault(
        reason="SETTING_INVALID",
        message=f"the setting {name} cannot be used",
        found=text,
        cause="the value has another form than expected",
        next=f"unset {name}, or give it a value of that form",
    )


def _ranges(config: StackConfig) -> list[Fault]:
    faults = []
    for service in ("http", "grpc", "postgres", "redis", "smtp", "stripe", "ops"):
        port = config.port(service)
        if not 0 <= port <= 65535:
            faults.append(
                _invalid(f"COHORTLENS_{service.upper()}_PORT={port}: expected a port from 0 to 65535")
            )
    return faults


def _connections(config: StackConfig) -> list[Fault]:
    asked = config.gateway_processes
    if not config.embeds_postgres or not (asked == "auto" or asked.isdecimal()):
        return []
    gateways = len(os.sched_getaffinity(0)) if asked == "auto" else int(asked)
    # The jobs process has a pool too, and the web3 sidecar one of its own.
    offered = int(SETTINGS["max_connections"]) - RESERVED
    fixed = CONNECTIONS if config.embeds_web3 else 0
    needed = (gateways + 1) * config.database_pool_size + fixed
    if needed <= offered:
        return []
    return [
        Fault(
            reason="CONNECTIONS_EXCEEDED",
            message="the embedded PostgreSQL has too few connections for this many processes",
            found=f"{gateways} gateway processes and jobs with {config.database_pool_size} connections each "
            f"need {needed}, {offered} are there",
            cause="each process keeps COHORTLENS_DATABASE_POOL_SIZE connections",
            next=f"COHORTLENS_DATABASE_POOL_SIZE={max(1, (offered - fixed) // (gateways + 1))}, "
            "fewer processes, or an external PostgreSQL",
        )
    ]


def _production(config: StackConfig) -> list[Fault]:
    if config.environment != "production":
        return []
    missing = [
        name
        for name, value in (
            ("COHORTLENS_DATABASE_URL", config.database_url),
            ("COHORTLENS_REDIS_URL", config.redis_url),
            ("COHORTLENS_KEK", config.kek),
        )
        if not value
    ]
    if not missing:
        return []
    return [
        Fault(
            reason="EMBEDDED_IN_PRODUCTION",
            message="the embedded stand-ins do not run in production",
            found="COHORTLENS_ENV=production without " + ", ".join(missing),
            cause="they keep secrets beside the data and have no replica",
            next="set " + " and ".join(missing),
        )
    ]


def _keys(config: StackConfig) -> list[Fault]:
    # That production has a key at all is a matter of ``_production``.
    is_checked = bool(config.kek) and config.environment == "production"
    return [
        Fault(
            reason="KEY_INVALID",
            message="the stored secrets could not be sealed",
            found=text,
            cause="the key is the installation's one secret that is not stored in it",
            next="set it; docs/guides/operating.md, section Keys",
        )
        for text in key_faults(config.kek.reveal(), config.kek_previous.reveal(), is_production=is_checked)
    ]


def _mail(config: StackConfig) -> list[Fault]:
    is_production = config.environment == "production"
    return [
        Fault(
            reason="MAIL_SETTINGS_INVALID",
            message="mails could not be sent",
            found=text,
            cause="people verify their address and reset their password by mail",
            next="set it; docs/guides/operating.md, section Mail",
        )
        for text in mail_faults(
            config.smtp_url, config.mail_from, config.public_url, is_production=is_production
        )
    ]


def _running(config: StackConfig) -> list[Fault]:
    state = read_state(config.folder)
    if state is None:
        return []
    if state.supervisor.is_alive():
        return [already_running(config)]
    return [
        Fault(
            reason="STALE_STATE",
            message="an earlier stack ended without stopping in order",
            found=f"supervisor pid {state.supervisor.pid} is gone",
            cause="it was killed, or the machine went down",
            next="cohortlens up (or down) ends what it left and goes on",
            severity="note",
        )
    ]


def _folder(config: StackConfig) -> list[Fault]:
    folder = config.folder
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK):
        return []
    return [
        Fault(
            reason="DATA_DIR_NOT_WRITABLE",
            message=f"the data folder {folder} cannot be used",
            found=f"{existing} is " + ("not writable by this user" if existing.is_dir() else "no folder"),
            cause="all data of the stack is kept there",
            next=f"COHORTLENS_DATA_DIR={Path.home() / 'cohortlens-data'} make run",
        )
    ]


def _version(config: StackConfig) -> list[Fault]:
    if not config.embeds_postgres or not config.folder.is_dir() or not os.access(config.folder, os.R_OK):
        return []
    clusters = [path.name for path in config.folder.iterdir() if re.fullmatch(r"postgres-\d+", path.name)]
    others = sorted(name for name in clusters if name != f"postgres-{MAJOR}")
    if not others or f"postgres-{MAJOR}" in clusters:
        return []
    return [other_version(f"{', '.join(others)} in {config.folder}")]


def _disk(config: StackConfig) -> list[Fault]:
    existing = next(path for path in (config.folder, *config.folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free >= DISK_NEEDED:
        return []
    return [
        Fault(
            reason="DISK_LOW",
            message=f"too little space for {config.folder}",
            found=f"{free / _GIB:.1f} GiB free, {DISK_NEEDED / _GIB:.1f} GiB needed",
            cause="database, logs and models would fill the disk",
            next="COHORTLENS_DATA_DIR=/path/on/another/disk make run",
        )
    ]


def _memory(_config: StackConfig) -> list[Fault]:
    available = available_memory()
    if available >= MEMORY_WANTED:
        return []
    return [
        Fault(
            reason="MEMORY_LOW",
            message="little memory is available",
            found=f"{available / _GIB:.1f} GiB available, {MEMORY_WANTED / _GIB:.1f} GiB wanted",
            cause="the workers hold about 1 GiB and training takes more",
            next="close other programs; check with: free -m",
            severity="stop" if available < MEMORY_NEEDED else "warn",
        )
    ]


def _workers(config: StackConfig) -> list[Fault]:
    if os.access(config.workers_python, os.X_OK):
        return []
    return [
        Fault(
            reason="WORKERS_ENVIRONMENT_MISSING",
            message="the workers cannot be started",
            found=f"no interpreter at {config.workers_python}",
            cause="models run in an environment of their own, which was not made yet",
            next="make setup, or set COHORTLENS_WORKERS_PYTHON",
        )
    ]


def _ports(config: StackConfig) -> list[Fault]:
    state = read_state(config.folder)
    # Ports of a running or of a killed stack are ours: `up` reports the first and frees the second.
    ours = set(state.ports.values()) if state is not None else set()
    if state is not None and "ops" in state.ports:
        ours |= set(range(state.ports["ops"], state.ports["ops"] + len(OPS_PROCESSES)))
    wanted = ["http", "grpc"]
    wanted += ["postgres"] if config.embeds_postgres else []
    wanted += ["redis"] if config.embeds_redis else []
    wanted += ["smtp"] if config.embeds_mail else []
    wanted += ["stripe"] if config.embeds_stripe else []
    wanted += ["web3"] if config.embeds_web3 else []
    faults = []
    for service in wanted:
        port = config.port(service)
        if 0 < port <= 65535 and port not in ours and not is_free(port):
            faults.append(port_in_use(service, port))
    first = config.port("ops")
    for process, port in zip(OPS_PROCESSES, range(first, first + len(OPS_PROCESSES)), strict=True):
        if first and port <= 65535 and port not in ours and not is_free(port):
            faults.append(port_in_use(f"ops pages of {process}", port))
    return faults


def available_memory() -> int:
    """Bytes of memory that programs can still take without swapping."""
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0
