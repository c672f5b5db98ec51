"""What the scoring of slices is told to do and what it tells back: data that crosses process boundaries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias
from uuid import UUID

from cohortlens.core.errors import Code


@dataclass(frozen=True)
class SlicesOrder:
    """Slices to score.

    Attributes:
        tenant: Whose batch it is.
        batch: The batch; its folder takes the scores.
        input: Owner of the input: the batch itself, or an uploaded input.
        artifact_digest: Digest of the model version, hex.
        schema_hash: Schema of the rows, hex.
        target: What is predicted, as ``contracts.asks`` writes it.
        horizon_days: Days to look ahead.
        slices: Row groups of the input.
    """

    tenant: UUID
    batch: UUID
    input: UUID
    artifact_digest: str
    schema_hash: str
    target: str
    horizon_days: int
    slices: tuple[int, ...]


@dataclass(frozen=True)
class SliceScored:
    """A slice whose file of scores is there.

    Attributes:
        slice: Row group of the input.
        rows: Rows in it.
        sha256: Digest of the file, hex.
        cpu_s: CPU seconds spent.
    """

    slice: int
    rows: int
    sha256: str
    cpu_s: float


@dataclass(frozen=True)
class SliceFailed:
    """A slice that could not be scored.

    Attributes:
        code: Canonical code; UNAVAILABLE when another attempt can help.
        reason: Reason in upper snake case.
        message: One sentence for a person.
    """

    code: Code
    reason: str
    message: str


SliceOutcome: TypeAlias = SliceScored | SliceFailed
