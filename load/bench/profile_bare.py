"""The floor of every figure: the same bytes in and out on the same server, and nothing of ours."""

from __future__ import annotations

from typing import Any

from gateway.grpc.server import AsgiApp


def bare_echo(door: str, body: bytes) -> AsgiApp:
    """An ASGI application that reads the request and sends ``body``.

    Args:
        door: ``grpc`` (with trailers) or ``http``.
        body: What the real door answers.
    """
    is_grpc = door == "grpc"
    kind = b"application/grpc" if is_grpc else b"application/json"
    headers = [(b"content-type", kind)]
    if not is_grpc:
        headers.append((b"content-length", str(len(body)).encode()))
    start = {"type": "http.response.start", "status": 200, "headers": headers, "trailers": is_grpc}
    trailers = {"type": "http.response.trailers", "headers": [(b"grpc-status", b"0")]}

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        more = True
        while more:
            more = (await receive()).get("more_body", False)
        await send(start)
        await send({"type": "http.response.body", "body": body})
        if is_grpc:
            await send(trailers)

    return app
