"""A bare gRPC echo over ASGI on h2corn: the floor of our own front."""

import asyncio
import sys
from typing import Any

import h2corn

HEADERS = [(b"content-type", b"application/grpc")]
TRAILERS = [(b"grpc-status", b"0")]


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer the request's own bytes with status OK."""
    if scope["type"] != "http":
        return
    parts, more = [], True
    while more:
        event = await receive()
        parts.append(event.get("body", b""))
        more = event.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS, "trailers": True})
    await send({"type": "http.response.body", "body": b"".join(parts)})
    await send({"type": "http.response.trailers", "headers": TRAILERS})


if __name__ == "__main__":
    config = h2corn.Config(bind=(f"127.0.0.1:{sys.argv[1]}",), grpc=True, lifespan="off", access_log=False)
    asyncio.run(h2corn.Server(app, config).serve())
