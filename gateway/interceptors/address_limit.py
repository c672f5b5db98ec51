"""Limits what comes from one address before anybody is known: open calls, log-ins, unverified credentials.

A credential that this process has verified lately costs nothing here while it holds. One that it has not, or
that was taken back since, takes a unit of its own and one of its address, so that tokens are not guessed and
verification is not flooded; it is limited as what was presented, never as whom it claims to be. Health
checks, the probes of gRPC, are free.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from cohortlens.core.errors import Unauthenticated
from gateway.interceptors.authn import bearer_of
from gateway.interceptors.chain import Call, Proceed
from gateway.limits.buckets import Answer
from gateway.registry import RateClass

if TYPE_CHECKING:
    # The client of Redis takes a while to load, and the ports must answer meanwhile.
    from gateway.limits.limiter import Limiter, Named


class AddressLimitStep:
    """Refuses what comes too fast from an address or with an unverified credential.

    Args:
        limiter: The limits.
        is_known: Whether a credential was verified lately.
    """

    def __init__(self, limiter: Limiter, is_known: Callable[[str], bool]) -> None:
        self._limiter = limiter
        self._is_known = is_known
        self._trials: dict[str, asyncio.Future[None]] = {}

    async def __call__(self, call: Call, proceed: Proceed, /) -> None:
        """Run the rest unless the address or the credential has used up its limit.

        Raises:
            RateLimited: RATE_LIMITED; LOGIN_RATE_LIMITED where a secret is checked.
        """
        policy = call.method.policy
        if policy.quiet or call.certificate is not None:
            await proceed(call)
            return
        named = self._limiter.address_pace(policy.rate_class, call.peer)
        if named is not None and not call.is_part:
            await pass_at(self._limiter, named, call)
        if policy.public:
            if policy.rate_class is RateClass.INTERNAL:
                await self._as_client(call, proceed)
            else:
                await proceed(call)
            return
        credential = _credential(call)
        if credential and self._is_known(credential):
            await self._known(call, credential, proceed)
        elif credential:
            await self._tried(call, credential, proceed)
        else:
            await self._pass_pending(call, "")
            await proceed(call)

    async def _as_client(self, call: Call, proceed: Proceed) -> None:
        """Run a call in whose body a client proves who it is; one that does not takes a unit of its address.

        What a client sends is known only once it is read, so an address that is out of units is refused
        before, and those who prove themselves take none.
        """
        named = self._limiter.pending_pace("", call.peer)
        refusal = named.pace.refused(time.monotonic())
        if refusal is not None:
            refuse(self._limiter, named.name, refusal, call)
        try:
            await proceed(call)
        except Unauthenticated:
            await named.pace.wait(time.monotonic())
            raise

    async def _known(self, call: Call, credential: str, proceed: Proceed) -> None:
        """Run a call whose credential was verified lately: if it no longer holds, that is like a guess."""
        try:
            await proceed(call)
        except Unauthenticated:
            await self._pass_pending(call, credential)
            raise

    async def _tried(self, call: Call, credential: str, proceed: Proceed) -> None:
        """Run a call whose credential is still to be verified: one after the other, each for a unit.

        A client that begins with a hundred calls at once waits for the first, and has used one unit.
        """
        while (trial := self._trials.get(credential)) is not None:
            await asyncio.shield(trial)
            if self._is_known(credential):
                await self._known(call, credential, proceed)
                return
        call.on_verified = self._begin(credential)
        try:
            await self._pass_pending(call, credential)
            await proceed(call)
        finally:
            call.on_verified()

    def _begin(self, credential: str) -> Callable[[], None]:
        """Let others with this credential wait until the function that is returned is called."""
        trial = self._trials[credential] = asyncio.get_running_loop().create_future()

        def end() -> None:
            if not trial.done():
                del self._trials[credential]
                trial.set_result(None)

        return end

    async def _pass_pending(self, call: Call, credential: str) -> None:
        named = self._limiter.pending_pace(credential, call.peer)
        refusal = await named.pace.wait(time.monotonic())
        if refusal is not None:
            refuse(self._limiter, named.name, refusal, call)


async def pass_at(limiter: Limiter, named: Named, call: Call) -> None:
    """Let a call pass at a pace, or raise its refusal; either way its headers say how the limit stands."""
    refusal = await named.pace.wait(time.monotonic())
    if refusal is None:
        call.response_headers += (named.pace.policy, named.pace.left_header())
    else:
        refuse(limiter, named.name, refusal, call)


def refuse(limiter: Limiter, name: str, refusal: Answer, call: Call) -> None:
    """Raise the refusal of a call with its headers, unless the limit only counts."""
    bucket = refusal.bucket
    fault = limiter.refusal(name, refusal)
    call.response_headers += (
        ("ratelimit-policy", bucket.policy),
        ("ratelimit", f"{bucket.label};r={refusal.room};t={max(refusal.full_s, 0.0):.0f}"),
    )
    if fault is not None:
        raise fault


def _credential(call: Call) -> str:
    """What the caller presents as it is verified; the raw header where that is not even well formed."""
    try:
        return bearer_of(call)
    except Unauthenticated:
        return " ".join(call.metadata.values("authorization"))
