"""The services of the settings, and whether their addresses may be spoken to."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from cohortlens.core.config import SettingsInvalid
from sidecars.web3.config import Web3Config, names
from sidecars.web3.pinning.backends import Backend
from sidecars.web3.pinning.kubo import KuboBackend
from sidecars.web3.pinning.pinata import PinataBackend
from sidecars.web3.pinning.pinning_service import PinningServiceBackend

EMBEDDED, KUBO, SERVICE, PINATA = "embedded", "kubo", "pinning-service", "pinata"
_PREFIX = "COHORTLENS_WEB3_IPFS_"


def open_services(config: Web3Config) -> list[Backend]:
    """The services beside the embedded store, which is always in use, named or not.

    Raises:
        SettingsInvalid: An address or credential cannot be used; no secret is repeated.
    """
    faults = service_faults(config)
    if faults:
        raise SettingsInvalid(faults)
    made: list[Backend] = []
    for name in dict.fromkeys(names(config.ipfs_backends)):
        if name == KUBO:
            made.append(KuboBackend(str(config.ipfs_url), config.ipfs_auth.reveal()))
        elif name == SERVICE:
            made.append(
                PinningServiceBackend(str(config.ipfs_service_url), config.ipfs_service_token.reveal())
            )
        elif name == PINATA:
            made.append(PinataBackend(config.ipfs_pinata_token.reveal(), str(config.ipfs_pinata_url)))
    return made


def service_faults(config: Web3Config) -> list[str]:
    """One sentence for each setting of IPFS that is wrong or missing; none repeats a secret."""
    return _incomplete(config) + _unusable(config)


def _incomplete(config: Web3Config) -> list[str]:
    needed: Mapping[str, Mapping[str, str]] = {
        KUBO: {"URL": config.ipfs_url},
        SERVICE: {
            "SERVICE_URL": config.ipfs_service_url,
            "SERVICE_TOKEN": config.ipfs_service_token.reveal(),
        },
        PINATA: {"PINATA_TOKEN": config.ipfs_pinata_token.reveal()},
    }
    named = names(config.ipfs_backends)
    found = [
        f"{_PREFIX}BACKENDS={config.ipfs_backends}: {name} is none of {EMBEDDED}, {', '.join(needed)}"
        for name in named
        if name not in needed and name != EMBEDDED
    ]
    for name in dict.fromkeys(named):
        found += [
            f"{_PREFIX}{setting} is not set: PIN_BACKEND_INCOMPLETE: the backend {name} needs it"
            for setting, value in needed.get(name, {}).items()
            if not value
        ]
    if SERVICE in named and KUBO not in named:
        found.append(
            f"{_PREFIX}BACKENDS={config.ipfs_backends}: PIN_BACKEND_INCOMPLETE: a pinning service is told a "
            f"CID and fetches the content itself; name {KUBO} too, a node that it can reach"
        )
    return found


def _unusable(config: Web3Config) -> list[str]:
    found = [
        f"{_PREFIX}{name}: expected https://host/path, or http:// of a loopback address; "
        "credentials have settings of their own"
        for name, url in (
            ("URL", config.ipfs_url),
            ("SERVICE_URL", config.ipfs_service_url),
            ("PINATA_URL", config.ipfs_pinata_url),
        )
        if url and not _is_private_enough(str(url))
    ]
    auth = config.ipfs_auth.reveal()
    if auth and not (auth.partition(":")[0] and auth.partition(":")[2]):
        found.append(f"{_PREFIX}AUTH=****: expected id:secret")
    return found


def _is_private_enough(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname or "", parts.port
    except ValueError:
        return False
    if not host or parts.username is not None or parts.query or parts.fragment:
        return False
    if parts.scheme == "https":
        return True
    try:
        return parts.scheme == "http" and (host == "localhost" or ipaddress.ip_address(host).is_loopback)
    except ValueError:
        return False
