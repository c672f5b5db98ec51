"""Events of real gateways while gateways and jobs are killed: the second part of ``make soak-outbox``.

Callers send imports, exports of the audit log and log outs over gRPC to ``python -m gateway`` processes. Each
call that was answered, and each row that was committed without an answer, must have its event handled; an
import that began after another one was answered must be handled after it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import asyncpg
import grpc

from cohortlens.core.context import Principal
from cohortlens.core.db import Database
from cohortlens.core.redis import redis_client
from cohortlens.embedded.ports import free_port
from cohortlens.identity.service import IdentityService
from cohortlens.v1 import (
    audit_pb2,
    audit_pb2_grpc,
    auth_pb2,
    auth_pb2_grpc,
    customers_pb2,
    customers_pb2_grpc,
)
from load.bench.raised import RAISED
from load.bench.tenants import registered

ROOT = Path(__file__).resolve().parents[2]
_KEK, _ISSUER = bytes(range(32)), "https://cohortlens.test"
_CALLERS = 8
_CALL_S = 5.0
_READY_S = 120.0
_DRAIN_S = 120.0
_TABLES = """
CREATE TABLE IF NOT EXISTS soak_seen (at bigserial PRIMARY KEY, tenant_id uuid, topic text, subject uuid);
GRANT SELECT, INSERT ON soak_seen TO cl_app;
GRANT USAGE ON SEQUENCE soak_seen_at_seq TO cl_app;
"""
_COMMITTED = """
SELECT id FROM imports UNION ALL SELECT id FROM audit_exports
UNION ALL SELECT id FROM sessions WHERE revoked_at IS NOT NULL
"""
_OPEN = "SELECT (SELECT count(*) FROM outbox WHERE done_at IS NULL) + (SELECT count(*) FROM outbox_keys)"


@dataclass
class FoundAtGateways:
    """What was counted after the last event.

    Attributes:
        answered: Calls that were answered.
        unanswered: Calls whose gateway died or refused.
        committed: Imports, exports and ended sessions in their tables.
        vanished: Answered calls without a row.
        handled: Rows whose event was seen by a handler.
        duplicates: Times an event was seen again.
        lost: Rows whose event no handler saw.
        overtaken: Imports that were seen before one that was answered before they began.
        unfinished: Events that are open or dead, and keys still held.
        gateways_killed: Gateways ended with -9.
        jobs_killed: Jobs processes ended with -9.
        seconds: From the first call to the last event.
    """

    answered: int = 0
    unanswered: int = 0
    committed: int = 0
    vanished: int = 0
    handled: int = 0
    duplicates: int = 0
    lost: int = 0
    overtaken: int = 0
    unfinished: int = 0
    gateways_killed: int = 0
    jobs_killed: int = 0
    seconds: float = 0.0

    @property
    def is_right(self) -> bool:
        """Whether each committed call had its event handled, in order."""
        is_complete = self.committed == self.handled and not (self.vanished or self.lost)
        return is_complete and not (self.overtaken or self.unfinished)


@dataclass
class _Answered:
    """When an answered call began and was answered."""

    began: float
    ended: float


@dataclass
class _Record:
    """What the callers know."""

    answered: dict[UUID, _Answered] = field(default_factory=dict)
    unanswered: int = 0


class _Process:
    """A process that is killed and started again."""

    def __init__(self, module: str, arguments: Sequence[str], environ: Mapping[str, str]) -> None:
        self._command = [sys.executable, "-m", module, *arguments]
        self._environ = environ
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        nothing = subprocess.DEVNULL
        self._process = subprocess.Popen(
            self._command, cwd=ROOT, env=self._environ, stdin=nothing, stdout=nothing, stderr=nothing
        )

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class _Gateway(_Process):
    """A gateway, always on the same port."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        port = free_port()
        ports = {"COHORTLENS_GRPC_PORT": str(port), "COHORTLENS_HTTP_PORT": "0"}
        super().__init__("gateway", [], {**environ, **ports})
        # A connection that fails is tried again at once: the process is back sooner than gRPC would look.
        options = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500)]
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options)

    async def ready(self) -> None:
        """Return once it answers calls."""
        stub = auth_pb2_grpc.AuthServiceStub(self.channel)
        async with asyncio.timeout(_READY_S):
            while True:
                try:
                    await stub.GetJwks(auth_pb2.GetJwksRequest(), timeout=_CALL_S)
                    return
                except grpc.aio.AioRpcError:
                    await asyncio.sleep(0.1)


