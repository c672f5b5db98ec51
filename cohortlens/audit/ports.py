"""What the audit slice needs of the outside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Signature:
    """A signature and whose it is.

    Attributes:
        kid: Identifier of the key.
        value: Ed25519, 64 bytes.
    """

    kid: str
    value: bytes


class CheckpointSigner(Protocol):
    """Signs checkpoints; its keys belong to the key set ``audit``."""

    async def sign(self, message: bytes) -> Signature:
        """Sign with the key that is active now."""

    async def public_keys(self) -> Mapping[str, bytes]:
        """Every key that ever signed, 32 bytes each, by identifier: old checkpoints must stay verifiable."""
