"""``Client``: the command line's channel to the API, which scripts of load and tests borrow.

It speaks with the server's own stubs, so no second set of message types runs beside them; programs of others
use ``cohortlens.client``. Synchronous on purpose: one attribute per service, a session that renews itself.
``with Client(target, credentials) as c: c.call(c.analytics.Predict, request)``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, TypeVar

import grpc

from cohortlens.cli.errors import ApiError, from_rpc_error
from cohortlens.v1 import (
    analytics_pb2,
    analytics_pb2_grpc,
    audit_pb2,
    audit_pb2_grpc,
    auth_pb2,
    auth_pb2_grpc,
    billing_pb2_grpc,
    consent_pb2_grpc,
    customers_pb2,
    customers_pb2_grpc,
    marketplace_pb2_grpc,
    models_pb2_grpc,
    rewards_pb2_grpc,
)

MessageT = TypeVar("MessageT")
RENEW_BEFORE_S = 60.0
CHUNK_BYTES = 256 * 1024
_OPTIONS = [("grpc.max_receive_message_length", 16 * 1024 * 1024), ("grpc.keepalive_time_ms", 30_000)]


@dataclass
class Tokens:
    """The access token in hand.

    Attributes:
        access_token: Bearer token.
        expires_at: Unix time at which it expires.
    """

    access_token: str = field(repr=False)
    expires_at: float


class TokenStore(Protocol):
    """Keeps tokens between processes."""

    def load(self) -> Tokens | None:
        """The stored tokens, if any."""

    def save(self, tokens: Tokens) -> None:
        """Store tokens."""


@dataclass(frozen=True)
class Credentials:
    """How a client proves who it is: log-in name and password of a user.

    Attributes:
        email: Log-in name.
        password: Password.
        totp: Code of the authenticator app or a recovery code, for a user who has one; works for one log-in.
    """

    email: str
    password: str = field(repr=False)
    totp: str = field(default="", repr=False)


class Client:
    """A connection to the API.

    Args:
        target: ``host:port`` of the gRPC door.
        credentials: Log-in; None for public methods only.
        timeout_s: Deadline of each call.
        store: Where tokens are kept between processes; in memory when None.
    """

    def __init__(
        self,
        target: str,
        credentials: Credentials | None = None,
        *,
        timeout_s: float = 30.0,
        store: TokenStore | None = None,
    ) -> None:
        self._channel = grpc.insecure_channel(target, options=_OPTIONS)
        self._credentials, self._timeout_s, self._store = credentials, timeout_s, store
        self._tokens = store.load() if store else None
        self._lock = threading.Lock()
        self.auth = auth_pb2_grpc.AuthServiceStub(self._channel)
        self.customers = customers_pb2_grpc.CustomersServiceStub(self._channel)
        self.analytics = analytics_pb2_grpc.AnalyticsServiceStub(self._channel)
        self.audit = audit_pb2_grpc.AuditServiceStub(self._channel)
        self.billing = billing_pb2_grpc.BillingServiceStub(self._channel)
        self.consent = consent_pb2_grpc.ConsentServiceStub(self._channel)
        self.rewards = rewards_pb2_grpc.RewardServiceStub(self._channel)
        self.market = marketplace_pb2_grpc.MarketplaceServiceStub(self._channel)
        self.models = models_pb2_grpc.ModelsServiceStub(self._channel)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()

    def call(
        self, method: Callable[..., MessageT], request: Any, *, timeout_s: float | None = None
    ) -> MessageT:
        """Call ``method`` with the session's token; renews the session once when the token is refused.

        Raises:
            ApiError: The service answered with an error or could not be reached.
        """
        try:
            return method(request, timeout=timeout_s or self._timeout_s, metadata=self._metadata())
        except grpc.RpcError as error:
            fault = from_rpc_error(error)
            if fault.code != "UNAUTHENTICATED" or self._credentials is None or not self._tokens:
                raise fault from None
        self._tokens = None
        try:
            return method(request, timeout=timeout_s or self._timeout_s, metadata=self._metadata())
        except grpc.RpcError as error:
            raise from_rpc_error(error) from None

    def access_token(self) -> str:
        """A token that is good for another minute at least, for tools that speak to the API themselves."""
        self._metadata()
        assert self._tokens is not None
        return self._tokens.access_token

    def public(self, method: Callable[..., MessageT], request: Any) -> MessageT:
        """Call a public method, without a token."""
        try:
            return method(request, timeout=self._timeout_s)
        except grpc.RpcError as error:
            raise from_rpc_error(error) from None

    def import_transactions(
        self, options: customers_pb2.ImportOptions, read: Callable[[int], bytes], *, timeout_s: float = 300.0
    ) -> customers_pb2.Import:
        """Upload a file of transactions; answers the stored import, whose work goes on in the background.

        Args:
            options: How to read the file.
            read: Gives the next bytes, at most as many as asked; empty at the end.
            timeout_s: Deadline of the upload.
        """
        message = customers_pb2.ImportTransactionsRequest
        reply = self._upload(self.customers.ImportTransactions, message, options, read, timeout_s)
        found: customers_pb2.Import = getattr(reply, "import")
        return found

    def upload_batch_input(
        self,
        options: analytics_pb2.BatchInputOptions,
        read: Callable[[int], bytes],
        *,
        timeout_s: float = 300.0,
    ) -> analytics_pb2.BatchInput:
        """Upload rows of features for ``PredictBatch``; answers the stored input, every row of it checked.

        Args:
            options: How to read the file.
            read: Gives the next bytes, at most as many as asked; empty at the end.
            timeout_s: Deadline of the upload.
        """
        message = analytics_pb2.UploadBatchInputRequest
        reply = self._upload(self.analytics.UploadBatchInput, message, options, read, timeout_s)
        found: analytics_pb2.BatchInput = reply.input
        return found

    def _upload(
        self,
        method: Callable[..., Any],
        message: Callable[..., Any],
        options: Any,
        read: Callable[[int], bytes],
        timeout_s: float,
    ) -> Any:
        def parts() -> Iterator[Any]:
            yield message(options=options)
            while chunk := read(CHUNK_BYTES):
                yield message(chunk=chunk)

        self._metadata()  # Log in first: a stream cannot be sent twice.
        try:
            return method(parts(), timeout=timeout_s, metadata=self._metadata())
        except grpc.RpcError as error:
            raise from_rpc_error(error) from None

    def download_batch_result(self, batch: str, *, timeout_s: float = 3600.0) -> Iterator[bytes]:
        """The bytes of a batch's Parquet file, piece by piece.

        Args:
            batch: Identifier of a batch that succeeded.
            timeout_s: Deadline of the download.
        """
        request = analytics_pb2.DownloadBatchResultRequest(batch=batch)
        try:
            for body in self.analytics.DownloadBatchResult(
                request, timeout=timeout_s, metadata=self._metadata()
            ):
                yield body.data
        except grpc.RpcError as error:
            raise from_rpc_error(error) from None

    def download_audit_export(self, export: str, *, timeout_s: float = 3600.0) -> Iterator[bytes]:
        """The bytes of an export of the audit log, piece by piece.

        Args:
            export: Identifier of an export that succeeded.
            timeout_s: Deadline of the download.
        """
        request = audit_pb2.DownloadAuditExportRequest(export=export)
        try:
            for body in self.audit.DownloadAuditExport(request, timeout=timeout_s, metadata=self._metadata()):
                yield body.data
        except grpc.RpcError as error:
            raise from_rpc_error(error) from None

    def _metadata(self) -> list[tuple[str, str]]:
        with self._lock:
            if self._credentials is None:
                raise ApiError("UNAUTHENTICATED", "CREDENTIALS_MISSING", "this call needs credentials")
            if self._tokens is None or self._tokens.expires_at - time.time() < RENEW_BEFORE_S:
                self._tokens = self._log_in(self._credentials)
                if self._store:
                    self._store.save(self._tokens)
            return [("authorization", f"Bearer {self._tokens.access_token}")]

    def _log_in(self, credentials: Credentials) -> Tokens:
        request = auth_pb2.CreateSessionRequest(
            email=credentials.email,
            password=credentials.password,
            totp=credentials.totp,
            device_name="cohortlens client",
        )
        tokens = self.public(self.auth.CreateSession, request).tokens
        return Tokens(tokens.access_token, time.time() + tokens.expires_in)
