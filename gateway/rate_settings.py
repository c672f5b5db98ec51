"""Settings of the rate limits, and the one text form of a limit: ``60/60s;burst=30``."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields
from ipaddress import IPv4Network, IPv6Network, ip_network

from cohortlens.core.config import Duration, setting

_FORM = re.compile(r"(\d{1,9})/(\d{1,6}(?:\.\d{1,3})?)(ms|s|m|h)?(?:;burst=(\d{1,9}))?", re.ASCII)
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_FASTEST = 1_000_000
SHADOWED = (
    "public",
    "auth_sensitive",
    "auth_refresh",
    "pending_auth",
    "read",
    "write",
    "inference",
    "bulk",
    "internal",
    "platform",
)
"""Names of the limits that can be told only to count."""


@dataclass(frozen=True, slots=True)
class Limit:
    """So much in so long.

    Attributes:
        quota: Units in a window.
        window_s: The window, seconds.
        burst: Units that may be used at once after a rest.
    """

    quota: float
    window_s: float
    burst: int

    @property
    def rate(self) -> float:
        """Units a second."""
        return self.quota / self.window_s

    @classmethod
    def parse(cls, text: str) -> Limit:
        """Read ``60/60s;burst=30``; without a burst it is the quota.

        Raises:
            ValueError: Not of this form, nothing at all, or more than a million units a second.
        """
        match = _FORM.fullmatch(text.replace(" ", ""))
        if match is None:
            raise ValueError("expected units/window;burst=units, such as 60/60s;burst=30")
        quota, window_s = int(match[1]), float(match[2]) * _UNITS_S[match[3] or "s"]
        burst = quota if match[4] is None else int(match[4])
        if quota < 1 or burst < 1 or window_s <= 0:
            raise ValueError("expected a quota, a window and a burst above zero")
        if quota / window_s > _FASTEST:
            raise ValueError("expected at most 1,000,000 units a second")
        return cls(quota, window_s, burst)

    @classmethod
    def per_second(cls, rate: float, burst_s: float = 4.0) -> Limit:
        """The limit of a plan: a rate, and at once as much as it gives in ``burst_s`` seconds."""
        return cls(rate, 1.0, max(1, math.floor(rate * burst_s)))

    def part(self, ratio: float) -> Limit:
        """A part of it, of at least one unit at once."""
        return Limit(self.quota * ratio, self.window_s, max(1, math.floor(self.burst * ratio)))


@dataclass(frozen=True)
class RateSettings:
    """How fast callers may call; what plans give is in the catalogue."""

    rate_public: str = setting(
        "RATE_PUBLIC", "60/60s;burst=30", "calls of class public from one address (IPv6: one /64)"
    )
    rate_auth_sensitive: str = setting(
        "RATE_AUTH_SENSITIVE", "30/60s", "calls from one address that check a password or another secret"
    )
    rate_auth_refresh: str = setting("RATE_AUTH_REFRESH", "30/60s", "refreshes of one session")
    rate_auth_refresh_address: str = setting(
        "RATE_AUTH_REFRESH_ADDRESS", "150/300s", "calls from one address that exchange tokens"
    )
    rate_pending_auth: str = setting(
        "RATE_PENDING_AUTH", "60/60s", "calls with one credential that this process has not verified yet"
    )
    rate_pending_auth_address: str = setting(
        "RATE_PENDING_AUTH_ADDRESS", "300/60s", "calls from one address with such credentials or with none"
    )
    rate_platform: str = setting("RATE_PLATFORM", "10/1s", "calls of one person of the platform's staff")
    rate_internal: int = setting(
        "RATE_INTERNAL", 64, "calls of class internal under way at once from one program"
    )
    rate_webhook_in: int = setting("RATE_WEBHOOK_IN", 16, "incoming webhooks under way at once in a process")
    rate_read: str = setting(
        "RATE_READ", "", "calls of class read of one tenant, whatever its plan; the plan's when unset"
    )
    rate_write: str = setting("RATE_WRITE", "", "the same of class write")
    rate_inference: str = setting("RATE_INFERENCE", "", "cost units of class inference, likewise")
    rate_bulk: int | None = setting("RATE_BULK", None, "calls of class bulk under way at once, likewise")
    rate_shadow: str = setting(
        "RATE_SHADOW", "", "limits that only count and refuse nothing, such as read,write; none when unset"
    )
    rate_redis_timeout: Duration = setting(
        "RATE_REDIS_TIMEOUT", Duration(0.5), "longest wait for Redis before a process limits for itself"
    )
    trusted_proxies: str = setting(
        "TRUSTED_PROXIES",
        "",
        "networks of proxies whose X-Forwarded-For is believed, CIDR separated by commas; none when unset",
    )

    def shadowed(self) -> frozenset[str]:
        """Names of the limits that only count."""
        return frozenset(self.rate_shadow.replace(",", " ").split())

    def rate_faults(self) -> list[str]:
        """What of the rate limits cannot work, one sentence each."""
        faults = []
        for field in fields(RateSettings):
            name, value = field.metadata["setting"], getattr(self, field.name)
            is_rule = isinstance(field.default, str) and "/" in (field.default or "/")
            if is_rule and name.startswith("COHORTLENS_RATE_") and field.name != "rate_shadow" and value:
                faults += _rule_fault(name, value)
            elif isinstance(value, int) and value < 1:
                faults.append(f"{name}={value}: expected 1 or more")
        unknown = sorted(self.shadowed() - set(SHADOWED))
        if unknown:
            known = ", ".join(SHADOWED)
            faults.append(f"COHORTLENS_RATE_SHADOW: no limit is called {unknown[0]!r}; they are {known}")
        if self.rate_redis_timeout <= 0:
            faults.append("COHORTLENS_RATE_REDIS_TIMEOUT: expected a duration above zero")
        try:
            proxy_networks(self.trusted_proxies)
        except ValueError as fault:
            faults.append(f"COHORTLENS_TRUSTED_PROXIES: {fault}")
        return faults


def proxy_networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """The networks of the setting ``COHORTLENS_TRUSTED_PROXIES``.

    Raises:
        ValueError: One of them is none; the message names it.
    """
    found = []
    for one in text.replace(",", " ").split():
        try:
            found.append(ip_network(one, strict=True))
        except ValueError:
            raise ValueError(
                f"{one!r} is no network; expected CIDR with no bits set behind the prefix, such as 10.0.0.0/8"
            ) from None
    return tuple(found)


def _rule_fault(name: str, value: str) -> list[str]:
    try:
        Limit.parse(value)
    except ValueError as fault:
        return [f"{name}={value!r}: {fault}"]
    return []
