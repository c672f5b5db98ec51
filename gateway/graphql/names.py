"""How RPCs and message types are called in GraphQL, and which root an RPC belongs to.

A name follows from the name in the protos by rule; where the rule would give a name that says too
little, that two RPCs would share or that GraphQL keeps for itself, a row of the tables below says another.
Released names never change: ``docs/reference/schema.graphql`` holds them all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum
from typing import Any, Final

from google.api import annotations_pb2

from gateway.registry import MethodInfo

PACKAGE: Final = "cohortlens.v1"
"""The package whose methods GraphQL serves; other protocols have doors of their own."""

FIELDS: Final[dict[str, str]] = {
    # One word for the account of all days, another for its hours.
    "BillingService.ListUsage": "usageHours",
    # What a client of OAuth 2 asks first; `metadata` alone would say nothing.
    "AuthService.GetMetadata": "oauthMetadata",
    "AuthService.ListOAuthClients": "oauthClients",
    "AuthService.CreateOAuthClient": "createOauthClient",
    "AuthService.DeleteOAuthClient": "deleteOauthClient",
    "AuthService.RotateOAuthClientSecret": "rotateOauthClientSecret",
    "CustomersService.BatchGetCustomers": "customersByName",
    # `queries` is what a document holds.
    "MarketplaceService.ListQueries": "marketQueries",
    "MarketplaceService.RunQuery": "runMarketQuery",
}
"""Fields that are not named by the rule, by service and RPC."""

TYPES: Final[dict[str, str]] = {
    # The root of subscriptions has this name.
    "cohortlens.v1.Subscription": "PlanSubscription",
}
"""Types that are not named by the rule, by full name of the message."""

_ASKING: Final = re.compile(r"\A(?:Get|List|Query)(?=[A-Z])")
_GET: Final = "get"
_NO_SIDE_EFFECTS: Final = 1


class Root(Enum):
    """The three roots of a schema."""

    QUERY = "Query"
    MUTATION = "Mutation"
    SUBSCRIPTION = "Subscription"


def served(methods: Iterable[MethodInfo]) -> list[MethodInfo]:
    """The methods that GraphQL can call: those of the public API whose request is one message."""
    return [one for one in methods if one.service.startswith(f"{PACKAGE}.") and not one.client_streaming]


def root_of(method: MethodInfo) -> Root:
    """The root of a method: a stream is a subscription, what changes nothing a query, all else a mutation."""
    if method.server_streaming:
        return Root.SUBSCRIPTION
    options = method.descriptor.GetOptions()
    rule: Any = options.Extensions[annotations_pb2.http]
    reads = options.idempotency_level == _NO_SIDE_EFFECTS or rule.WhichOneof("pattern") == _GET
    return Root.QUERY if reads else Root.MUTATION


def field_name(method: MethodInfo) -> str:
    """The field of a method: ``GetPrediction`` is ``prediction``, ``GrantConsent`` is ``grantConsent``."""
    short = method.service.rpartition(".")[2]
    curated = FIELDS.get(f"{short}.{method.name}")
    if curated is not None:
        return curated
    name = _ASKING.sub("", method.name, count=1) if root_of(method) is Root.QUERY else method.name
    return name[0].lower() + name[1:]


def type_name(descriptor: Any) -> str:
    """The name of a message or enum type: its own, behind those of the messages it is declared in."""
    full_name = descriptor.full_name
    package = descriptor.file.package
    return TYPES.get(full_name) or full_name[len(package) + 1 :].replace(".", "")
