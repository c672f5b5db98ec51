"""The doors of Connect and gRPC-Web over the echo service, and how their frames are read."""

from gateway.http.routes import RouteTable
from gateway.http.rpc import Served
from gateway.http.rpc_doors import RpcDoors
from tests.fakes.echo import EchoServicer, echo_chain
from tests.unit.gateway.http.support import Client


def echo_client(servicer=None, version="2"):
    """A client of a door over the echo service, in a version of HTTP."""
    doors = RpcDoors(Served(echo_chain(servicer or EchoServicer()), RouteTable()))

    def app(scope, receive, send):
        return doors({**scope, "http_version": version}, receive, send)

    return Client(app)


def framed(message, flag=0):
    """A message in its frame."""
    return bytes([flag]) + len(message).to_bytes(4, "big") + message


def frames(body):
    """The frames of a body as (flag, bytes)."""
    found = []
    while body:
        size = int.from_bytes(body[1:5], "big")
        assert len(body) >= 5 + size
        found.append((body[0], body[5 : 5 + size]))
        body = body[5 + size :]
    return found