async def soak_gateways(
    superuser_url: str,
    runtime_url: str,
    jobs_url: str,
    redis_url: str,
    events: int,
    *,
    processes: tuple[int, int] = (2, 2),
    pause_s: tuple[float, float] = (0.5, 3.0),
    kills: int = 0,
) -> FoundAtGateways:
    """Play until ``events`` calls are answered, so many processes killed and all events handled.

    Args:
        superuser_url: The database, to look at all of it.
        runtime_url: The same as the runtime role, for the gateways.
        jobs_url: The same as the role of jobs.
        redis_url: Redis of all processes.
        events: Least number of answered calls.
        processes: Gateways and jobs processes.
        pause_s: Least and most seconds between two kills.
        kills: Least number of kills, for machines that answer all calls before.
    """
    with tempfile.TemporaryDirectory(prefix="cohortlens-soak-") as folder:
        environ = _environ(runtime_url, redis_url, folder)
        gateways = [_Gateway(environ) for _ in range(processes[0])]
        witness = ("witness", jobs_url, redis_url)
        jobs = [_Process("load.bench.outbox_roles", witness, environ) for _ in range(processes[1])]
        superuser = await asyncpg.connect(superuser_url)
        try:
            await superuser.execute(_TABLES)
            for one in (*gateways, *jobs):
                one.start()
            await asyncio.gather(*(gateway.ready() for gateway in gateways))
            found, record = FoundAtGateways(), _Record()
            began = time.monotonic()
            async with _identity(runtime_url, redis_url) as (identity, owner):

                def is_enough() -> bool:
                    killed = found.gateways_killed + found.jobs_killed
                    return len(record.answered) >= events and killed >= kills

                calling = asyncio.create_task(_call_all(gateways, identity, owner, record, is_enough))
                await _kill(gateways, jobs, calling, pause_s, found)
            await _drained(superuser)
            found.seconds = time.monotonic() - began
            return await _count(superuser, record, found)
        finally:
            for one in (*gateways, *jobs):
                one.kill()
            for gateway in gateways:
                await gateway.channel.close()
            await superuser.close()


def _environ(database_url: str, redis_url: str, folder: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("COHORTLENS_")}
    return inherited | {
        **RAISED,
        "COHORTLENS_DATABASE_URL": database_url,
        "COHORTLENS_REDIS_URL": redis_url,
        "COHORTLENS_KEK": base64.b64encode(_KEK).decode(),
        "COHORTLENS_ISSUER": _ISSUER,
        "COHORTLENS_DATA_DIR": folder,
        "COHORTLENS_DATABASE_POOL_SIZE": "4",
        "COHORTLENS_OPS_PORT": "0",
    }


@contextlib.asynccontextmanager
async def _identity(database_url: str, redis_url: str) -> AsyncIterator[tuple[IdentityService, Principal]]:
    db, redis = Database(database_url, 4), redis_client(redis_url)
    identity = await IdentityService.open(db, redis, kek=_KEK, issuer=_ISSUER, access_token_ttl_s=600)
    try:
        yield identity, await registered(db)
    finally:
        await identity.close()
        await redis.aclose()
        await db.close()


async def _kill(
    gateways: list[_Gateway],
    jobs: list[_Process],
    calling: asyncio.Task[None],
    pause_s: tuple[float, float],
    found: FoundAtGateways,
) -> None:
    """Kill gateways and jobs by turns and start them anew, until the calls are made.

    Raises what the callers raise.
    """
    starting: dict[_Process, asyncio.Task[None]] = {}
    while not (await asyncio.wait({calling}, timeout=random.uniform(*pause_s)))[0]:
        # One that is not up yet could not be killed in the middle of a call. While none is up there is none,
        # and each start of jobs would only take the machine from the gateways' own.
        up = [one for one in gateways if one not in starting or starting[one].done()]
        if not up:
            continue
        one = random.choice(up if found.gateways_killed <= found.jobs_killed else jobs)
        one.kill()
        one.start()
        if isinstance(one, _Gateway):
            found.gateways_killed += 1
            starting[one] = asyncio.create_task(one.ready())
        else:
            found.jobs_killed += 1
    for task in starting.values():
        task.cancel()
    await calling


