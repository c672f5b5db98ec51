"""The refusals of pinning, with the reasons that callers see."""

from __future__ import annotations

from cohortlens.core.errors import (
    CohortLensError,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unavailable,
)


class CidUnsupported(InvalidArgument):
    """The text is no CID, or one of a codec, hash or layout that the store does not keep."""

    reason = "CID_UNSUPPORTED"


class PinKindRefused(InvalidArgument):
    """The content does not have the form that its kind must have, so that nothing personal can be in it."""

    reason = "PIN_KIND_REFUSED"


class PinTooLarge(InvalidArgument):
    """More bytes than a pin of this kind may have, or more or fewer than were announced."""

    reason = "PIN_TOO_LARGE"


class PinIdReused(InvalidArgument):
    """The identifier of the pin belongs to other content, or to content that was let go of."""

    reason = "IDEMPOTENCY_KEY_REUSED"


class ContentNotFound(NotFound):
    """The store has no such content, or the tenant no such pin."""


class PinStoreFull(ResourceExhausted):
    """The disk of the store has too little room left; reads go on."""

    reason = "PIN_STORE_FULL"


class PinStoreBusy(Unavailable):
    """The store is in use in a way that the request must wait for, or cannot be read now."""

    reason = "PIN_STORE_BUSY"


class PinContentCorrupt(Internal):
    """A stored block is not what its CID says; it was moved aside."""

    reason = "PIN_CONTENT_CORRUPT"


class PinCidMismatch(Internal):
    """A service answered with another CID than ours for the same bytes."""

    reason = "PIN_CID_MISMATCH"


class PinBackendDenied(Internal):
    """A service refuses our credentials; a retry cannot help."""

    reason = "PIN_BACKEND_DENIED"


class PinBackendRefused(FailedPrecondition):
    """A service gave a pin up, or refuses the request for good."""

    reason = "PIN_BACKEND_REFUSED"


class PinBackendUnavailable(Unavailable):
    """A service does not answer, or asks to come back later."""

    reason = "PIN_BACKEND_UNAVAILABLE"


def is_for_good(error: CohortLensError) -> bool:
    """Whether a retry of a call to a service cannot help."""
    return isinstance(error, PinCidMismatch | PinBackendDenied | PinBackendRefused)
