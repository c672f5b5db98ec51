"""What a purchase-day brings: the Gamma-Gamma model in service, for training and the replicas alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cohortlens.contracts.artifacts import ArtifactCorrupt

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class GammaGamma:
    """A fitted model of the money of a purchase-day.

    Attributes:
        p: Shape of a customer's amounts.
        q: Shape of their scales over customers; above 1, so that the mean exists.
        gamma: Scale of these, major units.
        boundary: Empty; ``MEAN_FIXED`` where the likelihood alone would have no mean, and the sample's own
            mean was kept instead; ``AT_BOUND``.
    """

    p: float
    q: float
    gamma: float
    boundary: str = ""

    def __post_init__(self) -> None:
        if not (0.0 < self.p < np.inf and 1.0 < self.q < np.inf and 0.0 < self.gamma < np.inf):
            raise ArtifactCorrupt("The parameters of a money model are not usable; train again.")

    @property
    def mean(self) -> float:
        """Mean money of a purchase-day over customers, major units."""
        return self.p * self.gamma / (self.q - 1.0)

    def to_dict(self) -> dict[str, float]:
        """The entry of ``manifest.btyd``: parameters by name."""
        return {"p": self.p, "q": self.q, "gamma": self.gamma}

    @staticmethod
    def from_dict(entry: Mapping[str, float]) -> GammaGamma:
        """Parameters from an entry of ``manifest.btyd``.

        Raises:
            ArtifactCorrupt: Not such an entry.
        """
        try:
            return GammaGamma(float(entry["p"]), float(entry["q"]), float(entry["gamma"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactCorrupt("The parameters of a money model are not usable; train again.") from error


def expected_value(gg: GammaGamma, x: ArrayLike, zbar: ArrayLike) -> FloatArray:
    """Mean money of a customer's future purchase-days.

    Args:
        gg: Parameters.
        x: Repeat purchase-days that were not free, >= 0.
        zbar: Their mean money, major units, >= 0; a customer with x = 0 or zbar = 0 gets the mean of all.

    Returns:
        Shape (n,), major units, > 0.

    Source:
        Fader, Hardie, The Gamma-Gamma Model of Monetary Value (2013), (5).
    """
    bought, paid = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(zbar, np.float64))
    count = np.where(paid > 0.0, np.maximum(bought, 0.0), 0.0)
    # A weighted mean of the population and the customer, which stays between the two in floating point.
    own = gg.p * count / (gg.p * count + gg.q - 1.0)
    return gg.mean + own * (paid - gg.mean)
