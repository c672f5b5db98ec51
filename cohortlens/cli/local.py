"""The stack of this machine as the commands see it: its settings, its folder, where its doors are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cohortlens.embedded import stack
from cohortlens.embedded.settings import StackConfig


@dataclass(frozen=True)
class Endpoints:
    """Where the doors of the running stack are.

    Attributes:
        http: Base URL of the HTTP door.
        grpc: ``host:port`` of the gRPC door.
    """

    http: str
    grpc: str


def config() -> StackConfig:
    """The settings of this environment; raises StackFailed with every fault."""
    return stack.load_config()


def data_dir() -> Path:
    """The stack's data folder, absolute."""
    return config().folder


def endpoints() -> Endpoints:
    """The doors of the running stack, or those it would have."""
    settings = config()
    ports = stack.status(settings).ports
    http, grpc = (ports.get(name) or settings.port(name) for name in ("http", "grpc"))
    return Endpoints(f"http://{settings.bind}:{http}", f"{settings.bind}:{grpc}")


def local_target() -> str:
    """``host:port`` of the gRPC door of this machine's stack."""
    return endpoints().grpc
