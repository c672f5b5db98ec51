"""Whom an import must leave out: persons who were erased, known by nothing but a keyed hash."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias
from uuid import UUID

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True)
class ErasedPeople:
    """The erased persons of a tenant.

    Attributes:
        secret: Key of the hash.
        hashes: HMAC-SHA-256 of each person's identifier in the tenant's data.
    """

    secret: bytes = b""
    hashes: frozenset[bytes] = frozenset()

    def mask(self, names: pa.Array) -> NDArray[np.bool_]:
        """Which of the names belong to one of them, shape (n,); each name is hashed once.

        Args:
            names: Identifiers, strings; null is nobody.
        """
        if not self.hashes or not len(names):
            return np.zeros(len(names), np.bool_)
        encoded = names.dictionary_encode()
        hit = np.array([self._has(name) for name in encoded.dictionary.to_pylist()] + [False])
        codes = encoded.indices.fill_null(len(hit) - 1).to_numpy(zero_copy_only=False)
        return np.asarray(hit[codes], np.bool_)

    def _has(self, name: str) -> bool:
        return hmac.digest(self.secret, name.encode("utf-8", "surrogatepass"), hashlib.sha256) in self.hashes


ReadErased: TypeAlias = Callable[[AsyncConnection, UUID], Awaitable[ErasedPeople]]
"""Reads the erased persons of a tenant, in the transaction of the caller."""


async def nobody(tx: AsyncConnection, tenant_id: UUID) -> ErasedPeople:  # noqa: ARG001 - as every reader
    """Where no erasure is ever asked for: tests of imports alone."""
    return ErasedPeople()
