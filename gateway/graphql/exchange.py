"""One GraphQL request: its document read and checked, its fields run, its result or results written."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

import orjson
from graphql import (
    ExecutionResult,
    FieldNode,
    GraphQLError,
    GraphQLSchema,
    OperationType,
    execute,
    subscribe,
)

from cohortlens.core.errors import CohortLensError, DeadlineExceeded, Unavailable
from gateway.graphql import bodies
from gateway.graphql.arguments import Arguments
from gateway.graphql.bodies import Asked
from gateway.graphql.calls import Admission, Caller, Calls
from gateway.graphql.documents import Documents, Operation
from gateway.graphql.events import ResultEvents
from gateway.graphql.faults import Failed, argument_fault, refusals, written
from gateway.http import body, conditional, faults, headers
from gateway.http.body import ClientGone, Receive
from gateway.http.codec import Codecs
from gateway.http.headers import JSON, NO_STORE
from gateway.http.replies import HeaderList, Response, StatusSend
from gateway.http.requests import Request
from gateway.http.streaming import EVENTS, Drain, StreamWriter
from gateway.http.watching import CallerWatch
from gateway.interceptors.chain import CallFailed, Chain

GRAPHQL: Final = "application/graphql-response+json"

_UNAUTHENTICATED: Final = 401
_LARGE_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Service:
    """What all requests share.

    Attributes:
        chain: The chain.
        schema: The schema.
        documents: Reads documents.
        codecs: Print replies.
        arguments: Makes requests.
        refusing: Stands before the answer to a request that runs no call.
        showing: Stands before the schema.
        drain: Tells that the process is stopping; None where nothing does.
    """

    chain: Chain
    schema: GraphQLSchema
    documents: Documents
    codecs: Codecs
    arguments: Arguments
    refusing: Admission
    showing: Admission
    drain: Drain | None


class Exchange:
    """One request.

    Args:
        service: What all requests share.
        request: Request line and headers.
        request_id: Identifier of all its calls.
        receive: The ASGI ``receive``.
        send: Where the answer goes.
    """

    def __init__(
        self, service: Service, request: Request, request_id: str, receive: Receive, send: StatusSend
    ) -> None:
        self._service, self._request, self._request_id = service, request, request_id
        self._receive, self._send = receive, send
        timeout_s, fault = headers.timeout(request.head)
        fault = fault or conditional.unkept(request.head)
        metadata = headers.metadata(request.head, request.peer)
        metadata["x-request-id"] = [request_id]
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        self._caller = Caller(metadata, request.peer, request_id, deadline, fault)
        self._calls = Calls(service.chain, service.codecs, service.arguments, self._caller)
        self._task = asyncio.current_task()
        self._watch = CallerWatch(request, receive)
        self._attendant: asyncio.Task[None] | None = None
        self._writer: StreamWriter | None = None

    async def run(self) -> None:
        """Run the request and send its answer, whatever it is.

        Raises:
            ClientGone: Nobody is left to answer.
            ConnectionAbortedError: The reader of a stream took nothing for too long.
        """
        try:
            await self._answer()
        except CallFailed as failed:
            await self._write(refusal(failed.error, self._request_id, self._headers()))
        except asyncio.CancelledError:
            if not await self._cut_by_us():
                raise
        finally:
            self._calls.close()
            self._watch.close()
            if self._attendant is not None:
                self._attendant.cancel()

    async def _answer(self) -> None:
        try:
            asked, operation = await self._read()
            streams = operation.definition.operation is OperationType.SUBSCRIPTION
            media = self._accepted(streams=streams)
        except CohortLensError as fault:
            # Refused within the steps about callers, so that whoever asks for it too often is limited.
            await self._calls.admit(self._service.refusing, fault)
            raise
        shows, calls = _asks_for(operation)
        if shows or not calls:
            await self._calls.admit(self._service.showing, None)
        if streams:
            await self._stream(asked, operation)
            return
        result = await self._executed(asked, operation)
        await self._admit_uncalled(result)
        status = _UNAUTHENTICATED if calls and self._calls.nobody_known() else 200
        if media == EVENTS and status == 200:
            writer = self._events()
            await _tell(writer, self._shown(result))
            await writer.finish()
            return
        text = orjson.dumps(self._shown(result))
        kind = JSON if media == EVENTS else media
        await self._write(Response(status, kind, text, [*self._headers(), NO_STORE]))

    async def _read(self) -> tuple[Asked, Operation]:
        """What is asked for; raises CohortLensError for what will not be run."""
        bodies.check_type(self._request.head)
        text = await self._body()
        self._caller.request_bytes = len(text)
        self._watch.begin()
        # A large body takes a few hundredths of a second, in which the loop must go on.
        is_large = len(text) > _LARGE_BYTES
        asked = await asyncio.to_thread(bodies.read, text) if is_large else bodies.read(text)
        documents = self._service.documents
        operation = await documents.read(asked.source, asked.operation)
        documents.check_variables(operation, asked.variables)
        documents.check_cost(operation, asked.variables)
        return asked, operation

    async def _body(self) -> bytes:
        """The body.

        No call runs yet whose deadline would bound it, so this does.

        Raises:
            DeadlineExceeded: REQUEST_TIMEOUT after 15 s, or when the caller's own time is over.
        """
        deadline, now = self._caller.deadline, time.monotonic()
        left_s = body.BODY_TIMEOUT_S if deadline is None else min(body.BODY_TIMEOUT_S, deadline - now)
        try:
            async with asyncio.timeout(left_s):
                return await body.whole(self._receive, self._request.head, bodies.MAX_BODY_BYTES)
        except TimeoutError:
            # What refuses it has time of its own: the caller was late and not we.
            self._caller.deadline = None
            raise DeadlineExceeded("the body did not arrive in time", reason="REQUEST_TIMEOUT") from None

    def _accepted(self, *, streams: bool) -> str:
        """Media type of the answer; raises NOT_ACCEPTABLE."""
        offers = [EVENTS] if streams else [JSON, GRAPHQL, EVENTS]
        chosen = headers.accepts(self._request.head, offers)
        if chosen is None:
            raise faults.not_acceptable(offers)
        return chosen

    async def _admit_uncalled(self, result: ExecutionResult) -> None:
        """Run the steps about callers where no call did: every field was skipped, or had a wrong argument."""
        if self._calls.begun:
            return
        found = [fault for fault in map(argument_fault, result.errors or ()) if fault is not None]
        if found:
            await self._calls.admit(self._service.refusing, found[0])
        await self._calls.admit(self._service.showing, None)

    async def _executed(self, asked: Asked, operation: Operation) -> ExecutionResult:
        result = execute(
            self._service.schema,
            operation.document,
            context_value=self._calls,
            variable_values=asked.variables,
            operation_name=asked.operation,
        )
        return result if isinstance(result, ExecutionResult) else await result

    async def _stream(self, asked: Asked, operation: Operation) -> None:
        found: Any = subscribe(
            self._service.schema,
            operation.document,
            context_value=self._calls,
            variable_values=asked.variables,
            operation_name=asked.operation,
        )
        if not isinstance(found, ExecutionResult | AsyncIterator):
            found = await found
        if isinstance(found, ExecutionResult):
            await self._admit_uncalled(found)
            text = orjson.dumps(self._shown(found))
            await self._write(Response(200, JSON, text, [*self._headers(), NO_STORE]))
            return
        writer = self._events()
        if self._task is not None:
            attending = writer.attend(self._task, self._service.drain, resumes=True)
            self._attendant = asyncio.create_task(attending)
        try:
            async with aclosing(found) as results:
                async for result in results:
                    await _tell(writer, self._shown(result))
        except (Failed, GraphQLError) as error:
            failed = error if isinstance(error, Failed) else error.original_error
            if not isinstance(failed, Failed):
                raise
            await self._stream_failed(writer, failed)
            return
        await writer.finish()

    async def _stream_failed(self, writer: StreamWriter, failed: Failed) -> None:
        if not writer.started:
            await self._write(refusal(failed.fault, failed.request_id, self._headers()))
            return
        await _tell(writer, {"errors": refusals(failed.fault, failed.request_id)})
        await writer.finish()

    def _events(self) -> StreamWriter:
        self._writer = StreamWriter(self._send, ResultEvents(), self._headers)
        return self._writer

    def _shown(self, result: ExecutionResult) -> dict[str, Any]:
        """A result as JSON: what failed first, as the specification has it."""
        errors = [written(error, self._request_id) for error in result.errors or ()]
        return {"errors": errors, "data": result.data} if errors else {"data": result.data}

    def _headers(self) -> HeaderList:
        return headers.reply_headers(self._calls.headers())

    async def _write(self, answer: Response) -> None:
        await answer.write(self._send)

    async def _cut_by_us(self) -> bool:
        """Whether the work was cancelled from here; a reader that can still be told is told why."""
        writer = self._writer
        leaving = writer is not None and writer.leaving
        stalled = writer is not None and writer.stalled
        is_ours = self._watch.has_left or leaving or stalled
        if is_ours and self._task is not None:
            self._task.uncancel()
        if self._watch.has_left:
            raise ClientGone
        if stalled:
            raise ConnectionAbortedError("the reader took nothing for 30 s")
        stopping = Unavailable("the server is stopping; ask again", reason="SHUTTING_DOWN")
        failed = Failed(stopping, self._request_id)
        if writer is not None:
            await self._stream_failed(writer, failed)
        elif not self._send.status:
            await self._write(refusal(stopping, self._request_id, self._headers()))
        return is_ours


def refusal(fault: CohortLensError, request_id: str, extra: HeaderList) -> Response:
    """The answer to a request of which nothing was run."""
    text = orjson.dumps({"errors": refusals(fault, request_id)})
    own = {name for name, _ in extra}
    after = [one for one in faults.headers_of(fault) if one[0] not in own]
    return Response(faults.status_of(fault), JSON, text, [*extra, *after, NO_STORE])


async def _tell(writer: StreamWriter, result: dict[str, Any]) -> None:
    """Send one result; the framing of results takes the place of that of messages."""
    framed: Any = result
    await writer.message(framed)


def _asks_for(operation: Operation) -> tuple[bool, bool]:
    """Whether an operation reads the schema, and whether it calls anything."""
    shows = calls = False
    seen: set[str] = set()
    left: list[Any] = list(operation.definition.selection_set.selections)
    while left:
        one = left.pop()
        if isinstance(one, FieldNode):
            name = one.name.value
            shows = shows or name in {"__schema", "__type"}
            calls = calls or not name.startswith("__")
        elif getattr(one, "name", None) is not None:
            fragment = operation.fragments[one.name.value]
            if one.name.value not in seen:
                seen.add(one.name.value)
                left += fragment.selection_set.selections
        else:
            left += one.selection_set.selections
    return shows, calls
