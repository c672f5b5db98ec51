"""The services of the settings, and whether their addresses may be spoken to."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from cohortlens.core.config import SettingsInvalid
from sidecars.web3.config import Web3Config
from sidecars.web3.pinning.backends import Backend
from sidecars.web3.pinning.kubo import KuboBackend
from sidecars.web3.pinning.pinata import PinataBackend
from sidecars.web3.pinning.pinning_service import PinningServiceBackend

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
    for name in dict.fromkeys(config.backends):
        if name == "kubo":
            made.append(KuboBackend(str(config.ipfs_url), config.ipfs_auth.reveal()))
        elif name == "pinning-service":
            made.append(
                PinningServiceBackend(str(config.ipfs_service_url), config.ipfs_service_token.reveal())
            )
        elif name == "pinata":
            made.append(PinataBackend(config.ipfs_pinata_token.reveal(), str(config.ipfs_pinata_url)))
    return made


def service_faults(config: Web3Config) -> list[str]:
    """One sentence for each address or credential that cannot be used."""
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
