"""``python -m gateway`` serves; ``python -m gateway routes [--json]`` prints what it serves.

With several processes (``COHORTLENS_GATEWAY_PROCESSES``) the first one only watches: it starts the others
with the same command and hands each its sockets.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence

import uvloop

from cohortlens.core.config import ConfigT, SettingsInvalid, read
from cohortlens.core.settings import CoreConfig
from cohortlens.core.telemetry import configure_logging
from gateway import app
from gateway.composition import Compose, compose, public_table
from gateway.config import GatewayConfig
from gateway.fleet.link import Link
from gateway.fleet.run import run_fleet

_USAGE = "usage: python -m gateway [routes [--json]]\n"


def main(arguments: list[str]) -> int:
    """Run one command; returns the exit code."""
    if arguments[:1] == ["routes"] and arguments[1:] in ([], ["--json"]):
        _print_routes(as_json=len(arguments) > 1)
        return app.EXIT_OK
    if arguments:
        sys.stderr.write(_USAGE)
        return app.EXIT_SETTINGS
    faults: list[str] = []
    core, config = _read(CoreConfig, faults), _read(GatewayConfig, faults)
    for one in (core, config):
        faults += one.faults() if one is not None else []
    if core is not None and config is not None and core.environment == "production":
        faults += config.production_faults()
    if faults or core is None or config is None:
        sys.stderr.write("".join(f"SETTING_INVALID: {fault}\n" for fault in faults))
        return app.EXIT_SETTINGS
    return serve(core, config, compose, [sys.executable, "-m", "gateway"])


def serve(core: CoreConfig, config: GatewayConfig, compose: Compose, command: Sequence[str]) -> int:
    """Serve with one process or with several; returns the exit code.

    Args:
        core: Shared settings.
        config: The gateway's settings.
        compose: Opens the services and builds chain and HTTP door.
        command: Starts a process that calls this function with the same settings.
    """
    link = Link.from_environment(os.environ)
    if link is None and config.process_count() > 1:
        configure_logging(core.log_level, core.log_format)
        return run_fleet(config, command, os.environ, (core.ops_bind, core.ops_port_of("gateway")))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(app.run(core, config, compose, link))


def _read(cls: type[ConfigT], faults: list[str]) -> ConfigT | None:
    try:
        return read(cls, os.environ)
    except SettingsInvalid as invalid:
        faults.extend(invalid.faults)
        return None


def _print_routes(*, as_json: bool) -> None:
    from gateway.http.beside import beside  # noqa: PLC0415 - only this command needs the HTTP door
    from gateway.http.oip import build_oip_routes  # noqa: PLC0415
    from gateway.http.routes import build_routes  # noqa: PLC0415

    rows, methods = [], public_table(with_reflection=False)
    for route in [*build_routes(methods).routes, *build_oip_routes(methods).routes]:
        policy = route.method.policy
        rows.append(
            {
                "verb": route.rule.verb,
                "template": route.rule.template.text,
                "rpc": route.method.full_name.lstrip("/"),
                "access": "public" if policy.public else "platform" if policy.platform else "token",
                "scopes": list(policy.scopes),
                "class": policy.rate_class.name.lower(),
            }
        )
    # What no RPC stands behind, by its name in the OpenAPI document.
    for path, item in beside([]).items():
        rows += [
            {
                "verb": verb.upper(),
                "template": path,
                "rpc": operation["operationId"],
                "access": "public" if {} in (operation["security"] or [{}]) else "token",
                "scopes": [],
                "class": "-",
            }
            for verb, operation in item.items()
        ]
    if as_json:
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
        return
    for row in rows:
        allowed = " ".join([str(row["access"]), *row["scopes"]])
        sys.stdout.write(
            f"{row['verb']:<7}{row['template']:<50} {row['rpc']:<55} {row['class']:<15} {allowed}\n"
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
