"""What Locust loads: gevent's hook into grpcio must run before any channel exists."""

import grpc.experimental.gevent

grpc.experimental.gevent.init_gevent()

from load.users import GrpcUser, JsonUser  # noqa: E402 - after the hook

__all__ = ["GrpcUser", "JsonUser"]
