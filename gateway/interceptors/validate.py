"""Makes a message of the bytes of a call, and holds it to the rules of its fields."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sized
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Any, Final, NamedTuple

from google.protobuf.message import DecodeError, Message

from cohortlens.core.errors import InvalidArgument
from cohortlens.core.scrubbing import hide_names, hiding
from gateway.interceptors.chain import Call, MethodTable, Proceed
from gateway.interceptors.rules import ValidatorCompiler
from gateway.interceptors.secret_fields import secret_names, secrets_of
from gateway.wire.vectors import VectorReader, has_vectors

MESSAGE_FAULTS = frozenset({"/cohortlens.v1.AnalyticsService/PredictStream"})
"""Streams whose servicer gets the fault of a bad message in its place and answers it, instead of ending."""


LARGE_BYTES: Final = 256 * 1024
"""Bodies beyond this size are decoded in a thread, so that other calls go on meanwhile."""
_TURN_S: Final = 0.005
# Two at a time: what large bodies take of the memory is bounded whatever number of them arrives.
_DECODING: Final = ThreadPoolExecutor(2, thread_name_prefix="decoding")


class Refused(NamedTuple):
    """A bad message of a stream of ``MESSAGE_FAULTS``.

    Attributes:
        message: The message as far as it can be read; None when it cannot.
        fault: What is wrong with it.
    """

    message: Any
    fault: InvalidArgument


class ValidateStep:
    """Decodes and checks the request, or every message of a request stream as it comes.

    Args:
        table: The methods whose validators are compiled now, so that a bad pattern refuses the start.
    """

    def __init__(self, table: MethodTable) -> None:
        hide_names(secret_names(table))
        compiler = ValidatorCompiler()
        self._checks = {
            method.full_name: _as_it_is
            if method.policy.self_checked
            else compiler.validator(method.descriptor.input_type).check
            for method in table
        }
        # Requests with lists of feature vectors are read in bulk.
        self._readers = {
            method.full_name: VectorReader(method.descriptor.input_type)
            for method in table
            if has_vectors(method.descriptor.input_type)
        }

    async def __call__(self, call: Call, proceed: Proceed, /) -> None:
        """Set ``call.request`` or ``call.requests``, then run the servicer.

        Raises:
            InvalidArgument: MESSAGE_MALFORMED, FIELD_INVALID or VALUE_NOT_FINITE.
        """
        if call.payloads is None:
            if call.read is not None:
                await call.gather()
            is_large = call.request_bytes > LARGE_BYTES and call.door != "grpc"
            if is_large or _is_large(call, call.payload):
                call.request = await self._aside(call, call.payload)
            else:
                call.request = self._message(call, call.payload)
            call.payload = None
            if call.method.brings_secrets:
                with hiding(lambda: secrets_of(call)):
                    await proceed(call)
            else:
                await proceed(call)
        else:
            async with aclosing(self._stream(call, call.payloads)) as call.requests:
                await proceed(call)

    async def _aside(self, call: Call, payload: Any) -> Any:
        """The message of a large payload; the parsers of JSON let other threads run in between."""
        run = contextvars.copy_context().run
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(_DECODING, run, self._message, call, payload)

    def _message(self, call: Call, payload: Any) -> Any:
        name = call.method.full_name
        check, reader = self._checks[name], self._readers.get(name)
        try:
            if reader is not None:
                return reader(payload, call.decoder, check)
            message = call.decoder(payload)
        except DecodeError:
            raise InvalidArgument(
                f"the request is not a {call.method.descriptor.input_type.full_name} message",
                reason="MESSAGE_MALFORMED",
            ) from None
        check(message)
        return message

    async def _stream(self, call: Call, payloads: AsyncIterator[Any]) -> AsyncGenerator[Any, None]:
        own_faults = call.method.full_name in MESSAGE_FAULTS
        turn = time.monotonic()
        async for payload in payloads:
            if time.monotonic() - turn > _TURN_S:
                # Messages that are there already are given without waiting for anything: thousands of small
                # ones would hold up all other calls.
                await asyncio.sleep(0)
                turn = time.monotonic()
            try:
                if _is_large(call, payload):
                    message = await self._aside(call, payload)
                else:
                    message = self._message(call, payload)
            except InvalidArgument as fault:
                if not own_faults:
                    raise
                message = Refused(_decoded(call, payload), fault)
            yield message


def _decoded(call: Call, payload: Any) -> Any:
    try:
        return call.decoder(payload)
    except DecodeError:
        return None


def _is_large(call: Call, payload: Any) -> bool:
    """Whether one payload is large, such as what a small frame was inflated to."""
    return call.door != "grpc" and isinstance(payload, Sized) and len(payload) > LARGE_BYTES


def _as_it_is(_: Message) -> None:
    """Leave a message to its servicer."""
