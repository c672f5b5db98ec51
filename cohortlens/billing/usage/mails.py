"""What owners and admins are told of the month's quota: that four fifths, or all of it, are handed out."""

from __future__ import annotations

from cohortlens.billing.notices import Words, letters
from cohortlens.core.mail import MailTemplates

QUOTA_NEAR = "quota_near"
QUOTA_REACHED = "quota_reached"


def add_quota_mails(templates: MailTemplates) -> None:
    """Register the templates of this module."""
    templates.add(letters(_ENGLISH), "en")
    templates.add(letters(_SPANISH), "es")


_ENGLISH = {
    QUOTA_NEAR: Words(
        "80 % of this month's API calls are used",
        (
            "{reserved} of the {limit} API calls of your plan are used.",
            "When all are, further calls are refused until {resets_at} UTC.",
        ),
        "See usage and plans",
    ),
    QUOTA_REACHED: Words(
        "This month's API calls are used up",
        (
            "All {limit} API calls of your plan are used.",
            "Further calls are refused until {resets_at} UTC, or until you take a larger plan.",
        ),
        "See usage and plans",
    ),
}
_SPANISH = {
    QUOTA_NEAR: Words(
        "Se ha usado el 80 % de las llamadas del mes",
        (
            "Se han usado {reserved} de las {limit} llamadas a la API de tu plan.",
            "Cuando se acaben, se rechazarán las siguientes hasta {resets_at} UTC.",
        ),
        "Ver el uso y los planes",
    ),
    QUOTA_REACHED: Words(
        "Se han agotado las llamadas del mes",
        (
            "Se han usado las {limit} llamadas a la API de tu plan.",
            "Se rechazan las siguientes hasta {resets_at} UTC o hasta que elijas otro plan.",
        ),
        "Ver el uso y los planes",
    ),
}
