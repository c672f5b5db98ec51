"""When a call is sent again: the service config, read; back-off; the throttle of all calls of a client.

Source: gRFC A6 (client retries), the part of it that ``service_config.json`` uses. gRPC's own retries are
off: they do not know RetryInfo, by which the service says when.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from cohortlens.client.errors import ApiError

_NEVER = frozenset({"QUOTA_EXCEEDED"})
_DETAILED_ATTEMPTS = 4
_JITTER = 0.2


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how fast a method is repeated.

    Attributes:
        attempts: Calls altogether, the first one counted.
        first_s: Seconds before the first repeat.
        most_s: Longest wait in seconds.
        factor: How much longer each wait is than the one before.
        codes: Canonical codes that are worth a repeat.
    """

    attempts: int
    first_s: float
    most_s: float
    factor: float
    codes: frozenset[str]

    def wait_s(self, attempt: int, jitter: float) -> float:
        """Seconds before the repeat that follows ``attempt`` (1 is the first call); jitter in -1..1."""
        return min(self.first_s * self.factor ** (attempt - 1), self.most_s) * (1 + _JITTER * jitter)


class Throttle:
    """Stops repeats while more than half of the last calls failed; shared by all calls of a client.

    Args:
        most: Tokens at the start; repeats stop at half of them.
        ratio: Tokens that each success brings back.
    """

    def __init__(self, most: float, ratio: float) -> None:
        self._tokens = self._most = most
        self._ratio = ratio

    def succeeded(self) -> None:
        """A call got an answer that is not worth a repeat."""
        self._tokens = min(self._most, self._tokens + self._ratio)

    def failed(self) -> bool:
        """A call failed in a way that is worth a repeat; answers whether repeats are allowed."""
        self._tokens = max(0.0, self._tokens - 1)
        return self._tokens > self._most / 2


class Retries:
    """Decides on repeats for all calls of a client.

    Args:
        config: A service config in JSON's form.
        chance: Gives numbers from 0 to 1.
    """

    def __init__(self, config: Mapping[str, Any], chance: Callable[[], float] = random.random) -> None:
        self._policies = {
            f"/{name['service']}/{name['method']}": _policy(group["retryPolicy"])
            for group in config["methodConfig"]
            for name in group["name"]
        }
        throttling = config["retryThrottling"]
        self._throttle = Throttle(throttling["maxTokens"], throttling["tokenRatio"])
        self._chance = chance

    def succeeded(self) -> None:
        """A call was answered."""
        self._throttle.succeeded()

    def wait_s(self, path: str, error: ApiError, attempt: int) -> float | None:
        """Seconds to wait before the call is sent again; None when it is not.

        Args:
            path: The method.
            error: How attempt number ``attempt`` failed.
            attempt: Calls so far, at least 1.
        """
        policy = self._policies.get(path)
        if policy is not None and error.code in policy.codes:
            allowed = self._throttle.failed() and attempt < policy.attempts
            wait_s = policy.wait_s(attempt, 2 * self._chance() - 1)
            return max(wait_s, error.retry_delay_s or 0.0) if allowed else None
        # The service names a time only where it did nothing, so any method may come again after it.
        if error.retry_delay_s is not None and error.reason not in _NEVER and attempt < _DETAILED_ATTEMPTS:
            return error.retry_delay_s
        if error.code != "UNAVAILABLE":
            self._throttle.succeeded()
        return None


def _policy(given: Mapping[str, Any]) -> RetryPolicy:
    return RetryPolicy(
        attempts=given["maxAttempts"],
        first_s=float(given["initialBackoff"].removesuffix("s")),
        most_s=float(given["maxBackoff"].removesuffix("s")),
        factor=given["backoffMultiplier"],
        codes=frozenset(given["retryableStatusCodes"]),
    )


def service_config() -> dict[str, Any]:
    """The service config of the API, as it was when this client was made."""
    text = (files("cohortlens.client._generated") / "service_config.json").read_text(encoding="utf-8")
    config: dict[str, Any] = json.loads(text)
    return config
