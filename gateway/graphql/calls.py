"""The calls of one GraphQL request: each root field runs the whole chain, as a request of its own would.

What was refused before any call, and what asks only for the schema, runs the chain's steps about callers too:
it is limited, logged and counted like a call, under the name of a method that is no RPC.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson
from google.protobuf.message import Message

from cohortlens.core.errors import Code, CohortLensError
from gateway.graphql.arguments import Arguments, Values
from gateway.graphql.faults import Failed
from gateway.graphql.references import Loader, Reference
from gateway.http.codec import Codecs
from gateway.interceptors.chain import ORDER, Call, CallFailed, Chain, Proceed, Step
from gateway.interceptors.errors import retry_after
from gateway.registry import MethodInfo, Policy, RateClass

DOOR: Final = "graphql"
# The steps that say who calls and how often; what lies inside them is about requests of RPCs.
_ADMITTING: Final = ORDER[: ORDER.index("rate_limit") + 1]
# Headers that belong to a whole answer; those about one reply (etag, location) do not.
_KEPT: Final = frozenset(
    {"ratelimit", "ratelimit-policy", "www-authenticate", "x-deadline-clamped", "idempotent-replayed"}
)
_NOTHING: Final = object()
# A subscription can make many calls for what its messages name.
_ENDED_MAX: Final = 64


@dataclass(slots=True)
class Caller:
    """What all calls of a request have in common.

    Attributes:
        metadata: Request metadata, with the identifier of the request.
        peer: Address of the connection's other end.
        request_id: Identifier of the request.
        deadline: Monotonic time by which the caller wants its answer; None for that of each method.
        timeout_fault: Why the caller's timeout cannot be read.
        request_bytes: Size of the body, counted on the first call.
    """

    metadata: dict[str, list[str]]
    peer: str
    request_id: str
    deadline: float | None = None
    timeout_fault: CohortLensError | None = None
    request_bytes: int = 0


class Calls:
    """Runs the root fields of one request.

    Args:
        chain: The chain.
        codecs: Print replies.
        arguments: Makes requests.
        caller: Whose request it is.

    Attributes:
        ended: The calls that were run, in the order of their ends; the last 64.
        begun: How many were begun.
    """

    def __init__(self, chain: Chain, codecs: Codecs, arguments: Arguments, caller: Caller) -> None:
        self._chain, self._codecs, self._arguments = chain, codecs, arguments
        self._caller = caller
        self.ended: list[Call] = []
        self.begun = 0
        self._loaders: dict[str, Loader] = {}

    def loader(self, reference: Reference, method: MethodInfo) -> Loader:
        """What gathers the references of one kind."""
        found = self._loaders.get(reference.name)
        if found is None:
            found = self._loaders[reference.name] = Loader(self, reference, method)
        return found

    def close(self) -> None:
        """End what nobody waits for any more."""
        for loader in self._loaders.values():
            loader.close()

    async def unary(self, method: MethodInfo, arguments: Values) -> Any:
        """The JSON value of a reply.

        Raises:
            Failed: The call failed.
        """
        call = self._call(method)
        call.encoder = self._codecs.print
        try:
            await self._chain.unary(call, arguments)
        except CallFailed as failed:
            raise Failed(failed.error, failed.request_id) from None
        finally:
            self._end(call)
        return orjson.loads(call.encoded)

    async def stream(self, method: MethodInfo, arguments: Values) -> AsyncIterator[Any]:
        """The JSON values of a stream of replies; the next one is asked for when the last was taken.

        Raises:
            Failed: The call failed.
        """
        call = self._call(method)
        # One message waits at most: a slow reader slows the servicer down.
        waiting: asyncio.Queue[Any] = asyncio.Queue(1)

        async def send(message: Message) -> None:
            text = self._codecs.print(message)
            call.response_bytes += len(text)
            await waiting.put(orjson.loads(text))

        async def run() -> None:
            call.task = asyncio.current_task()
            try:
                await self._chain.server_stream(call, arguments, send)
            except CallFailed as failed:
                await waiting.put(Failed(failed.error, failed.request_id))
            else:
                await waiting.put(_NOTHING)
            finally:
                self._end(call)

        task = asyncio.create_task(run())
        try:
            while (item := await waiting.get()) is not _NOTHING:
                if isinstance(item, Failed):
                    raise item
                yield item
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def headers(self) -> list[tuple[str, str]]:
        """Headers of the answer that the calls ask for; of each name the one that came last."""
        found = {name: value for call in self.ended for name, value in call.response_headers if name in _KEPT}
        waits = [after for after in (retry_after(one) for one in self.faults()) if after is not None]
        if waits:
            found["retry-after"] = max(waits, key=int)
        return [("x-request-id", self._caller.request_id), *found.items()]

    def faults(self) -> list[CohortLensError]:
        """Why calls failed."""
        return [one.failure.error for one in self.ended if one.failure is not None]

    def nobody_known(self) -> bool:
        """Whether every call was refused since nobody could prove who called."""
        return bool(self.ended) and all(one.code is Code.UNAUTHENTICATED for one in self.ended)

    async def admit(self, gate: Admission, fault: CohortLensError | None) -> None:
        """Run the steps about callers for a request without a call; raises CallFailed.

        Args:
            gate: The steps.
            fault: Why the request is refused; None for one that is not.
        """
        call = self._call(gate.method)
        try:
            await gate.run(call, fault)
        finally:
            self._end(call)

    def _end(self, call: Call) -> None:
        self.ended.append(call)
        del self.ended[:-_ENDED_MAX]

    def _call(self, method: MethodInfo) -> Call:
        caller = self._caller
        left = None if caller.deadline is None else caller.deadline - time.monotonic()
        call = Call(
            DOOR,
            method,
            caller.metadata,
            peer=caller.peer,
            timeout_s=left,
            timeout_fault=caller.timeout_fault,
            decoder=lambda arguments: self._arguments.message(method, arguments),
        )
        if self.begun == 0:
            call.request_bytes = caller.request_bytes
        self.begun += 1
        return call


class Admission:
    """The chain's steps about callers, for what is no call.

    Args:
        chain: The chain.
        like: A method whose descriptor stands for the request; nothing of it is run.
        name: Name in logs and metrics.
        needs_token: Whether only known callers may pass.

    Attributes:
        method: What is called in logs and metrics.
    """

    def __init__(self, chain: Chain, like: MethodInfo, name: str, *, needs_token: bool) -> None:
        rate_class = RateClass.READ if needs_token else RateClass.PUBLIC
        service = "cohortlens.graphql"
        self.method = replace(
            like,
            full_name=f"/{service}/{name}",
            service=service,
            name=name,
            policy=Policy(public=not needs_token, rate_class=rate_class),
            client_streaming=False,
            server_streaming=False,
            brings_secrets=False,
            row_fields=(),
        )
        self._steps = [chain.steps[step] for step in reversed(_ADMITTING)]

    async def run(self, call: Call, fault: CohortLensError | None) -> None:
        """Raise CallFailed when the caller may not pass, or for the fault."""

        async def end(_: Call) -> None:
            if fault is not None:
                raise fault

        run: Proceed = end
        for step in self._steps:
            run = _around(step, run)
        await run(call)


def _around(step: Step, inner: Proceed) -> Proceed:
    def run(call: Call) -> Awaitable[None]:
        return step(call, inner)

    return run


def resolver(method: MethodInfo) -> Callable[..., Awaitable[Any]]:
    """What a root field of queries and mutations does; the context of the execution is ``Calls``."""

    async def resolve(_: Any, info: Any, **arguments: Any) -> Any:
        return await info.context.unary(method, arguments)

    return resolve


def subscriber(method: MethodInfo) -> Callable[..., AsyncIterator[Any]]:
    """What a root field of subscriptions does."""

    def subscribe(_: Any, info: Any, **arguments: Any) -> AsyncIterator[Any]:
        found: AsyncIterator[Any] = info.context.stream(method, arguments)
        return found

    return subscribe
