"""Results as server-sent events: ``next`` with a result, ``complete`` at the end.

Source: GraphQL over Server-Sent Events, "distinct connections mode"
(https://github.com/enisdenjo/graphql-sse, PROTOCOL.md), so that its clients work unchanged.
"""

from __future__ import annotations

from typing import Any

import orjson

from gateway.http.streaming import EVENTS


class ResultEvents:
    """How results stand in the body of an answer."""

    def content_type(self, first: Any) -> str:  # noqa: ARG002 - the protocol's
        """The type of an event stream."""
        return EVENTS

    def message(self, message: Any) -> bytes:
        """A result."""
        return b"event: next\ndata: " + orjson.dumps(message) + b"\n\n"

    def end(self) -> bytes:
        """The last event; an event without data would never be delivered, so the line stands empty."""
        return b"event: complete\ndata:\n\n"

    def failed(self, document: dict[str, Any]) -> bytes:
        """A failure as the last result."""
        return self.message({"errors": [{"message": document["message"]}]}) + self.end()
