"""Signals of browsers, as decisions about purposes.

Source:
    Global Privacy Control (W3C), section 3: the header ``Sec-GPC``, value ``1``. Google Consent Mode v2:
    ``ad_storage``, ``ad_user_data``, ``ad_personalization``, ``analytics_storage``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

GPC_PURPOSE = "data_sharing"
GOOGLE_PURPOSES: Mapping[str, str] = {
    "ad_storage": "marketing",
    "ad_user_data": "marketing",
    "ad_personalization": "marketing",
    "analytics_storage": "profiling",
}
"""The purpose that each setting of Google Consent Mode stands for."""


@dataclass(frozen=True)
class Signals:
    """What a browser said.

    Attributes:
        gpc: Whether it sent ``Sec-GPC: 1``.
        google: Whether a setting is granted, by its name; settings that were not said are absent.
    """

    gpc: bool = False
    google: Mapping[str, bool] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether anything was said."""
        return self.gpc or bool(self.google)


def refused_by(signals: Signals) -> list[str]:
    """The purposes that signals refuse, by name: one denial among the settings of a purpose is enough."""
    refused = {GOOGLE_PURPOSES[name] for name, granted in signals.google.items() if not granted}
    return sorted(refused | ({GPC_PURPOSE} if signals.gpc else set()))


def given_by(signals: Signals) -> list[str]:
    """The purposes that signals give, by name: what is said about a purpose has to be granted throughout."""
    granted = {GOOGLE_PURPOSES[name] for name, is_granted in signals.google.items() if is_granted}
    return sorted(granted - set(refused_by(signals)))
