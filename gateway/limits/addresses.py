"""Whose address a call comes from when it comes through proxies.

Proxies that are trusted say in ``X-Forwarded-For`` whom they speak for, each adding the address it saw at the
end. So the right-most entry that is no trusted proxy is the caller; what stands before it is hearsay.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from cohortlens.identity.networks import plain_host, read_address
from gateway.rate_settings import proxy_networks


class TrustedProxies:
    """Finds the caller's address behind proxies.

    Args:
        text: Networks of the proxies, CIDR or single addresses, separated by commas or spaces.

    Raises:
        ValueError: One of them is none; the message names it.
    """

    def __init__(self, text: str = "") -> None:
        self._networks = proxy_networks(text)
        self._is_trusted = lru_cache(4096)(self._holds)

    def __bool__(self) -> bool:
        """Whether any proxy is trusted."""
        return bool(self._networks)

    def caller(self, peer: str, forwarded: Sequence[str]) -> str:
        """The address a call comes from.

        Args:
            peer: Address of the connection's other end.
            forwarded: Values of ``x-forwarded-for``, in order.

        Returns:
            ``peer`` unless it is a trusted proxy; else the right-most entry that is none. The left-most one
            when all are; the proxy that wrote it when an entry is no address.
        """
        if not self._networks or not self._is_trusted(peer):
            return peer
        found = peer
        for entry in reversed([one for value in forwarded for one in value.split(",")]):
            address = read_address(plain_host(entry))
            if address is None:
                return found
            found = str(address)
            if not self._is_trusted(found):
                return found
        return found

    def _holds(self, address: str) -> bool:
        one = read_address(address)
        return one is not None and any(one in network for network in self._networks)
