"""Which passwords are accepted, and argon2id away from the event loop.

Hashing takes tens of milliseconds of a core and 19 MiB, so two threads do it and at most 64 callers wait.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import gzip
import hashlib
import hmac
import itertools
import string
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from typing import TypeVar

import argon2

from cohortlens.core.errors import InvalidArgument
from cohortlens.core.telemetry import get_logger
from cohortlens.identity.models import LoginRateLimited, field_fault

ResultT = TypeVar("ResultT")
_LOG = get_logger(__name__)

MIN_CHARACTERS = 12
MAX_CHARACTERS = 128
THREADS = 2
MAX_WAITING = 64
MIN_PEPPER_CHARACTERS = 32
_TRIMMINGS = string.digits + string.punctuation + " "

DUMMY_HASH = (
    "$argon2id$v=19$m=19456,t=2,p=1$Z/vxdM52UzlDjxDACkjwsw$oiovwEaJVPJC26wr0Dwwdxb9xWXcHzkTsO9b901s2Bs"
)
"""Hash of a random text nobody knows, with the parameters in use: an unknown address costs as much."""


class PasswordHasher:
    """argon2id with m = 19,456 KiB, t = 2, p = 1, salt of 16 and output of 32 bytes, in two threads.

    Args:
        pepper: Secret that goes into every new hash, so that a stolen database alone cannot be guessed at;
            empty for none. Hashes without it go on to match and are made anew at the next log-in.

    Raises:
        ValueError: The pepper is shorter than 32 characters.
    """

    def __init__(self, pepper: str = "") -> None:
        if pepper and len(pepper) < MIN_PEPPER_CHARACTERS:
            raise ValueError(f"the password pepper needs at least {MIN_PEPPER_CHARACTERS} characters")
        self._argon2 = argon2.PasswordHasher(
            time_cost=2, memory_cost=19456, parallelism=1, hash_len=32, salt_len=16, type=argon2.Type.ID
        )
        self._pepper = pepper.encode()
        # The name of the pepper stands before its hashes, so that one made with another is told apart.
        named = hmac.digest(self._pepper, b"cohortlens/pepper-id", hashlib.sha256).hex()[:8]
        self._head = f"pepper-{named}" if pepper else ""
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="argon2")
        self._jobs = 0

    async def hash(self, password: str) -> str:
        """The encoded hash of a password.

        Raises:
            LoginRateLimited: 64 callers wait already.
        """
        return await self._run(lambda: self._head + self._argon2.hash(self._peppered(self._head, password)))

    async def verify(self, encoded: str | None, password: str) -> bool:
        """Whether the password belongs to the hash; without a hash, False after the same work.

        Raises:
            LoginRateLimited: 64 callers wait already.
        """
        matches = await self._run(lambda: self._matches(encoded or DUMMY_HASH, password))
        return matches and encoded is not None

    def is_outdated(self, encoded: str) -> bool:
        """Whether the hash was made with other parameters and should be made anew at the next log-in."""
        head, dollar, rest = encoded.partition("$")
        return head != self._head or self._argon2.check_needs_rehash(dollar + rest)

    def close(self) -> None:
        """End the threads once what runs is done; what waits is dropped."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _matches(self, encoded: str, password: str) -> bool:
        head, dollar, rest = encoded.partition("$")
        if head not in {"", self._head}:
            _LOG.error("password_pepper_unknown", wanted=head)
        try:
            return self._argon2.verify(dollar + rest, self._peppered(head, password))
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False

    def _peppered(self, head: str, password: str) -> bytes:
        raw = password.encode("utf-8", "surrogatepass")
        return base64.b64encode(hmac.digest(self._pepper, raw, hashlib.sha256)) if head else raw

    async def _run(self, work: Callable[[], ResultT]) -> ResultT:
        if self._jobs >= THREADS + MAX_WAITING:
            raise LoginRateLimited("too many log-ins at once; try again in a second", retry_delay_s=1.0)
        self._jobs += 1
        future = self._threads.submit(work)
        # Counted down when the thread is done, not when the caller leaves: a hash once begun runs on.
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: _call_soon(loop, self._done))
        return await asyncio.wrap_future(future)

    def _done(self) -> None:
        self._jobs -= 1


def check_new_password(password: str, email: str, *, field: str = "password") -> None:
    """Refuse a password that is short, common, the address itself or a repetition.

    Args:
        password: As typed; never cut.
        email: Normal form of the owner's address.
        field: Field of the request to name in a fault.

    Raises:
        InvalidArgument: PASSWORD_TOO_SHORT under 12 characters, PASSWORD_BREACHED for one that guessers try
            first, FIELD_INVALID over 128 characters.
    """
    if len(password) > MAX_CHARACTERS:
        raise field_fault(field, f"at most {MAX_CHARACTERS} characters are allowed")
    if len(password) < MIN_CHARACTERS:
        raise field_fault(
            field, f"at least {MIN_CHARACTERS} characters are needed", reason="PASSWORD_TOO_SHORT"
        )
    folded = password.casefold()
    if folded in {email, email.partition("@")[0]}:
        raise _breached(field, "is the e-mail address")
    if _is_repetition(folded) or _is_run(folded):
        raise _breached(field, "is a repetition or a run of characters")
    if not common_passwords().isdisjoint({folded, folded.strip(_TRIMMINGS)}):
        raise _breached(field, "is among the commonest of leaks, or one with digits or signs around it")


@functools.cache
def common_passwords() -> frozenset[str]:
    """The commonest passwords of public leaks, lower case; ``data/SOURCES.md`` says where they come from."""
    packed = resources.files("cohortlens").joinpath("data/common_passwords.txt.gz").read_bytes()
    return frozenset(gzip.decompress(packed).decode("ascii").split())


def _is_repetition(text: str) -> bool:
    # A text is a repetition of a shorter one exactly when it occurs inside its own double, ends cut off.
    return text in (text + text)[1:-1] or len(set(text)) <= 3


def _is_run(text: str) -> bool:
    steps = {ord(right) - ord(left) for left, right in itertools.pairwise(text)}
    return steps in ({1}, {-1}) or text in "01234567890123456789"


def _breached(field: str, description: str) -> InvalidArgument:
    return field_fault(field, f"{description}; choose another", reason="PASSWORD_BREACHED")


def _call_soon(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(function)
