"""What the client knows of an RPC without asking the server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

Metadata: TypeAlias = Sequence[tuple[str, str | bytes]]
"""Names and values sent beside a request; names are lower case, ``-bin`` ones carry bytes."""


@dataclass(frozen=True)
class Binding:
    """One way to call a method over HTTP, from its ``google.api.http`` rule.

    Attributes:
        verb: HTTP method in upper case.
        template: Path with its variables, such as ``/v1/{name=shelves/*}``.
        body: Field that is the body, ``*`` for the whole message, None for no body.
    """

    verb: str
    template: str
    body: str | None = None


@dataclass(frozen=True)
class Method:
    """An RPC.

    Attributes:
        path: ``/package.Service/Method``.
        bindings: Its routes over HTTP, the first one first.
        public: Whether it needs no credentials.
        deprecated: Whether its proto says that it goes.
    """

    path: str
    bindings: tuple[Binding, ...] = ()
    public: bool = False
    deprecated: bool = False
