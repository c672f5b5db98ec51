"""Attempts to log in, counted before the password is looked at, so parallel guesses are counted too.

Per e-mail address and network address: five at once, then a wait that doubles from 12 s to 15 min. Per
network address: thirty a minute. Per e-mail address alone nothing is refused, or a stranger could lock its
owner out: over fifty in an hour a log-in needs a second factor. The count lies in Redis; without it each
process counts for itself.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from cohortlens.core.errors import Unavailable
from cohortlens.core.redis import RedisClient, key, translated
from cohortlens.core.sealing import SealingKeys, derived_key
from cohortlens.core.telemetry import get_logger
from cohortlens.identity.models import LoginRateLimited
from cohortlens.identity.networks import network_of

_LOG = get_logger(__name__)
_LOCAL_ENTRIES = 20_000

# Times are Redis's own, so that processes with different clocks count alike. A refused try writes nothing.
_RESERVE = """
local free, base, most, per_address, window, hour = unpack(ARGV)
free, base, most, per_address = tonumber(free), tonumber(base), tonumber(most), tonumber(per_address)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local used = tonumber(redis.call('GET', KEYS[2]) or '0')
if used >= per_address then return {math.max(redis.call('PTTL', KEYS[2]), 1), 0} end
local pair = redis.call('HMGET', KEYS[1], 'count', 'at')
local count, at = tonumber(pair[1] or '0'), tonumber(pair[2] or '0')
local wait = 0
if count >= free then wait = math.min(base * 2 ^ (count - free), most) end
if now < at + wait then return {at + wait - now, 0} end
redis.call('HSET', KEYS[1], 'count', count + 1, 'at', now)
redis.call('PEXPIRE', KEYS[1], most * 2)
redis.call('INCR', KEYS[2])
if used == 0 then redis.call('PEXPIRE', KEYS[2], window) end
local on_email = redis.call('INCR', KEYS[3])
if on_email == 1 then redis.call('PEXPIRE', KEYS[3], hour) end
return {0, on_email}
"""
_GIVE_BACK = """
local count = tonumber(redis.call('HGET', KEYS[1], 'count') or '0')
if count <= 1 then redis.call('DEL', KEYS[1]) else redis.call('HINCRBY', KEYS[1], 'count', -1) end
if tonumber(redis.call('GET', KEYS[2]) or '0') > 0 then redis.call('DECR', KEYS[2]) end
return 0
"""
_COUNT_CODE = """
local typed = redis.call('INCR', KEYS[1])
if typed == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return typed
"""
_HOUR_MS = 3_600_000


class Attempt(StrEnum):
    """What is attempted; each is counted apart, but for the count of a network address."""

    LOGIN = "login"
    REGISTER = "register"
    RESET = "reset"


@dataclass(frozen=True)
class LoginLimits:
    """How many attempts are allowed.

    Attributes:
        at_once: Attempts on one e-mail address from one network address before waiting begins.
        wait_s: First wait; each further attempt doubles it.
        max_wait_s: Longest wait.
        per_address: Attempts of one network address in a window.
        window_s: The window.
        per_email: Attempts on one e-mail address in an hour from which a second factor is asked for.
        mails: Mails to one e-mail address in an hour that strangers can cause by registering or resetting.
        codes: Wrong codes of one user in an hour, over all addresses, after which only recovery codes count.
    """

    at_once: int = 5
    wait_s: float = 12.0
    max_wait_s: float = 900.0
    per_address: int = 30
    window_s: float = 60.0
    per_email: int = 50
    mails: int = 10
    codes: int = 100


class LoginAttempts:
    """Reserves attempts.

    Args:
        redis: Client of Redis.
        kek: The installation's key; e-mail addresses are counted under a keyed hash of them.
        limits: How many attempts are allowed.
    """

    def __init__(self, redis: RedisClient, kek: SealingKeys, limits: LoginLimits | None = None) -> None:
        self._limits = limits or LoginLimits()
        self._redis = redis
        self._secret = derived_key(kek, "login-attempts")
        self._reserve = redis.register_script(_RESERVE)
        self._give_back = redis.register_script(_GIVE_BACK)
        self._count_code = redis.register_script(_COUNT_CODE)
        self._local = _LocalAttempts(self._limits, time.monotonic)

    async def reserve(self, email: str, address: str, attempt: Attempt = Attempt.LOGIN) -> int:
        """Take one attempt.

        Args:
            email: Normal form of the address typed, known or not.
            address: Network address of the caller, as the door gives it.
            attempt: What is attempted.

        Returns:
            How many attempts there were on the e-mail address within an hour, this one included, those that
            were given back not.

        Raises:
            LoginRateLimited: None is left; ``retry_delay_s`` says when the next is counted.
        """
        pair, network, on_email = self._keys(email, address, attempt)
        limits = self._limits
        try:
            with translated():
                wait_ms, count = await self._reserve(
                    keys=[pair, network, on_email],
                    args=[
                        limits.at_once,
                        int(limits.wait_s * 1000),
                        int(limits.max_wait_s * 1000),
                        limits.per_address,
                        int(limits.window_s * 1000),
                        _HOUR_MS,
                    ],
                )
            wait_s = float(wait_ms) / 1000
        except Unavailable:
            _LOG.warning("login_attempts_counted_locally")
            wait_s, count = self._local.reserve(pair, network, on_email)
        if wait_s > 0:
            raise LoginRateLimited("too many attempts; wait before the next one", retry_delay_s=wait_s)
        return int(count)

    async def give_back(self, email: str, address: str, attempt: Attempt = Attempt.LOGIN) -> None:
        """Return the attempt on the pair of addresses, and on the e-mail address, once all was right."""
        pair, _, on_email = self._keys(email, address, attempt)
        self._local.give_back(pair, on_email)
        try:
            with translated():
                await self._give_back(keys=[pair, on_email])
        except Unavailable:
            _LOG.warning("login_attempt_not_given_back")

    async def count_code(self, user: str) -> None:
        """Count a six-digit code that somebody who knows the password types, before it is looked at.

        Args:
            user: The user's identifier.

        Raises:
            LoginRateLimited: So many were wrong within an hour that one could be guessed; a recovery code,
                which cannot, is not counted.
        """
        try:
            with translated():
                typed = int(await self._count_code(keys=[key("login-code", user)], args=[_HOUR_MS]))
        except Unavailable:
            typed = self._local.count_code(user)
        if typed > self._limits.codes:
            raise LoginRateLimited(
                "too many wrong codes; wait, or use a recovery code", retry_delay_s=_HOUR_MS / 1000
            )

    async def forget_codes(self, user: str) -> None:
        """Begin to count anew after a right code."""
        self._local.forget_codes(user)
        try:
            with translated():
                await self._redis.delete(key("login-code", user))
        except Unavailable:
            _LOG.warning("login_codes_not_forgotten")

    def needs_second_factor(self, count: int) -> bool:
        """Whether there were so many attempts on an e-mail address that its password alone is not enough."""
        return count > self._limits.per_email

    def may_mail(self, count: int) -> bool:
        """Whether one more mail that a stranger can cause is sent to the e-mail address."""
        return count <= self._limits.mails

    def _keys(self, email: str, address: str, attempt: Attempt) -> tuple[str, str, str]:
        network = network_of(address)
        digest = hmac.digest(self._secret, email.encode("utf-8", "surrogatepass"), hashlib.sha256).hex()[:32]
        return (
            key(attempt.value, digest, network),
            key("login", network),
            key(f"{attempt.value}-email", digest),
        )


class _LocalAttempts:
    """The same rules in memory of one process."""

    def __init__(self, limits: LoginLimits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._pairs: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._networks: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._emails: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._codes: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def reserve(self, pair: str, network: str, on_email: str) -> tuple[float, int]:
        """Seconds to wait, 0 when an attempt was taken; and the attempts on the e-mail address."""
        now, limits = self._clock(), self._limits
        used, since = _window(self._networks, network, now, limits.window_s)
        if used >= limits.per_address:
            return since + limits.window_s - now, 0
        count, at = self._pairs.get(pair, (0, now))
        if now - at >= 2 * limits.max_wait_s:
            count = 0
        wait = min(limits.wait_s * 2.0 ** min(count - limits.at_once, 32), limits.max_wait_s)
        if count >= limits.at_once and now < at + wait:
            return at + wait - now, 0
        tried, begun = _window(self._emails, on_email, now, _HOUR_MS / 1000)
        _put(self._pairs, pair, (count + 1, now))
        _put(self._networks, network, (used + 1, since))
        _put(self._emails, on_email, (tried + 1, begun))
        return 0.0, tried + 1

    def count_code(self, user: str) -> int:
        """Count a code; answers how many there were within the hour."""
        now = self._clock()
        typed, since = _window(self._codes, user, now, _HOUR_MS / 1000)
        _put(self._codes, user, (typed + 1, since))
        return typed + 1

    def forget_codes(self, user: str) -> None:
        """Begin to count anew."""
        self._codes.pop(user, None)

    def give_back(self, pair: str, on_email: str) -> None:
        """Return an attempt."""
        count, at = self._pairs.pop(pair, (0, 0.0))
        if count > 1:
            _put(self._pairs, pair, (count - 1, at))
        tried, begun = self._emails.pop(on_email, (0, 0.0))
        if tried > 1:
            _put(self._emails, on_email, (tried - 1, begun))


def _window(
    entries: OrderedDict[str, tuple[int, float]], name: str, now: float, length_s: float
) -> tuple[int, float]:
    used, since = entries.get(name, (0, now))
    return (0, now) if now - since >= length_s else (used, since)


def _put(entries: OrderedDict[str, tuple[int, float]], name: str, value: tuple[int, float]) -> None:
    entries[name] = value
    entries.move_to_end(name)
    if len(entries) > _LOCAL_ENTRIES:
        entries.popitem(last=False)
