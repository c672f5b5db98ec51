"""What an offer may be: a closed list of dimensions, measures and costs."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final

from cohortlens.marketplace.models import Dimension, OfferInvalid, Spec
from cohortlens.marketplace.privacy import EPSILONS_MILLI, LEAST_PERSONS
from cohortlens.marketplace.split import MOST_INCENTIVE_MICRO

COUNT, SUM, MEAN = "count", "sum_spend", "mean_spend"
AMOUNTS: Final = (SUM, MEAN)
MOST_CLIP_MINOR: Final = 10**12
MOST_PERSONS: Final = 10_000
LONGEST: Final = timedelta(days=3 * 365)
_MONTH = re.compile(r"(?:19|20)\d\d-(?:0[1-9]|1[0-2])")
_BAND = re.compile(r"(0|[1-9]\d{0,11})-(0|[1-9]\d{0,11})?")
_FORMS: Final = {
    "segment": re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}"),
    "country": re.compile(r"[^\x00-\x1f]{1,100}"),
    "cohort": _MONTH,
    "month": _MONTH,
    "band": _BAND,
}
DIMENSIONS: Final = tuple(_FORMS)


def bounds(band: str) -> tuple[int, int | None]:
    """Least and most spend of a band such as ``0-4999`` or ``5000-``, minor units, both inclusive."""
    least, most = band.split("-")
    return int(least), int(most) if most else None


def checked(spec: Spec, now: datetime) -> Spec:
    """The offer in its normal form.

    Raises:
        OfferInvalid: It cannot be; names the field.
    """
    _check_figures(spec)
    if not spec.title.strip():
        raise OfferInvalid("spec.title", "must not be empty")
    if not now < spec.ends_at <= now + LONGEST:
        raise OfferInvalid("spec.end_time", f"must be in the future, at most {LONGEST.days} days ahead")
    names = [one.name for one in spec.dimensions]
    if not names or len(set(names)) != len(names):
        raise OfferInvalid("spec.dimensions", "must be one or more, each once")
    for at, one in enumerate(spec.dimensions):
        _check_dimension(f"spec.dimensions[{at}]", one)
    return spec


def _check_figures(spec: Spec) -> None:
    rules = (
        (
            "measures",
            set(spec.measures) <= set(AMOUNTS),
            f"must be among {', '.join(AMOUNTS)}; the count is always there",
        ),
        ("measures", len(set(spec.measures)) == len(spec.measures), "must not name one twice"),
        ("epsilon_milli", spec.epsilon_milli in EPSILONS_MILLI, f"must be one of {EPSILONS_MILLI}"),
        (
            "least_persons",
            LEAST_PERSONS <= spec.least_persons <= MOST_PERSONS,
            f"must be {LEAST_PERSONS} to {MOST_PERSONS}",
        ),
        (
            "clip_minor",
            (1 if spec.measures else 0) <= spec.clip_minor <= MOST_CLIP_MINOR,
            f"must be 1 to {MOST_CLIP_MINOR} where amounts are offered",
        ),
        (
            "incentive_micro",
            0 <= spec.incentive_micro <= MOST_INCENTIVE_MICRO,
            f"must be 0 to {MOST_INCENTIVE_MICRO}",
        ),
        ("currency", spec.currency == "EUR", "must be EUR"),
    )
    for name, is_right, fault in rules:
        if not is_right:
            raise OfferInvalid(f"spec.{name}", fault)


def _check_dimension(path: str, one: Dimension) -> None:
    form = _FORMS.get(one.name)
    if form is None:
        raise OfferInvalid(f"{path}.dimension", f"must be one of {', '.join(DIMENSIONS)}")
    if not one.values or len(set(one.values)) != len(one.values):
        raise OfferInvalid(f"{path}.values", "must be one or more, each once")
    for at, value in enumerate(one.values):
        if form.fullmatch(value) is None:
            raise OfferInvalid(f"{path}.values[{at}]", f"is no value of {one.name}")
    if one.name == "band":
        _check_bands(path, one.values)


def _check_bands(path: str, values: tuple[str, ...]) -> None:
    """A customer must fall into one band at most."""
    above = -1
    for least, most in sorted((bounds(one) for one in values), key=lambda one: one[0]):
        if least <= above or (most is not None and most < least):
            raise OfferInvalid(
                f"{path}.values", "must be bands that do not overlap, such as 0-4999 and 5000-"
            )
        above = MOST_CLIP_MINOR * 10 if most is None else most
