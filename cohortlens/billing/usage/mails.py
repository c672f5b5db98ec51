"""What owners and admins are told of the month's quota: that four fifths, or all of it, are handed out."""

from __future__ import annotations

from collections.abc import Mapping

from cohortlens.core.mail import Letter, Links, MailTemplates, Template

QUOTA_NEAR = "quota_near"
QUOTA_REACHED = "quota_reached"
BILLING_PATH = "/billing"


def add_quota_mails(templates: MailTemplates) -> None:
    """Register the templates of this module."""
    templates.add(_ENGLISH, "en")
    templates.add(_SPANISH, "es")


def _near_en(values: Mapping[str, str], links: Links) -> Letter:
    return Letter(
        "80 % of this month's API calls are used",
        (
            f"{values['reserved']} of the {values['limit']} API calls of your plan are used.",
            f"When all are, further calls are refused until {values['resets_at']} UTC.",
        ),
        links.to(BILLING_PATH),
        "See usage and plans",
    )


def _near_es(values: Mapping[str, str], links: Links) -> Letter:
    return Letter(
        "Se ha usado el 80 % de las llamadas del mes",
        (
            f"Se han usado {values['reserved']} de las {values['limit']} llamadas a la API de tu plan.",
            f"Cuando se acaben, se rechazarán las siguientes hasta {values['resets_at']} UTC.",
        ),
        links.to(BILLING_PATH),
        "Ver el uso y los planes",
    )


def _reached_en(values: Mapping[str, str], links: Links) -> Letter:
    return Letter(
        "This month's API calls are used up",
        (
            f"All {values['limit']} API calls of your plan are used.",
            f"Further calls are refused until {values['resets_at']} UTC, or until you take a larger plan.",
        ),
        links.to(BILLING_PATH),
        "See usage and plans",
    )


def _reached_es(values: Mapping[str, str], links: Links) -> Letter:
    return Letter(
        "Se han agotado las llamadas del mes",
        (
            f"Se han usado las {values['limit']} llamadas a la API de tu plan.",
            f"Se rechazan las siguientes hasta {values['resets_at']} UTC o hasta que elijas otro plan.",
        ),
        links.to(BILLING_PATH),
        "Ver el uso y los planes",
    )


_ENGLISH: dict[str, Template] = {QUOTA_NEAR: _near_en, QUOTA_REACHED: _reached_en}
_SPANISH: dict[str, Template] = {QUOTA_NEAR: _near_es, QUOTA_REACHED: _reached_es}
