"""``cohortlens up | down | status | doctor | credentials | migrate | seed``: the stack of this machine."""

from __future__ import annotations

import dataclasses
import sys
import time
from typing import Any

import click

from cohortlens.cli import local
from cohortlens.cli.errors import ApiError
from cohortlens.cli.firstrun import FirstPrediction, ready_box, seed_and_probe
from cohortlens.cli.output import EXIT_PRECONDITION, EXIT_UNAVAILABLE, Fault, Output, table
from cohortlens.cli.session import CredentialsFile, guarded, open_client
from cohortlens.embedded import preflight, secrets, stack
from cohortlens.embedded.postgres import database_urls
from cohortlens.embedded.postgres_cluster import EXTERNAL_ROLES_SQL
from cohortlens.embedded.settings import StackConfig, current_environment
from cohortlens.embedded.supervisor import StackEvent

SEED_FAILED_NEXT = "cohortlens seed, then cohortlens status"


@click.command()
@click.option("--detach", is_flag=True, help="Return once a prediction was made; the stack runs on.")
@click.option("--no-seed", is_flag=True, help="Start without the demo tenant.")
@guarded("up")
def up(out: Output, detach: bool, no_seed: bool) -> None:
    """Start PostgreSQL, Valkey, gateway, jobs and workers; seed the demo tenant; make a first prediction.

    Without --detach it stays in the foreground and Ctrl-C stops everything.
    """
    config, began = local.config(), time.monotonic()
    should_seed = not no_seed and config.environment != "production"

    def show(event: StackEvent) -> None:
        detail = f"  {event.detail}" if event.detail else ""
        out.note(f"{event.state:<9} {event.service:<10} {event.elapsed_s:6.1f} s{detail}")

    try:
        if detach:
            stack.detach(config, show)
            found = seed_and_probe(out) if should_seed else None
            _show_ready(out, config, found, time.monotonic() - began)
        else:
            stack.up(config, show, lambda: _first_run(out, config, should_seed, began))
    except stack.StackAlreadyRunning as running:
        fault = running.faults[0]
        out.warn(fault.reason, fault.message, fault.next)
        out.result(_up_data(config, None, time.monotonic() - began), _status_text(running.status))


@click.command()
@click.option("--timeout", default=30.0, show_default=True, help="Seconds before everything is killed.")
@guarded("down")
def down(out: Output, timeout: float) -> None:
    """Stop everything that up started, also after its supervisor was killed."""
    report = stack.down(local.config(), timeout)
    data = {"stopped": report.stopped, "killed": report.killed, "left": report.left}
    text = f"stopped {', '.join(report.stopped) or 'nothing'}"
    text += f"; killed {', '.join(report.killed)}" if report.killed else ""
    if report.left:
        raise Fault("PROCESSES_LEFT", f"still there: {', '.join(report.left)}", "cohortlens down", "INTERNAL")
    out.result(data, text)


@click.command()
@guarded("status")
def status(out: Output) -> None:
    """Show every service: state, port, process; exit code 7 unless all are ready."""
    found = stack.status(local.config())
    out.result(_status_data(found), _status_text(found))
    if not found.ready:
        sys.exit(EXIT_UNAVAILABLE)


@click.command()
@guarded("doctor")
def doctor(out: Output) -> None:
    """Check settings, ports, disk, memory and folders; changes nothing.

    With COHORTLENS_DATABASE_URL set it also shows the SQL that makes the roles of an external server.
    """
    config, faults = preflight.check_settings(current_environment())
    if config is not None:
        faults = [*faults, *preflight.check_machine(config)]
    stopping = [f for f in faults if f.severity == "stop"]
    roles_sql = EXTERNAL_ROLES_SQL if config is not None and not config.embeds_postgres else ""
    data = {
        "roles_sql": roles_sql,
        "checks": [dataclasses.asdict(f) for f in faults],
        "errors": len(stopping),
        "warnings": sum(f.severity == "warn" for f in faults),
    }
    text = "\n\n".join(f.text() for f in faults) or "nothing is wrong"
    out.result(data, f"{text}\n\nroles of an external PostgreSQL:\n{roles_sql}" if roles_sql else text)
    if stopping:
        sys.exit(EXIT_PRECONDITION)


@click.command()
@click.option("--token", is_flag=True, help="Print a fresh access token instead.")
@guarded("credentials")
def credentials(out: Output, token: bool) -> None:
    """Show the demo tenant's log-in, or with --token an access token for curl and grpcurl."""
    if token:
        with open_client("", "", None, 30.0) as client:
            access = client.access_token()
        out.result({"access_token": access}, access)
        return
    store = CredentialsFile(local.data_dir())
    accounts = store.load()
    if not accounts:
        raise Fault("CREDENTIALS_MISSING", f"{store.path} does not exist", "cohortlens up", "NOT_FOUND")
    rows = [[a.tenant, a.email, a.password] for a in accounts]
    out.result({"tenants": [vars(a) for a in accounts]}, table(rows, ["tenant", "email", "password"]))


