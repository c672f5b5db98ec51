"""What a load run is told by the environment: where the stack is and who it acts as."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class LoadTarget:
    """The stack under load.

    Attributes:
        http: Base URL of the HTTP door.
        grpc: ``host:port`` of the gRPC door.
        token: Access token of the tenant.
        customers: Customers to predict, as identifiers.
        vector: One feature vector, in schema order.
    """

    http: str
    grpc: str
    token: str
    customers: list[str]
    vector: list[float]


def from_environment() -> LoadTarget:
    """Read what ``load.smoke`` passes to Locust's process."""
    return LoadTarget(
        http=os.environ["LOAD_HTTP"],
        grpc=os.environ["LOAD_GRPC"],
        token=os.environ["LOAD_TOKEN"],
        customers=os.environ["LOAD_CUSTOMERS"].split(","),
        vector=[float(value) for value in os.environ["LOAD_VECTOR"].split(",")],
    )


def for_environment(target: LoadTarget) -> dict[str, str]:
    """The same as variables for Locust's process, beside its own environment."""
    return os.environ | {
        "LOAD_HTTP": target.http,
        "LOAD_GRPC": target.grpc,
        "LOAD_TOKEN": target.token,
        "LOAD_CUSTOMERS": ",".join(target.customers),
        "LOAD_VECTOR": ",".join(repr(value) for value in target.vector),
    }
