"""The doors of RPCs by their full name: gRPC-Web by content type, Connect for all else."""

from __future__ import annotations

from collections.abc import Awaitable

from gateway.http.body import Receive
from gateway.http.connect import ConnectDoor
from gateway.http.grpcweb import GrpcWebDoor, is_grpc_web
from gateway.http.replies import SendEvent
from gateway.http.requests import Scope
from gateway.http.rpc import Served, is_rpc


class RpcDoors:
    """An ASGI application for paths such as ``/cohortlens.v1.AnalyticsService/Predict``.

    Args:
        served: Chain and codecs.
    """

    def __init__(self, served: Served) -> None:
        self._connect, self._grpc_web = ConnectDoor(served), GrpcWebDoor(served)

    def has(self, path: str) -> bool:
        """Whether a path is the full name of a method, known or not."""
        return is_rpc(path)

    def methods(self, path: str) -> list[str]:
        """The HTTP methods that a raw path takes."""
        return self._connect.methods(path)

    def __call__(self, scope: Scope, receive: Receive, send: SendEvent) -> Awaitable[None]:
        """Answer one request."""
        return (self._grpc_web if is_grpc_web(scope) else self._connect)(scope, receive, send)
