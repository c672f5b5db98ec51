"""Fetches a stranger's DID document or status list, and nothing else that an address could be made to reach.

Only hosts of an allow-list, https (plain http for ``localhost`` with a port where that is switched on), no
redirects, public addresses, and the connection goes to the very address that was checked: a name that
resolves anew between check and connect finds nothing (OWASP: server-side request forgery, DNS rebinding).
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

TIMEOUT_S = 3.0
_LOCAL = "localhost"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Lookup = Callable[[str, int], Awaitable[list[str]]]


class FetchError(Exception):
    """It could not be fetched; the text says why, for the log only."""


class NotAllowedError(FetchError):
    """The host is not on the list, or its address is not public."""


@dataclass(frozen=True)
class Fetcher:
    """Fetches over https from allowed hosts.

    Attributes:
        allowed: Hosts, ``name`` or ``name:port``, lower case.
        is_local_allowed: Whether ``localhost:<port>`` of the list may be asked, over plain http.
        lookup: Finds the addresses of a host.
        is_askable: Whether an address may be asked; tests with a server of their own pass another one.
        tls: Whom to trust; None for the authorities of this machine.
    """

    allowed: frozenset[str]
    is_local_allowed: bool = False
    lookup: Lookup | None = None
    is_askable: Callable[[Address], bool] = field(default_factory=lambda: is_public)
    tls: ssl.SSLContext | None = None

    async def get(self, host: str, port: int | None, path: str, max_bytes: int) -> bytes:
        """The body of one document.

        Args:
            host: Lower-case name.
            port: None for that of the scheme.
            path: Path on the host, with its leading slash.
            max_bytes: Longest body that is read.

        Raises:
            NotAllowedError: Host or address may not be asked.
            FetchError: It did not answer 200 with such a body in 3 seconds.
        """
        authority = host if port is None else f"{host}:{port}"
        if authority not in self.allowed:
            raise NotAllowedError("the host is not on the allow-list")
        is_local = host == _LOCAL
        if is_local and not (self.is_local_allowed and port is not None):
            raise NotAllowedError("this machine may not be asked")
        scheme = "http" if is_local else "https"
        try:
            async with asyncio.timeout(TIMEOUT_S):
                addresses = await self._addresses(host, port or 443, is_local=is_local)
                return await _read(f"{scheme}://{authority}{path}", addresses, max_bytes, self.tls)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as fault:
            raise FetchError(type(fault).__name__) from fault

    async def _addresses(self, host: str, port: int, *, is_local: bool) -> list[str]:
        found = await (self.lookup or _look_up)(host, port)
        if not found:
            raise FetchError("the host has no address")
        for address in found:
            at = ipaddress.ip_address(address)
            if not (at.is_loopback if is_local else self.is_askable(at)):
                # One private address among public ones is how a name is turned against its asker.
                raise NotAllowedError("the host has an address that is not public")
        return found


def is_public(address: Address) -> bool:
    """Whether an address is one of the open network, also inside IPv6 forms that carry an IPv4 address."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        # 64:ff9b::/96 is the well-known prefix of NAT64 (RFC 6052), which the library takes for global.
        if inner is None and address in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast


async def _look_up(host: str, port: int) -> list[str]:
    rows = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(row[4][0]) for row in rows))


async def _read(url: str, addresses: list[str], max_bytes: int, tls: ssl.SSLContext | None) -> bytes:
    connector = aiohttp.TCPConnector(
        resolver=_Pinned(addresses), use_dns_cache=False, force_close=True, ssl=tls or True
    )
    headers = {
        "accept": "application/did+json, application/vc, application/json",
        "accept-encoding": "identity",
    }
    async with (
        aiohttp.ClientSession(connector=connector, auto_decompress=False, trust_env=False) as session,
        session.get(url, allow_redirects=False, headers=headers) as response,
    ):
        if response.status != 200 or "content-encoding" in response.headers:
            raise FetchError(f"answered {response.status}")
        body = bytearray()
        async for piece in response.content.iter_chunked(64 * 1024):
            body += piece
            if len(body) > max_bytes:
                raise FetchError("the body is too long")
        return bytes(body)


class _Pinned(AbstractResolver):
    """Answers the addresses that were checked, whatever the name resolves to by now."""

    def __init__(self, addresses: list[str]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The checked addresses of the asked family; all of them when any will do."""
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._addresses
            if family == socket.AF_UNSPEC or (family == socket.AF_INET6) == (":" in address)
        ]

    async def close(self) -> None:
        """Nothing is open."""