@click.command()
@click.option("--check", is_flag=True, help="Only tell; exit code 5 when revisions are pending.")
@guarded("migrate")
def migrate(out: Output, check: bool) -> None:
    """Bring the database to the newest revision; `up` does it by itself."""
    from cohortlens.migrations import runner  # noqa: PLC0415 - Alembic is heavy and needed here only

    url = _admin_url(local.config())
    before, head = runner.current(url), runner.head()
    if not check:
        runner.upgrade(url)
    data = {"from": before or "", "to": head, "pending": before != head and check}
    out.result(data, f"{before or 'empty'} -> {head}" if before != head else f"at {head}, nothing to do")
    if data["pending"]:
        sys.exit(EXIT_PRECONDITION)


@click.command()
@guarded("seed")
def seed(out: Output) -> None:
    """Make the demo tenant ready in the running stack, and make a first prediction."""
    began = time.monotonic()
    found = seed_and_probe(out)
    _show_ready(out, local.config(), found, time.monotonic() - began)


def _first_run(out: Output, config: StackConfig, should_seed: bool, began: float) -> None:
    """In the foreground: seed beside the supervisor; a failed seed is told and leaves the stack up."""
    try:
        found = seed_and_probe(out) if should_seed else None
    except (Fault, ApiError) as error:
        fault = Fault.from_api(error) if isinstance(error, ApiError) else error
        out.warn("SEED_FAILED", fault.as_text().removeprefix("error "), SEED_FAILED_NEXT)
        return
    _show_ready(out, config, found, time.monotonic() - began)


def _show_ready(out: Output, config: StackConfig, found: FirstPrediction | None, seconds: float) -> None:
    data = _up_data(config, found, seconds)
    where = data["urls"]
    text = f"ready after {seconds:.0f} s: {where['api']} and gRPC on {where['grpc']}"
    out.result(data, text if found is None else ready_box(found, seconds))


def _up_data(config: StackConfig, found: FirstPrediction | None, seconds: float) -> dict[str, Any]:
    """What ``up`` tells programs: always the same keys, null for what there is not."""
    where, credentials = local.endpoints(), CredentialsFile(config.folder).path
    first = found and {"customer": found.prediction.external_id, "value": found.prediction.value}
    return _status_data(stack.status(config)) | {
        "elapsed_s": round(seconds, 1),
        "urls": {
            "api": f"{where.http}/api/v1/",
            "grpc": where.grpc,
            "graphql": f"{where.http}/graphql",
            "billing": f"{where.http}/billing",
            "docs": f"{where.http}/docs",
            "metrics": f"{where.ops}/metrics",
        },
        "credentials_file": str(credentials) if credentials.exists() else None,
        "first_prediction": first,
    }


def _status_data(found: stack.StackStatus) -> dict[str, Any]:
    data = dataclasses.asdict(found)
    data["degraded"] = [
        {"name": s.name, "reason": s.detail or s.state.upper(), "next": f"see {s.name}.log"}
        for s in found.services
        if s.state != "ready"
    ]
    return data


def _status_text(found: stack.StackStatus) -> str:
    if not found.services:
        return "nothing runs; next: cohortlens up"
    rows = [
        [s.name, s.state, s.kind, str(s.port or ""), str(s.pid or ""), f"{s.elapsed_s:.1f}", _detail(s)]
        for s in found.services
    ]
    header = ["service", "state", "kind", "port", "pid", "seconds", ""]
    shown = table(rows, header, frozenset({3, 4, 5})) + f"\n{found.phase} since {found.since}"
    ops = found.ports.get("ops")
    return f"{shown}\nmetrics of the gateway: {local.endpoints().ops}/metrics" if ops else shown


def _admin_url(config: StackConfig) -> str:
    if config.database_admin_url:
        return config.database_admin_url
    port = stack.status(config).ports.get("postgres")
    if not port or not secrets.exists(config.folder):
        raise Fault(
            "DATABASE_UNREACHABLE",
            "no database: nothing runs here and COHORTLENS_DATABASE_ADMIN_URL is not set",
            "cohortlens up, or set COHORTLENS_DATABASE_ADMIN_URL",
        )
    return database_urls(secrets.load_or_create(config.folder), port).admin


def _detail(service: stack.ServiceStatus) -> str:
    count = f"{len(service.processes)} processes" if service.processes else ""
    return ", ".join(part for part in (service.detail, count) if part)
