"""What callers of the sidecar see when it does not answer."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from cohortlens.adapters.web3_channel import Web3Channel
from cohortlens.core.errors import Unavailable


async def test_a_sidecar_that_works_on_as_many_calls_as_it_can_take_is_asked_again_later():
    is_held, may_end = asyncio.Event(), asyncio.Event()

    class Slow(grpc.GenericRpcHandler):
        def service(self, _):
            return grpc.unary_unary_rpc_method_handler(self._answer)

        async def _answer(self, request, _):
            is_held.set()
            await may_end.wait()
            return request

    server = grpc.aio.server(handlers=(Slow(),), maximum_concurrent_rpcs=1)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    channel = Web3Channel(f"127.0.0.1:{port}", "token")
    method = channel.channel.unary_unary("/any/Method")
    first = asyncio.create_task(channel.ask(method, b"one"))
    await asyncio.wait_for(is_held.wait(), 10)
    with pytest.raises(Unavailable) as refused:
        await channel.ask(method, b"two")
    may_end.set()
    assert await first == b"one"
    await channel.close()
    await server.stop(0)
    assert (refused.value.reason, refused.value.retry_delay_s) == ("WEB3_UNAVAILABLE", 2.0)
