"""Credentials as a part of the sidecar: opened with the settings, run in the background, asked for health."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from cohortlens.core.clock import now
from cohortlens.core.config import SettingsInvalid
from cohortlens.core.telemetry import get_logger
from sidecars.web3.config import Web3Config
from sidecars.web3.credentials.canonical import RdfCanonicalizer
from sidecars.web3.credentials.contexts import Contexts, bundled
from sidecars.web3.credentials.did import read_web_did, web_did
from sidecars.web3.credentials.documents import CONSENT_CONTEXT
from sidecars.web3.credentials.fetching import Fetcher
from sidecars.web3.credentials.issuer import CredentialIssuer
from sidecars.web3.credentials.keys import Issuers
from sidecars.web3.credentials.own_lists import OwnLists
from sidecars.web3.credentials.refusals import RefusedError
from sidecars.web3.credentials.resolution import MethodResolver
from sidecars.web3.credentials.status_list import StatusLists
from sidecars.web3.credentials.statuses import StatusReader
from sidecars.web3.credentials.verifier import Verifier
from sidecars.web3.journal.pool import Journal
from sidecars.web3.sealing import Kek

_THREADS = 4
_VERIFYING = 2
"""Threads of verification: strangers ask for it, and what they send must not hold up an issue or a list."""
_LOG = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CredentialsHealth:
    """How credentials are.

    Attributes:
        mode: ``did:key`` or ``did:web``.
        status: ``ok`` or ``degraded``.
        detail: One sentence for a person.
        waiting: Nothing: what is asked for is signed or refused at once.
    """

    mode: str
    status: str
    detail: str
    waiting: Mapping[str, int] = field(default_factory=dict)


class CredentialsArea:
    """Issuers, lists and the verifier, wired.

    Args:
        config: Hosts, addresses, npm packages.
        journal: The journal, open.
        kek: Seals keys.
        contexts: The closed set.
    """

    def __init__(self, config: Web3Config, journal: Journal, kek: Kek, contexts: Contexts) -> None:
        self._contexts = contexts
        self._mode = "did:web" if config.did_web_host else "did:key"
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="credentials")
        self._verifying = ThreadPoolExecutor(_VERIFYING, thread_name_prefix="verifying")
        is_local = config.environment != "production"
        canonicalizer = RdfCanonicalizer(contexts)
        self.issuers = Issuers(journal, kek, config.did_web_host, time.monotonic)
        self.lists = StatusLists(journal, self.issuers, canonicalizer, base_url(config), self._pool, now)
        own_lists = OwnLists(journal, time.monotonic)
        self.issuer = CredentialIssuer(
            journal, self.issuers, self.lists, canonicalizer, self._pool, now, own_lists.changed
        )
        methods = MethodResolver(self.issuers, Fetcher(config.did_web_hosts, is_local), time.monotonic)
        self.verifier = Verifier(contexts, canonicalizer, methods, self._verifying)
        self.statuses = StatusReader(own_lists, Fetcher(config.status_hosts, is_local), self.verifier)

    async def run(self) -> None:
        """Publish status lists until cancelled."""
        await self.lists.run()

    async def health(self) -> CredentialsHealth:
        """How credentials are; never raises."""
        if self._contexts.missing:
            missing = ", ".join(self._contexts.missing)
            told = f"credentials that name {missing} are refused: run make setup where npm is at hand"
            return CredentialsHealth(self._mode, "degraded", told)
        return CredentialsHealth(self._mode, "ok", f"issuers are {self._mode}")

    async def close(self) -> None:
        """Let the threads go; call it after ``run`` was cancelled."""
        await asyncio.to_thread(self._verifying.shutdown)
        await asyncio.to_thread(self._pool.shutdown)


async def open_credentials(config: Web3Config, journal: Journal, kek: Kek) -> CredentialsArea:
    """Open the issuers and check that every sealed key opens.

    Raises:
        KekMismatch: A key opens under none of the configured KEKs.
        AlteredContextError: A context file is not the one its publisher published.
        SettingsInvalid: The host cannot stand in a did:web.
    """
    contexts = bundled(config.node_modules, (CONSENT_CONTEXT,))
    area = CredentialsArea(config, journal, kek, contexts)
    resealed = await area.issuers.check_sealed()
    if resealed:
        _LOG.info("issuer_keys_resealed", count=resealed)
    return area


def base_url(config: Web3Config) -> str:
    """Where status lists are served: under the host of did:web, else where people reach the installation.

    ``Web3Config.faults`` has refused a configuration that knows neither.

    Raises:
        SettingsInvalid: The host cannot stand in a did:web.
    """
    if config.did_web_host:
        try:
            read_web_did(web_did(config.did_web_host))
        except RefusedError:
            raise SettingsInvalid(
                [
                    f"COHORTLENS_WEB3_DID_WEB_HOST={config.did_web_host}: expected a name such as "
                    "consent.example or consent.example:8443, in lower case"
                ]
            ) from None
        scheme = "http" if config.did_web_host.startswith("localhost:") else "https"
        return f"{scheme}://{config.did_web_host}"
    return config.public_url.rstrip("/")
