"""What an explanation is inside a replica, whatever the method."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Attributions:
    """Why values are what they are, in log space; one row per explained row.

    Attributes:
        bases: What is expected before any feature is known, shape (n,).
        contributions: Shares of the columns, shape (n, columns).
        values: Values as ``score`` gives them, shape (n,).
        explained: What the explained model gives, shape (n,): bases plus contributions, but for rounding.
        fidelities: Share of the variance of the log value that the explained model reproduces, shape (n,).
        imputed: Positions of the columns of each row that were filled in; empty where none can be.
    """

    bases: FloatArray
    contributions: FloatArray
    values: FloatArray
    explained: FloatArray
    fidelities: FloatArray
    imputed: tuple[tuple[int, ...], ...] = ()

    @staticmethod
    def joined(rows: list[Attributions]) -> Attributions:
        """Several after each other, at least one."""
        if len(rows) == 1:
            return rows[0]
        return Attributions(
            np.concatenate([row.bases for row in rows]),
            np.concatenate([row.contributions for row in rows]),
            np.concatenate([row.values for row in rows]),
            np.concatenate([row.explained for row in rows]),
            np.concatenate([row.fidelities for row in rows]),
            tuple(one for row in rows for one in row.imputed),
        )
