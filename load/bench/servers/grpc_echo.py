"""A bare grpc.aio server that answers each call with its own bytes: the floor of that transport."""

import sys

import grpc
from raw_grpc import serve


async def echo(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
    """The request's own bytes."""
    return request


if __name__ == "__main__":
    serve(int(sys.argv[1]), echo)
