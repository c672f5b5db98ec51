"""Limits what comes from one address before anybody is known: open calls, log-ins, unverified credentials.

A credential that this process has verified lately costs nothing here. One that it has not takes a unit of its
own and one of its address, so that tokens are not guessed and verification is not flooded; it is limited as
what was presented, never as whom it claims to be. Health checks, the probes of gRPC, are free.
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

if TYPE_CHECKING:
    # The client of Redis takes a while to load, and the ports must answer meanwhile.
    from gateway.limits.limiter import Limiter, Named

_FOLLOWED_S = 5.0


class _Trial:
    """A credential that is being verified; who presents it meanwhile shares the unit."""

    __slots__ = ("begun", "check")

    def __init__(self, check: asyncio.Task[Answer | None]) -> None:
        self.check = check
        self.begun = time.monotonic()


class AddressLimitStep:
    """Refuses what comes too fast from an address or with an unverified credential.

    Args:
        limiter: The limits.
        is_known: Whether a credential was verified lately.
    """

    def __init__(self, limiter: Limiter, is_known: Callable[[str], bool]) -> None:
        self._limiter = limiter
        self._is_known = is_known
        self._trials: dict[str, _Trial] = {}

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
        if named is not None:
            await pass_at(self._limiter, named, call)
        if policy.public:
            await proceed(call)
            return
        credential = _credential(call)
        if credential and self._is_known(credential):
            await proceed(call)
        elif credential:
            await self._tried(call, credential, proceed)
        else:
            await self._pass_pending(call, self._pending("", call.peer))
            await proceed(call)

    async def _tried(self, call: Call, credential: str, proceed: Proceed) -> None:
        """Run a call whose credential is still to be verified; calls that share it share the unit."""
        trial = self._trials.get(credential)
        if trial is not None and time.monotonic() - trial.begun < _FOLLOWED_S:
            await self._pass_pending(call, trial.check)
            await proceed(call)
            return
        trial = self._trials[credential] = _Trial(self._pending(credential, call.peer))
        try:
            await self._pass_pending(call, trial.check)
            await proceed(call)
        finally:
            if self._trials.get(credential) is trial:
                del self._trials[credential]

    def _pending(self, credential: str, address: str) -> asyncio.Task[Answer | None]:
        pace = self._limiter.pending_pace(credential, address).pace
        return asyncio.create_task(pace.wait(time.monotonic()))

    async def _pass_pending(self, call: Call, check: asyncio.Task[Answer | None]) -> None:
        # One that gives up must not take the answer from the others.
        refusal = await asyncio.shield(check)
        if refusal is not None:
            refuse(self._limiter, self._limiter.pending_name, refusal, call)


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
