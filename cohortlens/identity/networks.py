"""Networks and addresses: where a credential may be used from, and what is counted as one caller."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

from cohortlens.identity.models import field_fault

Network: TypeAlias = IPv4Network | IPv6Network
Address: TypeAlias = IPv4Address | IPv6Address
_MAPPED = IPv6Network("::ffff:0:0/96")
_MAPPED_BITS = 96
_HASH_DIGITS = 16


def networks(texts: Sequence[str], field: str) -> tuple[Network, ...]:
    """The networks written as ``texts``, each once, in order; a single address is a network of one.

    Args:
        texts: CIDR, such as ``192.0.2.0/24``, or addresses.
        field: Field to name in a fault.

    Raises:
        InvalidArgument: FIELD_INVALID naming the item.
    """
    found: dict[Network, None] = {}
    for at, text in enumerate(texts):
        try:
            if text != text.strip() or "%" in text:
                raise ValueError
            one = _unmapped(ip_network(text, strict=True))
        except ValueError:
            raise field_fault(
                f"{field}[{at}]",
                "must be an IPv4 or IPv6 address or network in CIDR form with no bits set behind the prefix,"
                " such as 192.0.2.0/24",
            ) from None
        found[one] = None
    return tuple(found)


def holds(allowed: Iterable[Network], address: str) -> bool:
    """Whether an address lies in one of the networks; an address that cannot be read lies in none."""
    one = read_address(address)
    return one is not None and any(one in network for network in allowed)


@lru_cache(16_384)
def network_of(address: str) -> str:
    """What is counted as one caller: an IPv4 address, or the /64 of an IPv6 one; other texts hashed."""
    one = read_address(plain_host(address))
    if one is None:
        return hashlib.sha256(address.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_DIGITS]
    return str(ip_network((one, 64), strict=False)) if isinstance(one, IPv6Address) else str(one)


def plain_host(text: str) -> str:
    """An address without the port, brackets and quotes that gRPC and proxies write around it."""
    host = text.strip().strip('"')
    for family in ("ipv4:", "ipv6:"):
        host = host.removeprefix(family)
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0] if host.count(":") == 1 else host


@lru_cache(4096)
def read_address(text: str) -> Address | None:
    """An address, IPv4 also where it is written as IPv6; None for any other text."""
    try:
        # A zone names an interface of this host, not the peer.
        one = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    # A socket for both families shows IPv4 peers as ::ffff:192.0.2.7.
    return (one.ipv4_mapped or one) if isinstance(one, IPv6Address) else one


def _unmapped(network: Network) -> Network:
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        mapped = network.network_address.ipv4_mapped
        return IPv4Network((int(mapped or 0), network.prefixlen - _MAPPED_BITS))
    return network
