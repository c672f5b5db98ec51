"""Fields that lead from what a message names to the thing itself, fetched for a whole list in one call.

A message that names a customer has ``customerDetails``. What the items of a list ask for is gathered until
the list is through, then asked for at once: a document costs one call for each root field and one more for
each level of references, never one for each item. A reference runs the chain like any call: its caller needs
the right to it, and its objects count on the meter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from graphql import GraphQLField, GraphQLObjectType

from gateway.graphql.faults import Failed
from gateway.http.codec import Descriptor
from gateway.registry import MethodInfo, MethodTable


@dataclass(frozen=True, slots=True)
class Reference:
    """A kind of thing that messages name.

    Attributes:
        holders: Messages that name one.
        name: Field by which they do, a text.
        details: Field that leads to the thing.
        method: RPC that answers several by name.
        asks: Its argument: the names.
        answers: Field of its reply: the things, those that exist.
        key: Field of a thing that holds its name.
    """

    holders: frozenset[str]
    name: str
    details: str
    method: str
    asks: str
    answers: str
    key: str


REFERENCES: Final = (
    Reference(
        holders=frozenset(
            f"cohortlens.v1.{one}"
            for one in ("Prediction", "Explanation", "SegmentAssignment", "ConsentCustomer", "ConsentChange")
        ),
        name="customer",
        details="customerDetails",
        method="/cohortlens.v1.CustomersService/BatchGetCustomers",
        asks="customers",
        answers="customers",
        key="customer",
    ),
)
"""What can be followed; a row needs an RPC that answers several at once."""


class Calling(Protocol):
    """Runs a call of a request; ``gateway.graphql.calls.Calls``."""

    def unary(self, method: MethodInfo, arguments: dict[str, Any]) -> Awaitable[Any]:
        """The JSON value of a reply; raises Failed."""


class Loader:
    """Gathers names until the list at hand is through, then asks for all of them.

    Args:
        calls: Runs the call.
        reference: What is fetched.
        method: Its RPC.
    """

    def __init__(self, calls: Calling, reference: Reference, method: MethodInfo) -> None:
        self._calls, self._reference, self._method = calls, reference, method
        self._known: dict[str, asyncio.Future[Any]] = {}
        self._waiting: list[str] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def load(self, name: str) -> asyncio.Future[Any]:
        """The thing of a name, None when there is none; asked for once for all who wait for it."""
        found = self._known.get(name)
        if found is None:
            loop = asyncio.get_running_loop()
            found = self._known[name] = loop.create_future()
            if not self._waiting:
                # The executor goes through a whole list before it waits for anything.
                loop.call_soon(self._begin)
            self._waiting.append(name)
        return found

    def close(self) -> None:
        """End calls that nobody waits for any more."""
        for task in self._tasks:
            task.cancel()

    def _begin(self) -> None:
        names, self._waiting = self._waiting, []
        task = asyncio.create_task(self._fetch(names))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _fetch(self, names: list[str]) -> None:
        reference = self._reference
        try:
            reply = await self._calls.unary(self._method, {reference.asks: names})
        except Failed as failed:
            for name in names:
                self._end(name, failed)
            return
        except BaseException:
            for name in names:
                self._known.pop(name).cancel()
            raise
        by_name = {one[reference.key]: one for one in reply[reference.answers]}
        for name in names:
            self._end(name, by_name.get(name))

    def _end(self, name: str, outcome: Any) -> None:
        # Not kept: a subscription may run for an hour.
        future = self._known.pop(name)
        if future.done():
            return
        if isinstance(outcome, Failed):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)


class References:
    """The references that a table of methods can follow.

    Args:
        table: The methods; a reference whose RPC is not among them is left out.
    """

    def __init__(self, table: MethodTable) -> None:
        methods = ((one, table.get(one.method)) for one in REFERENCES)
        self._found = [(one, method) for one, method in methods if method is not None]

    def fields_of(
        self, descriptor: Descriptor, output: Callable[[Descriptor], GraphQLObjectType]
    ) -> dict[str, GraphQLField]:
        """The fields beside a message's own.

        Args:
            descriptor: The message.
            output: Makes the type of a message.
        """
        return {
            one.details: self._field(one, method, output)
            for one, method in self._found
            if descriptor.full_name in one.holders
        }

    def _field(
        self, reference: Reference, method: MethodInfo, output: Callable[[Descriptor], GraphQLObjectType]
    ) -> GraphQLField:
        def resolve(source: dict[str, Any], info: Any) -> Any:
            name = source[reference.name]
            return info.context.loader(reference, method).load(name) if name else None

        return GraphQLField(
            output(_thing(reference, method)),
            description=(
                f"What {reference.name} names; null when it does not exist any more. Needs "
                f"{', '.join(method.policy.scopes)}; all of a list are one call."
            ),
            resolve=resolve,
        )


def _thing(reference: Reference, method: MethodInfo) -> Any:
    """The message type that a reference leads to."""
    return method.descriptor.output_type.fields_by_name[reference.answers].message_type
