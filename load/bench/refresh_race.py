"""Refreshes of one token from several processes at once: ``make soak-refresh``.

Each round opens a session and lets four processes send 50 refreshes of its token each at the same moment:
exactly one may rotate, and all 200 answers hold the same child. Then the child is exchanged, and the first
token, two rotations old by now, is presented again: that is a reuse, which must end the session, and every
process must refuse its access token within two seconds. Starts PostgreSQL and Valkey of its own.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text

from cohortlens.cli.output import table
from cohortlens.core.db import Database
from cohortlens.core.ids import SessionId, TenantId, UserId, uuid7
from cohortlens.core.redis import redis_client
from cohortlens.embedded.postgres import EmbeddedPostgres
from cohortlens.embedded.redis import EmbeddedRedis
from cohortlens.identity.models import TokenPair
from cohortlens.identity.service import IdentityService
from cohortlens.migrations import runner
from load.bench.refreshers import Refresher, RefresherOptions, refreshers

PROCESSES, AT_ONCE, ROUNDS = 4, 50, 50
BOUND_S = 2.0
_KEK, _ISSUER = bytes(range(32)), "https://cohortlens.test"


@dataclass(frozen=True)
class Round:
    """What one round showed.

    Attributes:
        answers: Refreshes that were answered.
        rotations: Answers that said they were the first.
        children: Different child tokens among them.
        reuse: What the process that presented the old token was told.
        dead_after_s: Seconds from the end of the session until each process refused its access token; None:
            it did not.
    """

    answers: int
    rotations: int
    children: int
    reuse: frozenset[str]
    dead_after_s: tuple[float | None, ...]

    @property
    def holds(self) -> bool:
        """Whether all that is promised was kept."""
        in_time = all(one is not None and one <= BOUND_S for one in self.dead_after_s)
        return self.rotations == 1 and self.children == 1 and "REFRESH_REUSED" in self.reuse and in_time


EndedAt = Callable[[SessionId], Awaitable[float]]


async def play(session: TokenPair, processes: list[Refresher], ended_at: EndedAt) -> Round:
    """One round.

    Args:
        session: A session that nobody has refreshed.
        processes: Those that race.
        ended_at: Tells when the database ended a session, Unix seconds.
    """
    batches = await asyncio.gather(*(one.refresh(session.refresh_token) for one in processes))
    answers = [answer for batch in batches for answer in batch]
    good = [answer for answer in answers if isinstance(answer, list)]
    children = {child for child, _, _ in good}
    rotations = sum(not replayed for _, replayed, _ in good)
    await processes[0].refresh(good[0][0])
    watching = [asyncio.create_task(one.watch(good[0][2])) for one in processes[1:]]
    # They have taken the token by the time it is to die.
    await asyncio.sleep(0.2)
    reuse = await processes[0].refresh(session.refresh_token)
    seen = [await processes[0].watch(good[0][2]), *(await asyncio.gather(*watching))]
    began = await ended_at(session.session_id)
    dead = tuple(None if at is None else max(at - began, 0.0) for at in seen)
    return Round(len(good), rotations, len(children), frozenset(map(str, reuse)), dead)


async def _run(rounds: int) -> int:
    with tempfile.TemporaryDirectory(prefix="cl-refresh-") as folder:
        postgres = EmbeddedPostgres(Path(folder) / "postgres", 0, ephemeral=True)
        redis_server = EmbeddedRedis(Path(folder) / "redis", 0)
        try:
            urls, redis_url = (
                await asyncio.to_thread(postgres.start),
                await asyncio.to_thread(redis_server.start),
            )
            await asyncio.to_thread(runner.upgrade, urls.admin)
            return await _rounds(urls.runtime, redis_url, rounds)
        finally:
            redis_server.stop()
            postgres.stop()


async def _rounds(database: str, redis_url: str, rounds: int) -> int:
    db, redis = Database(database, 4), redis_client(redis_url)
    identity = await IdentityService.open(db, redis, kek=_KEK, issuer=_ISSUER, access_token_ttl_s=600)
    tenant_id, user_id = TenantId(uuid7()), UserId(uuid7())
    async with db.transaction() as tx:
        await tx.execute(
            text("SELECT app.auth_register(:t, :u, 'Race', 'race@shop.example', 'none', '2026-11')"),
            {"t": tenant_id, "u": user_id},
        )
    options = RefresherOptions(database, redis_url, _KEK.hex(), _ISSUER, AT_ONCE)
    played = []

    async def ended_at(session_id: SessionId) -> float:
        async with db.tenant_transaction(tenant_id) as tx:
            query = text("SELECT extract(epoch FROM revoked_at) FROM sessions WHERE id = :id")
            return float(await tx.scalar(query, {"id": session_id}) or 0.0)

    try:
        async with refreshers(PROCESSES, options) as processes:
            for _ in range(rounds):
                session = await identity.sessions.open(
                    tenant_id, user_id, device_name="race", address="", user_agent="", amr=("pwd",)
                )
                played.append(await play(session, processes, ended_at))
    finally:
        await identity.close()
        await redis.aclose()
        await db.close()
    _print(played)
    return 0 if all(one.holds for one in played) else 1


def _print(played: list[Round]) -> None:
    rows = [
        [
            str(number),
            str(one.answers),
            str(one.rotations),
            str(one.children),
            " ".join("-" if at is None else f"{at:.2f}" for at in one.dead_after_s),
            "yes" if one.holds else "NO",
        ]
        for number, one in enumerate(played, 1)
    ]
    head = ["round", "answers", "rotations", "children", "s until dead, by process", "holds"]
    slowest = [max((at for at in one.dead_after_s if at is not None), default=0.0) for one in played]
    sys.stdout.write(table(rows, head, right=frozenset({0, 1, 2, 3})) + "\n")
    sys.stdout.write(
        f"{sum(one.holds for one in played)} of {len(played)} rounds hold; the slowest process of a round:"
        f" median {statistics.median(slowest):.2f} s, worst {max(slowest):.2f} s\n"
    )


if __name__ == "__main__":
    sys.exit(asyncio.run(_run(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)))
