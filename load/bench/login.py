"""What a log-in tells by its time, what parallel guesses cost, and whether the event loop stays free.

``python -m load.bench.login [samples]`` starts a PostgreSQL and a Valkey of its own and prints tables. The
bar: medians of all refusals differ by less than 3 %, Kolmogorov-Smirnov p over 0.01; five hashes for 100
parallel guesses; the event loop never late by 50 ms at forty log-ins at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from statistics import median

from sqlalchemy import text

from cohortlens.core.context import RequestContext
from cohortlens.core.db import Database
from cohortlens.core.errors import CohortLensError
from cohortlens.core.ids import TenantId, UserId, uuid7
from cohortlens.core.redis import redis_client
from cohortlens.core.tenant_keys import TenantKeys
from cohortlens.embedded.postgres import EmbeddedPostgres
from cohortlens.embedded.redis import EmbeddedRedis
from cohortlens.identity.accounts.attempts import LoginLimits
from cohortlens.identity.accounts.login import LoginRequest
from cohortlens.identity.accounts.passwords import PasswordHasher
from cohortlens.identity.accounts.service import People
from cohortlens.identity.models import LoginRateLimited
from cohortlens.identity.repository import Accounts
from cohortlens.identity.service import IdentityService
from cohortlens.migrations import runner

_KEK = bytes(range(32))
_PASSWORD = "a lantern under the bridge"
_WRONG = "wrong horse battery staple"
_SAMPLES = 500
_GUESSES = 100
_AT_ONCE = 40
_MEDIAN_BAR, _P_BAR, _LAG_BAR_S, _HASHES_BAR = 0.03, 0.01, 0.05, 5
_BEAT_S = 0.005
# Below it the series has not begun to fall and its sum is 1.
_SERIES_FROM = 0.2
_GUESSED = "guessed@bench.example"
# Each case logs in under an address and with a password; what makes it fail was set up before.
_CASES = {
    "wrong password": ("right@bench.example", _WRONG),
    "unknown": ("nobody@bench.example", _PASSWORD),
    "disabled": ("disabled@bench.example", _PASSWORD),
    "unverified": ("unverified@bench.example", _PASSWORD),
    "no password": ("bare@bench.example", _PASSWORD),
    "empty password": ("right@bench.example", ""),
}
_CHANGES = (
    "UPDATE users SET status = 'DISABLED' WHERE email = 'disabled@bench.example'",
    "UPDATE users SET email_verified_at = NULL WHERE email = 'unverified@bench.example'",
    "UPDATE users SET password_hash = NULL WHERE email = 'bare@bench.example'",
)


def main(arguments: Sequence[str]) -> int:
    """Measure and print; exit code 1 when a bar is missed."""
    samples = int(arguments[0]) if arguments else _SAMPLES
    return 0 if asyncio.run(_run(samples)) else 1


async def _run(samples: int) -> bool:
    async with _prepared() as (db, redis_url):
        lenient = LoginLimits(at_once=10**9, per_address=10**9, per_email=10**9)
        async with _people(db, redis_url, lenient) as people:
            is_equal = await _equal_work(people, samples)
            is_free = await _loop_lag(people)
        async with _people(db, redis_url, LoginLimits()) as people:
            is_bounded = await _guesses(people)
    return is_equal and is_free and is_bounded


async def _equal_work(people: People, samples: int) -> bool:
    """Time each refusal in turn, so that whatever else the machine does falls on all of them alike."""
    times: dict[str, list[float]] = {name: [] for name in _CASES}
    for turn in range(samples + 5):
        # In another order each time: what follows a slow call must not always be the same case.
        for name in random.sample(list(_CASES), len(_CASES)):
            email, password = _CASES[name]
            began = time.perf_counter()
            await _refused(people, email, password)
            if turn >= 5:
                times[name].append(time.perf_counter() - began)
    base = times["wrong password"]
    _say(f"refusals, {samples} alternating samples each")
    _say(f"{'case':<16}{'median ms':>11}{'differs':>10}{'KS p':>8}")
    is_good = True
    for name, taken in times.items():
        share = median(taken) / median(base) - 1
        p = kolmogorov_smirnov_p(base, taken)
        is_good &= abs(share) < _MEDIAN_BAR and p > _P_BAR
        _say(f"{name:<16}{median(taken) * 1000:>11.2f}{share:>+10.2%}{p:>8.3f}")
    _say(f"bar: medians within {_MEDIAN_BAR:.0%}, p > {_P_BAR}: {_met(is_good)}\n")
    return is_good


async def _loop_lag(people: People) -> bool:
    late: list[float] = []
    stop = asyncio.Event()

    async def beat() -> None:
        while not stop.is_set():
            due = time.perf_counter() + _BEAT_S
            await asyncio.sleep(_BEAT_S)
            late.append(time.perf_counter() - due)

    beating = asyncio.create_task(beat())
    began = time.perf_counter()
    await asyncio.gather(*(_log_in(people, "right@bench.example", _PASSWORD) for _ in range(_AT_ONCE)))
    took = time.perf_counter() - began
    stop.set()
    await beating
    is_good = max(late) < _LAG_BAR_S
    _say(f"{_AT_ONCE} log-ins at once: {took:.2f} s, {_AT_ONCE / took:.1f}/s")
    _say(f"event loop late by {max(late) * 1000:.1f} ms at most, {median(late) * 1000:.2f} ms median")
    _say(f"bar: under {_LAG_BAR_S * 1000:.0f} ms: {_met(is_good)}\n")
    return is_good


async def _guesses(people: People) -> bool:
    hashed = 0
    real = PasswordHasher.verify

    async def counted(hasher: PasswordHasher, encoded: str | None, password: str) -> bool:
        nonlocal hashed
        hashed += 1
        return await real(hasher, encoded, password)

    PasswordHasher.verify = counted  # type: ignore[method-assign,assignment]
    try:
        guesses = [_log_in(people, _GUESSED, f"guess {n:09}", "203.0.113.9") for n in range(_GUESSES)]
        results = await asyncio.gather(*guesses, return_exceptions=True)
        of_guesses = hashed
        await _log_in(people, _GUESSED, _PASSWORD, "198.51.100.7")
    finally:
        PasswordHasher.verify = real  # type: ignore[method-assign]
    limited = sum(isinstance(it, LoginRateLimited) for it in results)
    is_good = of_guesses <= _HASHES_BAR
    _say(
        f"{_GUESSES} parallel guesses: {of_guesses} hashes, {limited} told to wait; "
        "the owner logged in from another address"
    )
    _say(f"bar: at most {_HASHES_BAR} hashes: {_met(is_good)}")
    return is_good


async def _refused(people: People, email: str, password: str) -> None:
    try:
        await _log_in(people, email, password)
    except CohortLensError as error:
        if error.reason == "INVALID_CREDENTIALS":
            return
        raise
    raise RuntimeError(f"{email} was let in")


async def _log_in(people: People, email: str, password: str, address: str = "192.0.2.7") -> None:
    context = RequestContext("bench", None, time.monotonic() + 60, address)
    await people.login.log_in(context, LoginRequest(email=email, password=password))


@contextlib.asynccontextmanager
async def _people(db: Database, redis_url: str, limits: LoginLimits) -> AsyncIterator[People]:
    redis = redis_client(redis_url)
    core = await IdentityService.open(
        db, redis, kek=_KEK, issuer="https://bench.example", access_token_ttl_s=600, limits=limits
    )
    try:
        yield People(db, _KEK, TenantKeys(_KEK), core)
    finally:
        await core.close()
        await redis.aclose()


@contextlib.asynccontextmanager
async def _prepared() -> AsyncIterator[tuple[Database, str]]:
    """A migrated database with one account per case, and a Valkey; nothing of it stays."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cl-login-")))
        postgres = EmbeddedPostgres(folder / "postgres", 0, ephemeral=True)
        urls = postgres.start()
        stack.callback(postgres.stop)
        runner.upgrade(urls.admin)
        redis = EmbeddedRedis(folder / "redis", 0)
        redis_url = redis.start()
        stack.callback(redis.stop)
        await _fill(urls.runtime, urls.superuser)
        db = Database(urls.runtime, 8)
        try:
            yield db, redis_url
        finally:
            await db.close()


