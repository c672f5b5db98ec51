"""``python -m gateway`` serves; ``python -m gateway routes [--json]`` prints what it serves."""

from __future__ import annotations

import asyncio
import json
import os
import sys

import uvloop

from cohortlens.core.config import ConfigT, SettingsInvalid, read
from cohortlens.core.settings import CoreConfig
from gateway import app
from gateway.config import GatewayConfig

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
    if core is None or config is None:
        sys.stderr.write("".join(f"SETTING_INVALID: {fault}\n" for fault in faults))
        return app.EXIT_SETTINGS
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(app.run(core, config, app.compose))


def _read(cls: type[ConfigT], faults: list[str]) -> ConfigT | None:
    try:
        return read(cls, os.environ)
    except SettingsInvalid as invalid:
        faults.extend(invalid.faults)
        return None


def _print_routes(*, as_json: bool) -> None:
    from gateway.http.routes import build_routes  # noqa: PLC0415 - only this command needs the HTTP door

    rows = []
    for route in build_routes(app.public_table(with_reflection=False)).routes:
        policy = route.method.policy
        rows.append(
            {
                "verb": route.rule.verb,
                "template": route.rule.template.text,
                "rpc": route.method.full_name.lstrip("/"),
                "access": "public" if policy.public else "token",
                "scopes": list(policy.scopes),
                "class": policy.rate_class.name.lower(),
            }
        )
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
