"""What is asked of a prediction model, as one short text: a target, and what differs from its defaults.

The text travels as ``target`` from the control plane to a replica and names the batch that rows may share. It
is canonical: equal asks have equal texts, and an ask without options is the bare name of its target.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from cohortlens.core.errors import InvalidArgument

PURCHASES, SPEND, CHURN, CLV = "purchases", "spend", "churn", "clv"
TARGETS = (PURCHASES, SPEND, CHURN, CLV)
"""What can be asked; ``clv`` is made from ``spend``."""

RMSE, MAE = "rmse", "mae"
LOSSES = (RMSE, MAE)
"""Squared errors, whose best value is a mean; absolute errors, whose best value is a median."""

LEVELS = (0.5, 0.8, 0.9, 0.95)
"""Shares of outcomes that an interval may be asked to cover."""

DEFAULT_LEVEL = 0.8
DEFAULT_DISCOUNT = 0.1

_MOST_DISCOUNT = 1.0


class AskInvalid(InvalidArgument):
    """A text that is no ask."""

    reason = "TARGET_UNSUPPORTED"


@dataclass(frozen=True)
class Ask:
    """One question to a prediction model.

    Attributes:
        target: One of ``TARGETS``.
        level_ratio: Share of outcomes the interval covers, one of ``LEVELS``.
        loss: One of ``LOSSES``.
        annual_discount_ratio: Effective discount a year, 0 to 1; used by ``clv`` alone.
    """

    target: str
    level_ratio: float = DEFAULT_LEVEL
    loss: str = RMSE
    annual_discount_ratio: float = DEFAULT_DISCOUNT

    @property
    def blended(self) -> str:
        """The target that the members predict: ``spend`` for ``clv``."""
        return SPEND if self.target == CLV else self.target

    @property
    def blend(self) -> str:
        """Name of its blend in a manifest: the blended target, with ``:mae`` for medians."""
        return self.blended if self.loss == RMSE else f"{self.blended}:{self.loss}"

    @property
    def is_plain(self) -> bool:
        """Whether it differs from no default."""
        return self.text() == self.target

    def text(self) -> str:
        """The canonical text, such as ``spend`` or ``clv;discount=0.05;level=0.9;loss=mae``."""
        parts = [self.target]
        if self.target == CLV and self.annual_discount_ratio != DEFAULT_DISCOUNT:
            parts.append(f"discount={self.annual_discount_ratio!r}")
        if self.level_ratio != DEFAULT_LEVEL:
            parts.append(f"level={self.level_ratio!r}")
        if self.loss != RMSE:
            parts.append(f"loss={self.loss}")
        return ";".join(parts)


def calibration_key(target: str, horizon_days: int, level_ratio: float = DEFAULT_LEVEL) -> str:
    """Key of an interval in a prediction's manifest: ``spend:90``, and ``spend:90@0.95`` for another level.

    Args:
        target: Name of a blend, such as ``spend`` or ``spend:mae``.
        horizon_days: Horizon it was measured at.
        level_ratio: Share of customers it covers.
    """
    key = f"{target}:{horizon_days}"
    return key if level_ratio == DEFAULT_LEVEL else f"{key}@{level_ratio:g}"


@lru_cache(maxsize=4096)
def ask_of(text: str) -> Ask:
    """Read an ask.

    Raises:
        AskInvalid: Not a canonical text of one.
    """
    target, *options = text.split(";")
    if target not in TARGETS:
        raise AskInvalid(f"target is {text[:60]!r}; expected one of {', '.join(TARGETS)}")
    given = dict(option.partition("=")[::2] for option in options)
    try:
        ask = Ask(
            target,
            float(given.pop("level", DEFAULT_LEVEL)),
            given.pop("loss", RMSE),
            float(given.pop("discount", DEFAULT_DISCOUNT)),
        )
    except ValueError:
        raise AskInvalid(f"target is {text[:60]!r}; a number in it cannot be read") from None
    discount = ask.annual_discount_ratio
    sound = ask.level_ratio in LEVELS and ask.loss in LOSSES
    sound = sound and math.isfinite(discount) and 0 <= discount <= _MOST_DISCOUNT
    if given or not sound or ask.text() != text:
        raise AskInvalid(f"target is {text[:60]!r}; it is not in the canonical form of an ask")
    return ask
