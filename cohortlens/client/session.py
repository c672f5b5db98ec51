"""The token of each call: logs in, exchanges refresh tokens ahead of time, once for all who wait."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

from cohortlens.client._generated.cohortlens import v1
from cohortlens.client.credentials import (
    ApiKey,
    Credentials,
    MemoryTokenStore,
    Password,
    Tokens,
    TokenSource,
    TokenStore,
)
from cohortlens.client.errors import Unauthenticated

if TYPE_CHECKING:
    from cohortlens.client._generated.services import AuthService

RENEW_BEFORE_S = 60.0
_DEVICE = "cohortlens client"


class Signer(Protocol):
    """Gives the token of a call."""

    async def token(self) -> str:
        """A token that is good now.

        Raises:
            ApiError: There is none to be had.
        """

    def refused(self, token: str) -> bool:
        """The service no longer takes ``token``; answers whether the next one can be another."""


class FixedSigner:
    """One key for all calls."""

    def __init__(self, key: ApiKey) -> None:
        self._key = key

    async def token(self) -> str:
        """The key."""
        return self._key.key

    def refused(self, token: str) -> bool:
        """There is no other."""
        del token
        return False


class SourceSigner:
    """Asks a program for each token."""

    def __init__(self, source: TokenSource) -> None:
        self._source = source

    async def token(self) -> str:
        """What the program gives."""
        return await self._source()

    def refused(self, token: str) -> bool:
        """The program may give another."""
        del token
        return True


class Session:
    """A session of a user, logged in when it must be.

    Args:
        auth: The service of sessions, without credentials.
        login: Name and password; None when only stored tokens are to be used.
        store: Where the tokens are kept.
        clock: Unix time in seconds.
    """

    def __init__(
        self,
        auth: AuthService,
        login: Password | None,
        store: TokenStore,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._auth, self._login, self._store, self._clock = auth, login, store, clock
        self._refused: set[str] = set()
        self._renewal: asyncio.Task[Tokens] | None = None

    async def token(self) -> str:
        """An access token that is good for another minute."""
        tokens = self._store.load()
        if tokens is not None and self._is_good(tokens):
            return tokens.access_token
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._renew())
        # Who stops waiting must not take the exchange from the others: the refresh token is used up by then.
        return (await asyncio.shield(self._renewal)).access_token

    def refused(self, token: str) -> bool:
        """Forget an access token that the service no longer takes."""
        self._refused.add(token)
        return True

    def _is_good(self, tokens: Tokens) -> bool:
        return (
            tokens.access_token not in self._refused and tokens.expires_at - self._clock() >= RENEW_BEFORE_S
        )

    async def _renew(self) -> Tokens:
        held = _Held(self._store.exclusive())
        try:
            await asyncio.to_thread(held.enter)
            tokens = self._store.load()
            # Another client of the store may have been first.
            if tokens is None or not self._is_good(tokens):
                tokens = await self._exchanged(tokens)
                self._store.save(tokens)
                self._refused.clear()
            return tokens
        finally:
            held.leave()

    async def _exchanged(self, tokens: Tokens | None) -> Tokens:
        if tokens is not None and tokens.refresh_token:
            try:
                request = v1.RefreshSessionRequest(refresh_token=tokens.refresh_token)
                return self._kept((await self._auth.refresh_session(request)).tokens)
            except Unauthenticated:
                if self._login is None:
                    raise
        return await self._logged_in()

    async def _logged_in(self) -> Tokens:
        if self._login is None:
            raise Unauthenticated("CREDENTIALS_MISSING", "this call needs credentials and there are none")
        request = v1.CreateSessionRequest(
            email=self._login.email,
            password=self._login.password,
            totp=self._login.totp,
            tenant=self._login.tenant,
            device_name=_DEVICE,
        )
        return self._kept((await self._auth.create_session(request)).tokens)

    def _kept(self, pair: v1.TokenPair | None) -> Tokens:
        if pair is None:
            raise Unauthenticated("TOKENS_MISSING", "the service answered a log-in without tokens")
        return Tokens(pair.access_token, pair.refresh_token, self._clock() + pair.expires_in)


class _Held:
    """A store that a thread waits for; who gives up the wait does not keep it when it comes."""

    def __init__(self, held: AbstractContextManager[object]) -> None:
        self._held, self._lock = held, threading.Lock()
        self._entered = self._left = False

    def enter(self) -> None:
        """Wait for the store."""
        self._held.__enter__()
        with self._lock:
            self._entered = True
            if self._left:
                self._held.__exit__(None, None, None)

    def leave(self) -> None:
        """Give the store back, at once or as soon as it is there."""
        with self._lock:
            self._left = True
            if self._entered:
                self._held.__exit__(None, None, None)


def signer_of(credentials: Credentials | None, store: TokenStore | None, auth: AuthService) -> Signer:
    """What signs the calls of a client.

    Args:
        credentials: As the program gave them; None for public methods and stored sessions.
        store: Where a session is kept; in memory when None.
        auth: The service of sessions, without credentials.
    """
    if isinstance(credentials, ApiKey):
        return FixedSigner(credentials)
    if credentials is None or isinstance(credentials, Password):
        return Session(auth, credentials, store if store is not None else MemoryTokenStore())
    return SourceSigner(credentials)
