"""What the registry needs from outside: somebody who holds versions ready before they serve."""

from __future__ import annotations

from typing import Protocol


class ModelLoader(Protocol):
    """Loads versions on the replicas that will serve them; ``cohortlens.analytics.warmup.ModelWarmup``."""

    async def load(
        self, model: str, artifact_digest: str, *, deadline: float, scoring_only: bool = False
    ) -> None:
        """Return once every live replica that will serve the version holds it, warm.

        Args:
            model: ``segmentation`` or ``prediction``.
            artifact_digest: The version, hex.
            deadline: Monotonic time.
            scoring_only: Go on without replicas that only explain.

        Raises:
            Unavailable: A deployment that is needed has no live replica (``WORKERS_UNAVAILABLE``).
            DeadlineExceeded: Loading took too long.
            CohortLensError: A replica refuses the version, with its reason.
        """
