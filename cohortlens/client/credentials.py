"""How a program proves who it is, and where its tokens are kept."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias


@dataclass(frozen=True)
class ApiKey:
    """A key of the tenant, or any other token that is used as it stands.

    Attributes:
        key: The key.
    """

    key: str = field(repr=False)


@dataclass(frozen=True)
class Password:
    """A user's log-in.

    Attributes:
        email: Log-in name.
        password: Password.
        totp: Code of the authenticator app or a recovery code, for a user who has one; good for one log-in.
        tenant: Tenant to act for; needed only by a user of several.
    """

    email: str
    password: str = field(repr=False)
    totp: str = field(default="", repr=False)
    tenant: str = ""


TokenSource: TypeAlias = Callable[[], Awaitable[str]]
"""Gives a token that is good now; asked before every call."""

Credentials: TypeAlias = ApiKey | Password | TokenSource


@dataclass(frozen=True)
class Tokens:
    """The tokens of a session.

    Attributes:
        access_token: Goes with each call.
        refresh_token: Is exchanged for the next pair, once.
        expires_at: Unix time in seconds at which the access token expires.
    """

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_at: float


class TokenStore(Protocol):
    """Keeps the tokens of one session, for every client that is given it."""

    def load(self) -> Tokens | None:
        """The stored tokens, if any."""

    def save(self, tokens: Tokens) -> None:
        """Store tokens in place of what is there."""

    def exclusive(self) -> AbstractContextManager[object]:
        """Held while tokens are exchanged: a refresh token is good once, nobody else may use it."""


class MemoryTokenStore:
    """Keeps tokens in this process; clients in several threads may share one."""

    def __init__(self) -> None:
        self._tokens: Tokens | None = None
        self._lock = threading.Lock()

    def load(self) -> Tokens | None:
        """The stored tokens, if any."""
        return self._tokens

    def save(self, tokens: Tokens) -> None:
        """Store tokens in place of what is there."""
        self._tokens = tokens

    def exclusive(self) -> AbstractContextManager[object]:
        """Held while tokens are exchanged."""
        return self._lock


class FileTokenStore:
    """Keeps tokens in a file that only its owner may read; processes may share one.

    Args:
        path: The file; its folder must exist. A second file beside it, ``<name>.lock``, orders the processes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Tokens | None:
        """The stored tokens; None when there is no file, or none of this form."""
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            tokens = Tokens(found["access_token"], found["refresh_token"], float(found["expires_at"]))
        except (FileNotFoundError, KeyError, TypeError, ValueError):
            # Whatever lies there is no session: a log-in makes a new one.
            return None
        return tokens

    def save(self, tokens: Tokens) -> None:
        """Store tokens in place of what is there, whole or not at all."""
        beside = self._path.with_name(f"{self._path.name}.{os.getpid()}.{threading.get_ident()}")
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(asdict(tokens), file)
        beside.replace(self._path)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Held while tokens are exchanged; waits for other processes."""
        lock = self._path.with_name(f"{self._path.name}.lock")
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)
