"""Limits by address what is answered beside the RPCs, the report on health and the reference."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from cohortlens.core.telemetry import ERRORS
from gateway.http.replies import HeaderList, Response, failure
from gateway.http.requests import Request
from gateway.limits.addresses import TrustedProxies
from gateway.limits.limiter import Limiter
from gateway.registry import RateClass

Handler = Callable[[Request], Awaitable[Response]]


class AddressGate:
    """Answers 429 to an address that asks too fast.

    Args:
        limiter: The limits.
        proxies: Whose word about callers' addresses is taken.
    """

    def __init__(self, limiter: Limiter, proxies: TrustedProxies) -> None:
        self._limiter = limiter
        self._proxies = proxies

    def around(self, handler: Handler) -> Handler:
        """``handler`` for those who may pass; its answer says how the limit stands."""

        async def answer(request: Request) -> Response:
            forwarded = request.head.values.get("x-forwarded-for", [])
            address = self._proxies.caller(request.peer, forwarded)
            named = self._limiter.address_pace(RateClass.PUBLIC, address)
            if named is None:
                return await handler(request)
            refusal = await named.pace.wait(time.monotonic())
            headers: HeaderList = [
                (name.encode(), value.encode())
                for name, value in (named.pace.policy, named.pace.left_header())
            ]
            fault = None if refusal is None else self._limiter.refusal(named.name, refusal)
            if fault is not None:
                ERRORS.labels(fault.reason).inc()
                return failure(fault, "", problem=False, headers=headers)
            response = await handler(request)
            response.headers = [*response.headers, *headers]
            return response

        return answer
