"""Client streams over HTTP: a file with its options as query parameters, NDJSON, or a JSON array.

Nothing is read before the chain asks for it, that is before the caller is known, and at most one chunk of a
file is held in memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

from google.protobuf.message import Message

from cohortlens.core.errors import Cancelled, CohortLensError, InvalidArgument
from gateway.http import body, faults, jsontext
from gateway.http.binding import refuse
from gateway.http.body import ClientGone, Receive
from gateway.http.codec import Codecs
from gateway.http.headers import JSON, NDJSON, Head, media_type, parameters
from gateway.http.query import TextBinder, query_pairs
from gateway.http.routes import Route, Upload
from gateway.http.scalars import JsonFault
from gateway.interceptors.validate import LARGE_BYTES

MAX_UPLOAD_BYTES: Final = 1024**3
IDLE_TIMEOUT_S: Final = 30.0
CHUNK_BYTES: Final = 256 * 1024
FILE_TYPES: Final = frozenset(
    {
        "text/csv",
        "text/tab-separated-values",
        "application/csv",
        "application/vnd.apache.parquet",
        "application/octet-stream",
        "application/gzip",
        "application/zstd",
    }
)
MULTIPART: Final = "multipart/form-data"
_PART_HEADER_BYTES: Final = 16 * 1024


class StreamBody:
    """The requests of one client stream.

    Args:
        route: The route found.
        head: Headers of the request.
        query: Raw query string.
        codecs: Strict or lenient, as asked for.
        fault: A fault of the headers, raised with the first message.

    Attributes:
        received: Bytes of the inflated body so far.
        torn: Whether the connection was closed in the middle.
    """

    def __init__(
        self, route: Route, head: Head, query: str, codecs: Codecs, fault: CohortLensError | None
    ) -> None:
        self._route, self._head, self._query, self._codecs, self._fault = route, head, query, codecs, fault
        self._type, self._parameters = media_type(head.get("content-type"))
        self.received = 0
        self.torn = False

    def decode(self, payload: Any) -> Message:
        """One request; raises InvalidArgument."""
        if isinstance(payload, Message):
            return payload
        message = self._route.method.input_class()
        codec, target = self._codecs.of(message.DESCRIPTOR), self._route.rule.body
        try:
            if target in {"", "*"}:
                codec.load(message, payload)
            else:
                codec.fields[target].set(message, payload)
        except JsonFault as fault:
            raise refuse(fault) from None
        return message

    async def requests(self, receive: Receive) -> AsyncIterator[Any]:
        """What ``decode`` takes, one after the other, as the body arrives.

        Raises:
            CohortLensError: The body is too large, too slow, of another type, or not what its type says;
                CANCELLED when the connection was closed.
        """
        if self._fault is not None:
            raise self._fault
        try:
            async for payload in self._payloads(receive):
                yield payload
        except ClientGone:
            self.torn = True
            raise Cancelled("the connection was closed before the body was complete") from None
        except JsonFault as fault:
            raise refuse(fault) from None

    def _payloads(self, receive: Receive) -> AsyncIterator[Any]:
        upload = self._route.upload
        if self._type == NDJSON:
            return self._lines(receive)
        if self._type == JSON or (not self._type and upload is None):
            return self._array(receive)
        if upload is not None and self._type == MULTIPART:
            return self._multipart(receive, upload)
        if upload is not None and self._type in FILE_TYPES:
            return self._file(self._pieces(receive), upload, "")
        files = f"{', '.join(sorted(FILE_TYPES))}, {MULTIPART}, " if upload is not None else ""
        raise faults.unsupported_media(f"Content-Type {files}{NDJSON} or {JSON}")

    async def _pieces(self, receive: Receive) -> AsyncIterator[bytes]:
        async for piece in body.pieces(receive, self._head, MAX_UPLOAD_BYTES, IDLE_TIMEOUT_S):
            self.received += len(piece)
            yield piece

    async def _file(
        self, source: AsyncIterator[bytes], upload: Upload, file_name: str
    ) -> AsyncIterator[Message]:
        yield self._options(upload, file_name)
        async for chunk in chunks(source, CHUNK_BYTES):
            yield self._route.method.input_class(**{upload.chunk: chunk})

    def _options(self, upload: Upload, file_name: str) -> Message:
        message = self._route.method.input_class()
        options = getattr(message, upload.options)
        options.SetInParent()
        binder = TextBinder(self._codecs, options.DESCRIPTOR)
        binder.bind(options, query_pairs(self._query), set())
        if file_name and "file_name" in options.DESCRIPTOR.fields_by_name and not options.file_name:
            options.file_name = file_name
        return message

    async def _multipart(self, receive: Receive, upload: Upload) -> AsyncIterator[Message]:
        boundary = self._parameters.get("boundary", "")
        if not 1 <= len(boundary) <= 70 or not boundary.isascii():
            raise faults.unsupported_media(f"{MULTIPART} with a boundary")
        part = FilePart(self._pieces(receive), boundary.encode())
        name = await part.open()
        async for message in self._file(part.content(), upload, name):
            yield message

    async def _lines(self, receive: Receive) -> AsyncIterator[Any]:
        self._no_query()
        rest = bytearray()
        async for piece in self._pieces(receive):
            rest += piece
            *lines, tail = rest.split(b"\n") if b"\n" in piece else [rest]
            for line in lines:
                if line.strip():
                    yield await _value(bytes(line))
            rest = tail
            if len(rest) > body.MAX_JSON_BYTES:
                raise faults.too_large(body.MAX_JSON_BYTES)
        if rest.strip():
            yield await _value(bytes(rest))

    async def _array(self, receive: Receive) -> AsyncIterator[Any]:
        self._no_query()
        text = await body.whole(receive, self._head)
        self.received += len(text)
        value = await _value(text)
        if type(value) is not list:
            raise JsonFault("expected a list of messages")
        for item in value:
            yield item

    def _no_query(self) -> None:
        if self._query:
            raise JsonFault("messages in the body take no query parameters", "FIELD_CONFLICT")


async def _value(text: bytes) -> Any:
    """The value of a JSON text, read aside when it is large; raises JsonFault."""
    if len(text) > LARGE_BYTES:
        return await asyncio.to_thread(jsontext.load, text)
    return jsontext.load(text)


async def chunks(source: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes]:
    """The same bytes in chunks of ``size``, the last one shorter."""
    held = bytearray()
    async for piece in source:
        held += piece
        while len(held) >= size:
            yield bytes(held[:size])
            del held[:size]
    if held:
        yield bytes(held)


class FilePart:
    """The one file of a ``multipart/form-data`` body, read as it arrives.

    Args:
        source: The body.
        boundary: Its boundary.
    """

    def __init__(self, source: AsyncIterator[bytes], boundary: bytes) -> None:
        self._source = source
        self._mark = b"\r\n--" + boundary
        # The first boundary may stand at the very start, without a line end before it.
        self._held = bytearray(b"\r\n")

    async def _more(self) -> None:
        async for piece in self._source:
            self._held += piece
            return
        raise InvalidArgument("the multipart body is cut off")

    async def _until(self, mark: bytes) -> bytes:
        while (at := self._held.find(mark)) < 0:
            if len(self._held) > _PART_HEADER_BYTES:
                raise InvalidArgument("the multipart body does not begin with a part")
            await self._more()
        before = bytes(self._held[:at])
        del self._held[: at + len(mark)]
        return before

    async def open(self) -> str:
        """Read the headers of the part; returns its file name, empty when it has none.

        Raises:
            InvalidArgument: There is no part, or it is cut off.
        """
        await self._until(self._mark)
        if await self._until(b"\r\n"):
            raise InvalidArgument("the multipart body holds no part")
        headers = b"" if self._held.startswith(b"\r\n") else None
        text = headers if headers is not None else await self._until(b"\r\n\r\n")
        if headers is not None:
            del self._held[:2]
        return _file_name(text)

    async def content(self) -> AsyncIterator[bytes]:
        """The bytes of the file.

        Raises:
            InvalidArgument: The body is cut off, or holds a second part.
        """
        while (at := self._held.find(self._mark)) < 0:
            keep = len(self._mark) - 1
            if len(self._held) > keep:
                yield bytes(self._held[:-keep])
                del self._held[:-keep]
            await self._more()
        if at:
            yield bytes(self._held[:at])
        del self._held[: at + len(self._mark)]
        while len(self._held) < 2:
            await self._more()
        if not self._held.startswith(b"--"):
            raise InvalidArgument("exactly one file is taken; options are query parameters")


def _file_name(head: bytes) -> str:
    """The file name of a part, as browsers write it: UTF-8, quotes and line ends percent-encoded."""
    for line in head.decode("utf-8", "replace").split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-disposition":
            given = parameters(value).get("filename", "")
            return given.replace("%22", '"').replace("%0D", " ").replace("%0A", " ")
    return ""
