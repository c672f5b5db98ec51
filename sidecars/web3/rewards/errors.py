"""What the rewards ledger refuses."""

from __future__ import annotations

from cohortlens.core.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
)


class RewardConflict(AlreadyExists):
    """The reward id stands for another chain, recipient, amount or delivery, or is another tenant's."""

    reason = "REWARD_CONFLICT"

    def __init__(self, reward_id: bytes) -> None:
        super().__init__(
            "The reward id stands for another chain, recipient, amount or delivery already.",
            metadata={"reward_id": reward_id.hex()},
        )


class RewardAmountInvalid(InvalidArgument):
    """An amount outside 1 micro-token to 1,000 tokens."""

    reason = "REWARD_AMOUNT_INVALID"


class RewardLimitExceeded(ResourceExhausted):
    """The tenant's rewards of the last 24 hours would pass the limit of the installation."""

    reason = "REWARD_LIMIT_EXCEEDED"


class RewardAlreadySent(FailedPrecondition):
    """The reward is signed or further: it completes."""

    reason = "REWARD_ALREADY_SENT"


class RewardNotClaimable(FailedPrecondition):
    """The chain or the reward has no such delivery, or the reward is not CLAIMABLE any more."""

    reason = "REWARD_NOT_CLAIMABLE"


class RewardNotFound(NotFound):
    """No such reward of the tenant."""

    reason = "RESOURCE_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("There is no such reward; check reward_id.")
