"""The span of a call, around the step ``observe``; the chain has it only where spans are collected."""

from __future__ import annotations

from cohortlens.core import tracing
from cohortlens.core.tracing import TRACEPARENT, Kind
from gateway.interceptors.chain import Call, Proceed, Step
from gateway.interceptors.errors import HTTP_STATUS

_TRACE_ID = slice(3, 35)


def traced(observe: Step) -> Step:
    """``observe`` with a span around it where spans are collected, else as it is."""
    return TraceStep(observe) if tracing.is_on() else observe


class TraceStep:
    """Makes the span of each call but probes, and puts its identifiers into the call for the log line.

    Args:
        inner: The step that logs and counts.
    """

    def __init__(self, inner: Step) -> None:
        self._inner = inner

    async def __call__(self, call: Call, proceed: Proceed, /) -> None:
        """Run the rest within the span."""
        method = call.method
        if method.policy.quiet:
            await self._inner(call, proceed)
            return
        attributes = {**tracing.rpc(method.full_name), "cohortlens.request_id": call.request_id}
        attributes |= {"cohortlens.door": call.door} | ({"http.route": call.route} if call.route else {})
        with tracing.span(
            method.full_name[1:], Kind.SERVER, attributes, parent=_parent(call), faults=False
        ) as span:
            if span is not None:
                call.trace_id, call.span_id = span.trace_id, span.span_id
            try:
                await self._inner(call, proceed)
            finally:
                if span is not None:
                    span.set("rpc.response.status_code", call.code.name)
                    if call.failure is not None:
                        span.set("error.type", call.failure.error.reason)
                    if HTTP_STATUS[call.code] >= 500:
                        span.fail(call.code.name)


def _parent(call: Call) -> str:
    """The caller's ``traceparent``, once the step ``request_id`` found it sound and took its trace."""
    given = call.header(TRACEPARENT)
    return given if given and given[_TRACE_ID] == call.trace_id else ""
