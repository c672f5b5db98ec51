"""``CohortLens``: the services of the API, asynchronous; ``CohortLens.sync`` gives them blocking."""

from __future__ import annotations

from typing import Any, Final

from cohortlens import __version__
from cohortlens.client._generated import blocking_services, services
from cohortlens.client.calls import Caller, CallOptions
from cohortlens.client.credentials import Credentials, TokenStore
from cohortlens.client.portal import Portal
from cohortlens.client.retries import Retries, service_config
from cohortlens.client.session import signer_of
from cohortlens.client.wire import GrpcWire, Tls, is_loopback

USER_AGENT: Final = f"cohortlens-python/{__version__}"


class CohortLens(services.Services):
    """A connection to the API; ``async with CohortLens(target, credentials) as client``.

    One attribute for each service (``client.analytics``), one method for each RPC, messages from
    ``cohortlens.client.v1``. Belongs to the event loop of its first call.

    Args:
        target: ``host:port`` of the gRPC port.
        credentials: ``ApiKey``, ``Password`` or a function that gives tokens; None for public methods and for
            a session that is in ``store``.
        tls: Encryption. When None it is on, except towards this machine (``localhost``, loopback addresses,
            Unix sockets). False turns it off: credentials then cross the network in the clear.
        store: Where the tokens of a session are kept; in memory when None.
        options: Deadlines and other things that all calls have in common.

    Raises:
        ValueError: ``target`` has no port.
    """

    def __init__(
        self,
        target: str,
        credentials: Credentials | None = None,
        *,
        tls: Tls | bool | None = None,
        store: TokenStore | None = None,
        options: CallOptions | None = None,
    ) -> None:
        if not target.startswith("unix:") and not target.rpartition(":")[2].isdigit():
            raise ValueError(f"target is host:port, such as api.example.com:443; found {target!r}")
        options = options or CallOptions()
        self._wire = GrpcWire(target, _encryption(target, tls), USER_AGENT)
        retries = Retries(service_config())
        nobody = Caller(self._wire, None, retries, options)
        signer = signer_of(credentials, store, services.AuthService(nobody))
        super().__init__(Caller(self._wire, signer, retries, options))
        self._target = target

    @classmethod
    def sync(
        cls,
        target: str,
        credentials: Credentials | None = None,
        *,
        tls: Tls | bool | None = None,
        store: TokenStore | None = None,
        options: CallOptions | None = None,
    ) -> BlockingCohortLens:
        """The same client for programs without an event loop; any number of threads may share it.

        Takes what the constructor takes.
        """
        return BlockingCohortLens(cls(target, credentials, tls=tls, store=store, options=options))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._target!r})"

    async def __aenter__(self) -> CohortLens:
        return self

    async def __aexit__(self, *raised: Any) -> None:
        await self.close()

    async def close(self) -> None:
        """Give up what is under way and close the connection."""
        await self._wire.close()


class BlockingCohortLens(blocking_services.Services):
    """A connection to the API whose methods wait; ``with CohortLens.sync(target, credentials) as client``.

    Args:
        client: Makes the calls, in a thread of its own.
    """

    def __init__(self, client: CohortLens) -> None:
        self._client, self._portal = client, Portal()
        super().__init__(self._portal, client)

    def __repr__(self) -> str:
        return f"{self._client!r}.sync"

    def __enter__(self) -> BlockingCohortLens:
        return self

    def __exit__(self, *raised: Any) -> None:
        self.close()

    def close(self) -> None:
        """Give up what is under way, close the connection and end the thread."""
        if self._portal.is_open:
            self._portal.run(self._client.close())
            self._portal.close()


def _encryption(target: str, tls: Tls | bool | None) -> Tls | None:
    if isinstance(tls, Tls):
        return tls
    wanted = not is_loopback(target) if tls is None else tls
    return Tls() if wanted else None