async def _call_all(
    gateways: list[_Gateway],
    identity: IdentityService,
    owner: Principal,
    record: _Record,
    is_enough: Callable[[], bool],
) -> None:
    async def calls() -> None:
        while not is_enough():
            gateway, began = random.choice(gateways), time.monotonic()
            try:
                subject = await random.choice(_CALLS)(gateway.channel, identity, owner)
            except grpc.aio.AioRpcError:
                record.unanswered += 1
                await asyncio.sleep(0.05)
            else:
                record.answered[subject] = _Answered(began, time.monotonic())

    await asyncio.gather(*(calls() for _ in range(_CALLERS)))


async def _token(identity: IdentityService, owner: Principal) -> tuple[UUID, tuple[tuple[str, str], ...]]:
    pair = await identity.sessions.open(
        owner.tenant_id, owner.user_id, device_name="", address="", user_agent="", amr=("pwd",)
    )
    return pair.session_id, (("authorization", f"Bearer {pair.access_token}"),)


async def _import(channel: grpc.aio.Channel, identity: IdentityService, owner: Principal) -> UUID:
    _, metadata = await _token(identity, owner)
    rows = f"customer,date,amount\nann,2026-01-{random.randint(1, 28):02},1\n".encode()
    parts = [
        customers_pb2.ImportTransactionsRequest(options={"currency": "EUR"}),
        customers_pb2.ImportTransactionsRequest(chunk=rows),
    ]
    stub = customers_pb2_grpc.CustomersServiceStub(channel)
    reply = await stub.ImportTransactions(iter(parts), metadata=metadata, timeout=_CALL_S)
    return UUID(getattr(getattr(reply, "import"), "import"))


async def _export(channel: grpc.aio.Channel, identity: IdentityService, owner: Principal) -> UUID:
    _, metadata = await _token(identity, owner)
    stub = audit_pb2_grpc.AuditServiceStub(channel)
    request = audit_pb2.CreateAuditExportRequest()
    return UUID((await stub.CreateAuditExport(request, metadata=metadata, timeout=_CALL_S)).export.export)


async def _log_out(channel: grpc.aio.Channel, identity: IdentityService, owner: Principal) -> UUID:
    session, metadata = await _token(identity, owner)
    stub = auth_pb2_grpc.AuthServiceStub(channel)
    request = auth_pb2.DeleteSessionRequest(session="current")
    await stub.DeleteSession(request, metadata=metadata, timeout=_CALL_S)
    return session


_CALLS: tuple[Callable[[grpc.aio.Channel, IdentityService, Principal], Awaitable[UUID]], ...] = (
    _import,
    _import,
    _export,
    _log_out,
)


async def _drained(superuser: asyncpg.Connection) -> None:
    ends_at = time.monotonic() + _DRAIN_S
    while time.monotonic() < ends_at:
        if not await superuser.fetchval(_OPEN):
            return
        await asyncio.sleep(0.1)


async def _count(superuser: asyncpg.Connection, record: _Record, found: FoundAtGateways) -> FoundAtGateways:
    committed = {row["id"] for row in await superuser.fetch(_COMMITTED)}
    seen = [row["subject"] for row in await superuser.fetch("SELECT subject FROM soak_seen ORDER BY at")]
    imports = {row["id"] for row in await superuser.fetch("SELECT id FROM imports")}
    first = list(dict.fromkeys(seen))
    found.answered, found.unanswered = len(record.answered), record.unanswered
    found.committed, found.handled = len(committed), len(committed & set(first))
    found.vanished = len(record.answered.keys() - committed)
    found.duplicates = len(seen) - len(first)
    found.lost = len(committed - set(first))
    found.overtaken = _overtaken([one for one in first if one in imports], record)
    found.unfinished = await superuser.fetchval(_OPEN)
    return found


def _overtaken(handled: list[UUID], record: _Record) -> int:
    """Imports that were handled before one that was answered before they were sent."""
    overtaken, answered_first = 0, float("inf")
    for one in reversed(handled):
        known = record.answered.get(one)
        if known is not None:
            overtaken += known.began > answered_first
            answered_first = min(answered_first, known.ended)
    return overtaken
