"""Processes that refresh one token many times at once and watch access tokens die.

Each is ``python -m load.bench.refreshers``: it reads one JSON line of options, opens its services and says
``ready``; then it answers each line with one: ``refresh <token>`` with a list of [child token, replayed] or
reasons of a refusal, ``watch <access token>`` with the wall-clock time at which it first refused it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any

from cohortlens.core.db import Database
from cohortlens.core.errors import CohortLensError, Unauthenticated
from cohortlens.core.redis import redis_client
from cohortlens.identity.service import IdentityService

_LOOK_EVERY_S = 0.01
_WATCH_S = 10.0
_ANSWER_S = 120.0


@dataclass(frozen=True)
class RefresherOptions:
    """What a process needs to know.

    Attributes:
        database: Address of PostgreSQL as the runtime role.
        redis: Address of Redis.
        kek: The installation's key, hex.
        issuer: Issuer of access tokens.
        at_once: Refreshes it sends at the same moment.
    """

    database: str
    redis: str
    kek: str
    issuer: str
    at_once: int


class Refresher:
    """A running process.

    Args:
        process: It, with its pipes.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def line(self) -> str:
        """Its next line."""
        assert self._process.stdout is not None
        async with asyncio.timeout(_ANSWER_S):
            return (await self._process.stdout.readline()).decode().strip()

    async def refresh(self, token: str) -> list[Any]:
        """What became of each refresh of ``token``: [child token, replayed] or a reason."""
        answers: list[Any] = await self._ask(f"refresh {token}")
        return answers

    async def watch(self, access_token: str) -> float | None:
        """Wall-clock time at which it refused the token; None when it did not in time."""
        seen: float | None = await self._ask(f"watch {access_token}")
        return seen

    async def stop(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), 10)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def _ask(self, line: str) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        return json.loads(await self.line())


@asynccontextmanager
async def refreshers(count: int, options: RefresherOptions) -> AsyncIterator[list[Refresher]]:
    """``count`` processes that are ready; stopped afterwards."""
    async with AsyncExitStack() as stack:
        started = []
        for _ in range(count):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "load.bench.refreshers"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=2**22,
            )
            one = Refresher(process)
            stack.push_async_callback(one.stop)
            assert process.stdin is not None
            process.stdin.write(json.dumps(asdict(options)).encode() + b"\n")
            started.append(one)
        for one in started:
            if await one.line() != "ready":
                raise RuntimeError("a process did not start")
        yield started


async def _serve() -> None:
    options = RefresherOptions(**json.loads(sys.stdin.readline()))
    db, feed, redis = (
        Database(options.database, 4),
        Database(options.database, 1),
        redis_client(options.redis),
    )
    service = await IdentityService.open(
        db,
        redis,
        kek=bytes.fromhex(options.kek),
        issuer=options.issuer,
        access_token_ttl_s=600,
        feed=feed,
    )
    _say("ready")
    while line := await asyncio.to_thread(sys.stdin.readline):
        command, _, token = line.strip().partition(" ")
        if command == "watch":
            _say(json.dumps(await _watched(service, token)))
        else:
            answers = await asyncio.gather(*(_renewed(service, token) for _ in range(options.at_once)))
            _say(json.dumps(answers))
    await service.close()
    await redis.aclose()
    await feed.close()
    await db.close()


async def _renewed(service: IdentityService, token: str) -> Any:
    try:
        pair = await service.sessions.renew(token)
    except CohortLensError as fault:
        return fault.reason
    return [pair.refresh_token, pair.replayed, pair.access_token]


async def _watched(service: IdentityService, token: str) -> float | None:
    end = time.monotonic() + _WATCH_S
    while time.monotonic() < end:
        try:
            await service.verifier.verify(token)
        except Unauthenticated:
            return time.time()
        await asyncio.sleep(_LOOK_EVERY_S)
    return None


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_serve())
