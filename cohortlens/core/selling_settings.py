"""What the settings of selling say (currency, trials, meters, origins), and what in them cannot work."""

from __future__ import annotations

import re

LONGEST_TRIAL_DAYS = 730
METERS = ("api_calls",)

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
ORIGIN = rf"https?://(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:]+\])(?::[1-9][0-9]{{0,4}})?"
"""Pattern of an origin in its one spelling: lower-case ASCII, without a user and a path."""

_ORIGIN = re.compile(ORIGIN)
_TRIAL = re.compile(r"([a-z][a-z0-9_-]{1,39})=([0-9]{1,3})")
_METER = re.compile(r"([a-z_]{1,40})=([A-Za-z0-9_.-]{1,100})")
_CURRENCY = re.compile(r"[a-z]{3}")
_USUAL_PORTS = {"http": ":80", "https": ":443"}


def listed_origins(setting: str) -> list[str]:
    """The origins of ``COHORTLENS_ALLOWED_ORIGINS``."""
    return setting.replace(",", " ").split()


def trial_days(setting: str) -> dict[str, int]:
    """The trials of ``COHORTLENS_TRIAL_DAYS``, such as ``professional=14``, by plan.

    Raises:
        ValueError: It cannot be read.
    """
    days = {}
    for part in setting.replace(",", " ").split():
        match = _TRIAL.fullmatch(part)
        if match is None or not 1 <= int(match[2]) <= LONGEST_TRIAL_DAYS:
            raise ValueError(
                f"COHORTLENS_TRIAL_DAYS: {part!r} cannot be used; expected plan=days such as professional=14,"
                f" with 1 to {LONGEST_TRIAL_DAYS} days"
            )
        days[match[1]] = int(match[2])
    return days


def exported_meters(setting: str) -> dict[str, str]:
    """The meters of ``COHORTLENS_STRIPE_METERS``: the provider's event name by meter.

    Raises:
        ValueError: It cannot be read.
    """
    names = {}
    for part in setting.replace(",", " ").split():
        match = _METER.fullmatch(part)
        if match is None or match[1] not in METERS:
            raise ValueError(
                f"COHORTLENS_STRIPE_METERS: {part!r} cannot be used; expected meter=event_name, such as "
                f"api_calls=cohortlens_api_calls; the meters are {', '.join(METERS)}"
            )
        names[match[1]] = match[2]
    return names


def selling_faults(
    currency: str, trials: str, meters: str, origins: str, *, is_production: bool, has_payments: bool
) -> list[str]:
    """What in the settings of selling cannot work, one sentence each; empty when all is well.

    Args:
        currency: Value of ``COHORTLENS_BILLING_CURRENCY``.
        trials: Value of ``COHORTLENS_TRIAL_DAYS``.
        meters: Value of ``COHORTLENS_STRIPE_METERS``.
        origins: Value of ``COHORTLENS_ALLOWED_ORIGINS``.
        is_production: Whether addresses without TLS are refused.
        has_payments: Whether there is a key of the payment provider.
    """
    faults = []
    if meters.strip() and not has_payments:
        faults.append(
            "COHORTLENS_STRIPE_METERS is set without COHORTLENS_STRIPE_API_KEY: usage would be told to"
            " nobody; set both or neither"
        )
    if _CURRENCY.fullmatch(currency) is None:
        faults.append(f"COHORTLENS_BILLING_CURRENCY={currency!r}: expected three letters such as eur")
    for read, setting in ((trial_days, trials), (exported_meters, meters)):
        try:
            read(setting)
        except ValueError as fault:
            faults.append(str(fault))
    return faults + _origin_faults(origins, is_production=is_production)


def without_usual_port(origin: str) -> str:
    """An origin as browsers write it: the usual port of its scheme is left out."""
    return origin.removesuffix(_USUAL_PORTS.get(origin.partition(":")[0], "\0"))


def _origin_faults(origins: str, *, is_production: bool) -> list[str]:
    expected = "https://host" if is_production else "https://host or http://host:port"
    return [
        f"COHORTLENS_ALLOWED_ORIGINS: {one!r} is no origin; expected {expected}, lower case, without a path"
        for one in listed_origins(origins)
        # One that names the usual port would match no address of a browser.
        if _ORIGIN.fullmatch(one) is None
        or one != without_usual_port(one)
        or (is_production and not one.startswith("https:"))
    ]
