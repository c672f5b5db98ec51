"""Answers a request that was sent before as it was answered then, and does nothing more.

A key is held by one attempt at a time; ``core.idempotency`` has what the business transaction does about it.
A call without a key pays for two look-ups.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol

from google.protobuf.message import Message

from cohortlens.core.errors import Aborted, Code, CohortLensError, Internal, InvalidArgument
from cohortlens.core.failpoints import failpoint
from cohortlens.core.idempotency import Claim, KeyScope
from cohortlens.core.idempotency_keys import Busy, Held, Other, Stored
from cohortlens.core.telemetry import get_logger
from gateway.interceptors.chain import Call, MethodTable, Proceed
from gateway.interceptors.keyed import (
    REPLAYED,
    answer_of,
    canonical,
    has_none,
    is_final,
    key_of,
    key_path,
    put,
    refusal_of,
    replay,
    takes_key,
)

GRACE_S = 5.0
"""Seconds behind the deadline of an attempt after which a repeat takes over."""
RETRY_S = 1.0
_LOG = get_logger(__name__)

Reading = Callable[[Any, Mapping[str, Any], Call], Awaitable[Message]]
"""Reads an answer again: of the request, what it made, and the call."""


@dataclass(frozen=True)
class RunsAgain:
    """Not read: the method runs again, which has no second effect.

    It only computes; or it goes on where it was, and what it sends to others bears the claim's identifier.
    """


Reread = Reading | RunsAgain
"""How an answer that a crash lost is found again."""


class Keys(Protocol):
    """Stored keys; ``core.idempotency_keys.IdempotencyKeys``."""

    async def take(self, scope: KeyScope, request: bytes, hold_s: float) -> Held | Stored | Other | Busy:
        """Take a key for an attempt."""

    async def store(self, claim: Claim, answer: bytes) -> bool:
        """Keep the answer."""

    async def give_back(self, claim: Claim, *, is_wrong: bool = False) -> bool:
        """End an attempt without an answer; False when the key stays."""

    async def upload_hash(self, scope: KeyScope) -> Any:
        """A keyed hash of an upload's bytes."""


class IdempotencyStep:
    """Runs a keyed request once.

    Args:
        table: The methods; those with a key are found by their requests.
        keys: The stored keys; None in a process without them (tests of other steps).
        rereads: How the answer of a method is read again, by the method's path.
    """

    def __init__(self, table: MethodTable, keys: Keys | None, rereads: Mapping[str, Reread]) -> None:
        self._keys = keys
        self._rereads = rereads
        self._paths = {method.full_name: key_path(method) for method in table if takes_key(method)}
        self._ending: set[asyncio.Task[None]] = set()

    async def __call__(self, call: Call, proceed: Proceed, /) -> None:
        """Run the rest, or answer what it answered before.

        Raises:
            InvalidArgument: FIELD_INVALID for a bad key, IDEMPOTENCY_KEY_REUSED for one of another request.
            Aborted: IDEMPOTENCY_IN_PROGRESS: an attempt is under way.
        """
        path = self._paths.get(call.method.full_name)
        if path is None or self._keys is None or call.principal is None:
            await proceed(call)
        elif call.method.client_streaming:
            await self._upload(call, path, self._keys, proceed)
        elif has_none(call):
            await proceed(call)
        else:
            key = key_of(call, path, call.request)
            await _Attempt(self, self._keys, call, key).run(canonical(call.request, path), proceed)

    async def _upload(self, call: Call, path: tuple[str, ...], keys: Keys, proceed: Proceed) -> None:
        messages = call.requests
        assert messages is not None
        first = await anext(messages, None)
        key = key_of(call, path, first)
        if not key:
            async with aclosing(_with_first(first, messages)) as call.requests:
                await proceed(call)
            return
        attempt = _Attempt(self, keys, call, key)
        async with aclosing(attempt.hashed(_with_first(first, messages))) as call.requests:
            attempt.body = await keys.upload_hash(attempt.scope)
            await attempt.run(canonical(first, path), proceed)

    def reread_of(self, call: Call) -> Reread:
        """How the answer of a call is read again."""
        found = self._rereads.get(call.method.full_name)
        if found is None:
            raise Internal("the call took effect, and its answer cannot be read again")
        return found

    def give_back_soon(self, keys: Keys, claim: Claim) -> None:
        """Forget a key behind the back of a call that was cut off."""
        task = asyncio.create_task(_given_back(keys, claim))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def close(self) -> None:
        """Wait until the keys of calls that were cut off are given back."""
        if self._ending:
            await asyncio.wait(self._ending)


