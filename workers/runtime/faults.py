"""What a model version refuses."""

from __future__ import annotations

from cohortlens.core.errors import FailedPrecondition, InvalidArgument


class SchemaMismatch(FailedPrecondition):
    """The version was trained on another feature schema than this release computes."""

    reason = "FEATURE_SCHEMA_MISMATCH"


class ExplanationUnsupported(FailedPrecondition):
    """A segmentation has no trees to explain."""

    reason = "METHOD_UNSUPPORTED"


class HorizonUnsupported(InvalidArgument):
    """The version does not predict the horizon asked."""

    reason = "HORIZON_UNSUPPORTED"


class TargetUnsupported(InvalidArgument):
    """The version does not predict what is asked."""

    reason = "TARGET_UNSUPPORTED"
