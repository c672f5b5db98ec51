"""Refreshes of one token from several processes at the same moment."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.integration.identity.conftest import ISSUER, KEK

PROCESSES, AT_ONCE, ROUNDS = 3, 16, 8
SCRIPT = Path(__file__).parents[2] / "fixtures" / "refresher.py"


class Refresher:
    """A running ``tests/fixtures/refresher.py``."""

    def __init__(self, process):
        self._process = process

    @classmethod
    async def start(cls, stack, options):
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(SCRIPT), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        stack.push_async_callback(cls._stop, process)
        process.stdin.write(json.dumps(options).encode() + b"\n")
        return cls(process)

    async def line(self):
        async with asyncio.timeout(60):
            return (await self._process.stdout.readline()).decode().strip()

    async def refresh(self, token):
        self._process.stdin.write(token.encode() + b"\n")
        return json.loads(await self.line())

    @staticmethod
    async def _stop(process):
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()


@pytest.fixture
async def refreshers(postgres_urls, redis_url, identity):
    options = {
        "database": postgres_urls.runtime,
        "redis": redis_url,
        "kek": KEK.hex(),
        "issuer": ISSUER,
        "at_once": AT_ONCE,
    }
    async with AsyncExitStack() as stack:
        started = [await Refresher.start(stack, options) for _ in range(PROCESSES)]
        for refresher in started:
            assert await refresher.line() == "ready"
        yield started


async def test_refreshes_over_processes_are_one_rotation_a_round_and_then_one_reuse_ends_it(
    refreshers, session, superuser
):
    tokens = [session.refresh_token]
    for _ in range(ROUNDS):
        answers = [
            answer
            for batch in await asyncio.gather(*(it.refresh(tokens[-1]) for it in refreshers))
            for answer in batch
        ]
        children = {child for child, _ in answers}
        assert len(children) == 1
        assert [replayed for _, replayed in answers].count(False) == 1
        tokens.append(children.pop())
    assert await superuser.fetchval("SELECT refresh_counter FROM sessions") == ROUNDS + 1
    reused = await refreshers[0].refresh(tokens[0])
    assert set(reused) <= {"REFRESH_REUSED", "TOKEN_REVOKED"}
    assert "REFRESH_REUSED" in reused
    assert set(await refreshers[1].refresh(tokens[-1])) == {"TOKEN_REVOKED"}
    assert await superuser.fetchval("SELECT count(*) FROM outbox WHERE topic = 'session.revoked'") == 1