class _Attempt:
    """One keyed call: takes the key, then runs, replays or reads again."""

    def __init__(self, step: IdempotencyStep, keys: Keys, call: Call, key: str) -> None:
        principal = call.principal
        assert principal is not None
        self._step, self._keys, self._call = step, keys, call
        self.scope = KeyScope(principal.tenant_id, principal.actor, call.method.full_name, key)
        self.body: Any = None

    async def hashed(self, messages: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
        """The messages of an upload; the bytes of its file are hashed, however they are cut."""
        async with aclosing(messages):
            async for message in messages:
                self.body.update(getattr(message, "chunk", b""))
                if self._call.claim is not None:
                    self._call.claim.body = self.body.digest()
                yield message

    async def run(self, request: bytes, proceed: Proceed) -> None:
        call = self._call
        hold_s = max(0.0, call.deadline - time.monotonic()) + GRACE_S
        found = await self._keys.take(self.scope, request, hold_s)
        if isinstance(found, Held):
            call.claim = found.claim
            try:
                if found.is_committed:
                    await self._read_again(found, proceed)
                else:
                    await self._first(found.claim, proceed)
            finally:
                found.claim.close()
        elif isinstance(found, Stored):
            await self._require_same_body(found.body)
            call.is_replayed = True
            replay(call, found.answer)
        elif isinstance(found, Other):
            raise _reused()
        else:
            raise Aborted(
                "the first call with this key is under way; send it again a little later",
                reason="IDEMPOTENCY_IN_PROGRESS",
                retry_delay_s=RETRY_S,
            )

    async def _first(self, claim: Claim, proceed: Proceed) -> None:
        call, before = self._call, len(self._call.response_headers)
        failpoint("idempotency.taken")
        try:
            await proceed(call)
        except CohortLensError as refusal:
            await self._refused(claim, refusal)
            raise
        except BaseException:
            self._step.give_back_soon(self._keys, claim)
            raise
        failpoint("idempotency.answered")
        assert call.reply is not None
        await self._stored(claim, answer_of(call.reply, call.response_headers[before:]))
        failpoint("idempotency.stored")

    async def _refused(self, claim: Claim, refusal: CohortLensError) -> None:
        claim.close()
        try:
            is_wrong = refusal.code is Code.INVALID_ARGUMENT
            if is_final(refusal):
                await self._keys.store(claim, refusal_of(refusal))
            elif not await self._keys.give_back(claim, is_wrong=is_wrong) and is_wrong:
                # Something was stored before the request was found wrong: a repeat must not store it again.
                await self._keys.store(claim, refusal_of(refusal))
        except CohortLensError as fault:
            _LOG.warning("key_kept", reason=fault.reason, method=self.scope.method)

    async def _stored(self, claim: Claim, answer: bytes) -> None:
        claim.close()
        try:
            if not await self._keys.store(claim, answer):
                _LOG.warning("key_taken_over", method=self.scope.method)
        except CohortLensError as fault:
            # The effect is there and marked: a repeat reads the answer again.
            _LOG.warning("answer_not_stored", reason=fault.reason, method=self.scope.method)

    async def _read_again(self, found: Held, proceed: Proceed) -> None:
        call, claim = self._call, found.claim
        await self._require_same_body(found.body)
        reread = self._step.reread_of(call)
        if isinstance(reread, RunsAgain):
            await self._first(claim, proceed)
            return
        before = len(call.response_headers)
        put(call, await reread(call.request, claim.made, call))
        assert call.reply is not None
        claim.body = found.body
        await self._stored(claim, answer_of(call.reply, call.response_headers[before:]))
        call.response_headers.append(REPLAYED)
        call.is_replayed = True

    async def _require_same_body(self, body: bytes) -> None:
        """Read the rest of an upload: under one key it must be the same file."""
        if self.body is None:
            return
        requests = self._call.requests
        assert requests is not None
        async for _ in requests:
            pass
        if self.body.digest() != body:
            raise _reused()


def _reused() -> InvalidArgument:
    return InvalidArgument(
        "this key belongs to another request; take a new key for each request and the same for its repeats",
        reason="IDEMPOTENCY_KEY_REUSED",
    )


async def _given_back(keys: Keys, claim: Claim) -> None:
    claim.close()
    try:
        await keys.give_back(claim)
    except CohortLensError as fault:
        _LOG.warning("key_kept", reason=fault.reason, method=claim.scope.method)


async def _with_first(first: Any, rest: AsyncIterator[Any]) -> AsyncGenerator[Any, None]:
    if first is not None:
        yield first
        async for message in rest:
            yield message
