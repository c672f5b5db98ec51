"""The gateway: every door of CohortLens in one process (``python -m gateway``)."""
