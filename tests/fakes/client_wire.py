"""A connection of the client that answers from a script, and a clock that only sleeping moves."""

from cohortlens.client.calls import Caller, CallOptions
from cohortlens.client.errors import ApiError, api_error
from cohortlens.client.retries import Retries, service_config


def fault(code, reason=None, delay_s=None):
    error = api_error(code, "scripted")
    error.reason, error.retry_delay_s = reason or code, delay_s
    return error


class FakeWire:
    """Answers each attempt with the next entry of ``script``: messages, bytes or a failure.

    For streams an entry is a list: messages, and a failure at the end if it breaks.
    """

    def __init__(self, *script):
        self.script, self.sent, self.before, self.closed = list(script), [], {}, 0

    def _next(self, path, request, timeout_s, metadata, seen):
        self.sent.append((path, request, timeout_s, dict(metadata)))
        answer = self.script.pop(0)
        if not isinstance(answer, ApiError):
            seen(self.before)
        return answer

    async def unary(self, path, request, timeout_s, metadata, seen):
        answer = self._next(path, request, timeout_s, metadata, seen)
        if callable(answer):
            answer = await answer()
        if isinstance(answer, ApiError):
            raise answer
        return bytes(answer)

    async def stream(self, path, request, timeout_s, metadata, seen):
        try:
            for one in self._next(path, request, timeout_s, metadata, seen):
                if isinstance(one, ApiError):
                    raise one
                yield bytes(one)
        finally:
            self.closed += 1

    async def upload(self, path, requests, timeout_s, metadata, seen):
        bodies = [one async for one in requests]
        answer = self._next(path, bodies, timeout_s, metadata, seen)
        if isinstance(answer, ApiError):
            raise answer
        return bytes(answer)

    async def converse(self, path, requests, timeout_s, metadata, seen):
        bodies = [one async for one in requests]
        for one in self._next(path, bodies, timeout_s, metadata, seen):
            yield bytes(one)

    async def close(self):
        self.closed += 1


class FakeTime:
    """Seconds that pass by sleeping alone."""

    def __init__(self):
        self.now, self.slept = 1000.0, []

    def clock(self):
        return self.now

    async def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


def caller(wire, signer=None, **options):
    """A Caller over ``wire`` without jitter, and its clock."""
    time = FakeTime()
    retries = Retries(service_config(), chance=lambda: 0.5)
    return Caller(wire, signer, retries, CallOptions(clock=time.clock, sleep=time.sleep, **options)), time
