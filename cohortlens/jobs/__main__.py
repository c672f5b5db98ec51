"""``python -m cohortlens.jobs``: durable work against the configured PostgreSQL and Redis."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys

from sqlalchemy import text

from cohortlens.bootstrap.services import Services
from cohortlens.core import tracing
from cohortlens.core.config import SettingsInvalid, read
from cohortlens.core.db import Database
from cohortlens.core.errors import CohortLensError, FailedPrecondition
from cohortlens.core.failpoints import arm
from cohortlens.core.ids import uuid7
from cohortlens.core.ops import OpsListener, OpsPortInUseError
from cohortlens.core.settings import CoreConfig
from cohortlens.core.telemetry import configure_logging
from cohortlens.jobs.handlers import HANDLERS
from cohortlens.jobs.maintenance import TASKS
from cohortlens.jobs.payments import both, inbox_runner, payment_tasks
from cohortlens.jobs.runner import Runner

_CAN_CLAIM = text(
    "SELECT current_user, bool_and(has_function_privilege(oid, 'EXECUTE')) FROM pg_proc"
    " WHERE pronamespace = to_regnamespace('app') AND proname = 'outbox_claim'"
)


async def _serve(config: CoreConfig) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_ in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_, stop.set)
    ops = OpsListener(config.ops_bind, config.ops_port_of("jobs"))
    try:
        await _work(config, stop, ops)
    finally:
        await asyncio.to_thread(ops.close)


async def _work(config: CoreConfig, stop: asyncio.Event, ops: OpsListener) -> None:
    arm(config.failpoint, config.environment)
    tracing.begin(config, "jobs")
    services = await Services.open(config)

    async def missing() -> list[str]:
        try:
            await services.db.ping()
        except CohortLensError:
            return ["postgres"]
        return ["process"] if stop.is_set() else []

    ops.follow(missing)
    try:
        await assert_role_of_jobs(services.db)
        worker = f"{socket.gethostname()}.{os.getpid()}.{str(uuid7())[-12:]}"
        runner = Runner(services, HANDLERS, worker, tasks=(*TASKS, *payment_tasks(services)))
        await both(runner.run(stop), inbox_runner(services, worker), stop)
    finally:
        await services.close()
        await asyncio.to_thread(tracing.end)


async def assert_role_of_jobs(db: Database) -> None:
    """Refuse to run as a role that cannot claim work: it would only fail later, again and again.

    Raises:
        FailedPrecondition: DATABASE_ROLE_UNFIT.
    """
    async with db.transaction() as tx:
        role, can_claim = (await tx.execute(_CAN_CLAIM)).one()
    if not can_claim:
        raise FailedPrecondition(
            f"the database role {role} may not claim work; "
            "put the address of the role cl_jobs into COHORTLENS_DATABASE_URL of this process",
            reason="DATABASE_ROLE_UNFIT",
            metadata={"role": role},
        )


def main() -> int:
    """Run until SIGTERM or SIGINT; answers the exit status."""
    try:
        config = read(CoreConfig, os.environ)
        if faults := config.faults():
            raise SettingsInvalid(faults)
    except SettingsInvalid as invalid:
        for fault in invalid.faults:
            print(fault, file=sys.stderr)  # noqa: T201 - there is no log before the settings are read
        return 2
    configure_logging(config.log_level, config.log_format)
    try:
        asyncio.run(_serve(config))
    except OpsPortInUseError as fault:
        print(fault, file=sys.stderr)  # noqa: T201 - a person started it by hand
        return 3
    except FailedPrecondition as fault:
        print(fault, file=sys.stderr)  # noqa: T201 - as above
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
