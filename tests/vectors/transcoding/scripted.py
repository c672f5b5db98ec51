"""A servicer that answers what a case says and keeps what it was asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message

from cohortlens.core.errors import Code, CohortLensError
from tests.vectors.transcoding.schema import message_class

Replies = Callable[[type[Message]], Sequence[Message]]


class Scripted:
    """Serves every method of a service.

    Args:
        pool: Where the service is.
        service: Full name of the service.
        replies: Gives the replies of a method from the class of them; none: one empty message.
        fails: Code and message of the failure that comes before any reply.

    Attributes:
        called: Names of the methods that were called, in order.
        asked: The request messages, in order.
    """

    def __init__(
        self,
        pool: DescriptorPool,
        service: str,
        replies: Replies | None = None,
        fails: tuple[str, str] | None = None,
    ) -> None:
        self._pool, self._service = pool, pool.FindServiceByName(service)
        self._replies, self._fails = replies, fails
        self.called: list[str] = []
        self.asked: list[Message] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        method = self._service.methods_by_name[name]
        return self._stream(method) if method.server_streaming else self._unary(method)

    def _given(self, method: MethodDescriptor) -> list[Message]:
        self.called.append(method.name)
        if self._fails is not None:
            code, message = self._fails
            raise type("Scripted", (CohortLensError,), {"code": Code[code], "reason": "SCRIPTED"})(message)
        cls = message_class(self._pool, method.output_type.full_name)
        return list(self._replies(cls)) if self._replies is not None else []

    async def _take(self, method: MethodDescriptor, request: Any) -> None:
        if method.client_streaming:
            async for one in request:
                self.asked.append(one)
        else:
            self.asked.append(request)

    def _unary(self, method: MethodDescriptor) -> Any:
        async def answer(request: Any, call: Any) -> Message:
            await self._take(method, request)
            empty = message_class(self._pool, method.output_type.full_name)()
            return next(iter(self._given(method)), empty)

        return answer

    def _stream(self, method: MethodDescriptor) -> Any:
        async def answer(request: Any, call: Any) -> AsyncIterator[Message]:
            await self._take(method, request)
            for reply in self._given(method):
                yield reply

        return answer
