"""Uploads by a client stream: the first message holds the options, the others the bytes of a file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from cohortlens.core.errors import InvalidArgument, Violation

MAX_CHUNK_BYTES = 1 << 20


async def first_options(requests: AsyncIterator[Any]) -> Any:
    """The options of the first message.

    Raises:
        InvalidArgument: FIELD_INVALID: there is no message, or it holds something else.
    """
    first = await anext(requests, None)
    if first is None or first.WhichOneof("part") != "options":
        raise _invalid("options", "the first message must hold the options, which may be empty")
    return first.options


async def chunks(requests: AsyncIterator[Any]) -> AsyncIterator[bytes]:
    """The bytes of the messages after the first.

    Raises:
        InvalidArgument: FIELD_INVALID: a message holds options, nothing, or too much; names the field.
    """
    async for message in requests:
        part = message.WhichOneof("part")
        if part == "options":
            raise _invalid("options", "the options stand in the first message only")
        if part is None:
            raise _invalid("chunk", "a message after the first must hold bytes of the file")
        if len(message.chunk) > MAX_CHUNK_BYTES:
            raise _invalid("chunk", f"is {len(message.chunk)} bytes; at most {MAX_CHUNK_BYTES} in a message")
        yield message.chunk


def _invalid(field: str, fault: str) -> InvalidArgument:
    return InvalidArgument(f"{field}: {fault}", violations=(Violation(field, fault),))
