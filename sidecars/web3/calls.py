"""What every call of the sidecar passes: the token, and the translation of errors into statuses."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn

import grpc
from google.rpc import error_details_pb2, status_pb2
from prometheus_client import Counter

from cohortlens.core import tracing
from cohortlens.core.errors import Code, CohortLensError, Internal, Unauthenticated
from cohortlens.core.telemetry import REGISTRY, get_logger
from cohortlens.core.tracing import Kind

_DOMAIN = "cohortlens"
_STATUS_KEY = "grpc-status-details-bin"
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_FAULTS = frozenset({Code.UNKNOWN, Code.INTERNAL, Code.UNAVAILABLE, Code.DATA_LOSS, Code.DEADLINE_EXCEEDED})
_log = get_logger(__name__)

CALLS = Counter("web3_calls_total", "Calls of the sidecar", ["method", "reason"], registry=REGISTRY)


class TokenInvalid(Unauthenticated):
    """The caller does not know the token of the sidecar."""

    reason = "INTERNAL_TOKEN_INVALID"

    def __init__(self) -> None:
        super().__init__("The internal token is missing or wrong; set COHORTLENS_WEB3_TOKEN on both sides.")


class Guard(grpc.aio.ServerInterceptor):
    """Lets calls with the token in, and turns what they raise into statuses.

    Args:
        token: What callers show in ``authorization: Bearer``.
    """

    def __init__(self, token: str) -> None:
        self._expected = f"Bearer {token}".encode()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the method's handler; without the token no message is parsed, let alone worked on."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        given = dict(handler_call_details.invocation_metadata or ())
        shown = given.get("authorization", "")
        is_known = hmac.compare_digest(str(shown).encode(), self._expected)
        method = handler_call_details.method.rpartition("/")[2]
        if not is_known:
            return _refusing(handler, method)
        parent = given.get(tracing.TRACEPARENT, "")
        if parent and tracing.is_on() and not (handler.request_streaming or handler.response_streaming):
            handler = _traced(handler, handler_call_details.method, str(parent))
        return _wrapped(handler, method)


def status_of(error: CohortLensError) -> status_pb2.Status:
    """The status of a refusal: code, sentence, reason, faulty fields, when to try again."""
    status = status_pb2.Status(code=int(error.code), message=error.message)
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=_DOMAIN, metadata=error.metadata)
    status.details.add().Pack(info)
    if error.violations:
        bad = error_details_pb2.BadRequest()
        for one in error.violations[:50]:
            bad.field_violations.add(field=one.field, description=one.description)
        status.details.add().Pack(bad)
    if error.retry_delay_s is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(round(error.retry_delay_s * 1e9))
        status.details.add().Pack(retry)
    return status


def _refusing(handler: Any, method: str) -> Any:
    """A handler of the same form for callers without the token: it takes their bytes as they are."""

    async def refuse(_request: Any, context: Any) -> None:
        await _refuse(TokenInvalid(), method, context)

    return _maker(handler)(refuse, None, handler.response_serializer)


def _traced(handler: Any, path: str, parent: str) -> Any:
    """The handler with a span of its caller's trace around it."""

    async def one(request: Any, context: Any) -> Any:
        with tracing.span(path[1:], Kind.SERVER, tracing.rpc(path), parent=parent, faults=False) as span:
            try:
                answer = await handler.unary_unary(request, context)
            except Exception as error:
                code = error.code if isinstance(error, CohortLensError) else Code.INTERNAL
                if span is not None:
                    span.set("rpc.response.status_code", code.name)
                    span.set("error.type", getattr(error, "reason", type(error).__name__))
                    if code in _FAULTS:
                        span.fail(code.name)
                raise
            if span is not None:
                span.set("rpc.response.status_code", "OK")
            return answer

    return grpc.unary_unary_rpc_method_handler(one, handler.request_deserializer, handler.response_serializer)


def _wrapped(handler: Any, method: str) -> Any:
    async def one(request: Any, context: Any) -> Any:
        try:
            inner = handler.stream_unary if handler.request_streaming else handler.unary_unary
            answer = await inner(request, context)
        except Exception as error:
            await _refuse(error, method, context)
        CALLS.labels(method, "OK").inc()
        return answer

    async def many(request: Any, context: Any) -> AsyncIterator[Any]:
        try:
            inner = handler.stream_stream if handler.request_streaming else handler.unary_stream
            async for part in inner(request, context):
                yield part
        except Exception as error:
            await _refuse(error, method, context)
        CALLS.labels(method, "OK").inc()

    behavior = many if handler.response_streaming else one
    return _maker(handler)(behavior, handler.request_deserializer, handler.response_serializer)


def _maker(handler: Any) -> Callable[..., Any]:
    makers: dict[tuple[bool, bool], Callable[..., Any]] = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    return makers[handler.request_streaming, handler.response_streaming]


async def _refuse(error: Exception, method: str, context: Any) -> NoReturn:
    if isinstance(error, grpc.aio.AbortError | grpc.aio.BaseError):
        raise error
    if not isinstance(error, CohortLensError):
        _log.exception("call_failed", method=method)
        error = Internal("The sidecar failed to answer; its log says why.")
    status = status_of(error)
    CALLS.labels(method, error.reason).inc()
    await context.abort(
        _CODES[int(error.code)],
        error.message,
        trailing_metadata=((_STATUS_KEY, status.SerializeToString()),),
    )
    raise AssertionError("unreachable")