async def _fill(runtime: str, superuser: str) -> None:
    hasher, db, all_rows = PasswordHasher(), Database(runtime, 1), Database(superuser, 1)
    keys = TenantKeys(_KEK)
    try:
        await keys.make_missing(db)
        encoded = await hasher.hash(_PASSWORD)
        for email in sorted({email for email, _ in _CASES.values()} - {"nobody@bench.example"} | {_GUESSED}):
            tenant_id = TenantId(uuid7())
            async with db.tenant_transaction(tenant_id) as tx:
                await Accounts(tx).register(
                    tenant_id, UserId(uuid7()), name="Bench", email=email, password_hash=encoded, terms="1"
                )
                await keys.make(tx, tenant_id)
        async with all_rows.transaction() as tx:
            for statement in _CHANGES:
                await tx.execute(text(statement))
    finally:
        await db.close()
        await all_rows.close()
        hasher.close()


def kolmogorov_smirnov_p(one: Sequence[float], other: Sequence[float]) -> float:
    """The chance that two samples of one distribution lie at least as far apart as these.

    Args:
        one: Values, any unit.
        other: Values of the same unit.

    Returns:
        The asymptotic p value of the two-sided two-sample test, 0 to 1.

    Source:
        Press et al., Numerical Recipes, third edition, section 14.3.3.
    """
    left, right = sorted(one), sorted(other)
    i = j = 0
    distance = 0.0
    while i < len(left) and j < len(right):
        value = min(left[i], right[j])
        while i < len(left) and left[i] <= value:
            i += 1
        while j < len(right) and right[j] <= value:
            j += 1
        distance = max(distance, abs(i / len(left) - j / len(right)))
    root = math.sqrt(len(left) * len(right) / (len(left) + len(right)))
    scaled = (root + 0.12 + 0.11 / root) * distance
    if scaled < _SERIES_FROM:
        return 1.0
    terms = (2.0 * (-1.0) ** (k - 1) * math.exp(-2 * (k * scaled) ** 2) for k in range(1, 101))
    return min(max(sum(terms), 0.0), 1.0)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


def _met(is_good: bool) -> str:
    return "met" if is_good else "MISSED"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
