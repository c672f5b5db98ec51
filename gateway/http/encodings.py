"""Compressed answers: gzip for callers that ask for it, where it is worth it and gives nothing away.

Source: RFC 9110, 8.4 and 12.5.3. Answers that nothing may store hold secrets or are failures. They stay as
they are: the length of a secret compressed together with what a caller sent tells about the secret (BREACH).
"""

from __future__ import annotations

import asyncio
import gzip
import re
from dataclasses import replace
from typing import Final

from gateway.http.conditional import coded
from gateway.http.headers import Head, media_type
from gateway.http.replies import Response

MIN_BYTES: Final = 1024
"""Smaller answers are sent as they are: they fit a packet or two either way."""
_THREAD_BYTES: Final = 64 * 1024
# The quickest level: on replies of numbers the slower ones save a few percent for three times the work.
_LEVEL: Final = 1
_TEXTS: Final = re.compile(r"text/.+|application/(?:.+\+)?(?:json|xml|javascript|x-ndjson)|image/svg\+xml")
_ITEM: Final = re.compile(r"\s*([A-Za-z0-9_.*-]+)\s*(?:;\s*q=([01](?:\.[0-9]{0,3})?)\s*)?")
_VARY: Final = (b"vary", b"Accept-Encoding")


def accepts_gzip(head: Head) -> bool:
    """Whether the caller takes gzip: it names it, or everything, and neither with quality zero."""
    if "accept-encoding" not in head.values:
        return False
    qualities: dict[str, float] = {}
    for item in head.get("accept-encoding").split(","):
        match = _ITEM.fullmatch(item)
        if match is not None:
            qualities.setdefault(match[1].lower(), float(match[2] or 1))
    found = [qualities[name] for name in ("gzip", "x-gzip", "*") if name in qualities]
    return bool(found) and found[0] > 0


async def packed(answer: Response, head: Head) -> Response:
    """The answer as the caller takes it.

    Args:
        answer: A whole answer; one with ``Cache-Control: no-store`` stays as it is.
        head: Headers of the request.

    Returns:
        The answer itself, or the same with its body compressed, ``Content-Encoding`` and another strong tag.
        Either names ``Accept-Encoding`` in ``Vary`` when the choice depends on it.
    """
    own = dict(answer.headers)
    if not _worth_it(answer, own):
        return answer
    if b"vary" not in own:
        answer = replace(answer, headers=[*answer.headers, _VARY])
    if not accepts_gzip(head):
        return answer
    if len(answer.body) > _THREAD_BYTES:
        body = await asyncio.to_thread(gzipped, answer.body)
    else:
        body = gzipped(answer.body)
    headers = [
        (name, coded(value.decode("latin-1")).encode("latin-1") if name == b"etag" else value)
        for name, value in answer.headers
    ]
    return replace(answer, body=body, headers=[*headers, (b"content-encoding", b"gzip")])


def _worth_it(answer: Response, own: dict[bytes, bytes]) -> bool:
    if len(answer.body) <= MIN_BYTES or b"content-encoding" in own:
        return False
    if b"no-store" in own.get(b"cache-control", b""):
        return False
    return _TEXTS.fullmatch(media_type(answer.content_type)[0]) is not None


def gzipped(body: bytes) -> bytes:
    """A body in gzip, at the quickest level."""
    # Without a time inside, so that equal answers stay equal.
    return gzip.compress(body, _LEVEL, mtime=0)
