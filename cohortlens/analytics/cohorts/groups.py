"""From stored histories to the members of cohorts and the orders that are counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from cohortlens.analytics.cohorts.matrix import Members, timed_members
from cohortlens.analytics.cohorts.models import GROUPS_MAX, OTHERS, ApplyTo, CohortBy, Filter, Population
from cohortlens.analytics.cohorts.orders import Orders, counted, first_days, unpacked, within
from cohortlens.analytics.cohorts.periods import local_days, name_of, zone_of
from cohortlens.analytics.cohorts.repository import Histories
from cohortlens.contracts.currency import minor_digits

UNKNOWN = "(unknown)"


@dataclass(frozen=True)
class Grouped:
    """What is counted, and in which cohort.

    Attributes:
        orders: Orders that are counted.
        members: Who belongs to which cohort.
        keys: Key of each cohort.
        names: Name of each cohort.
        last_day: Last day of data in the time zone, days since 1970-01-01.
        excluded_no_consent: Customers left out because they may not be used.
    """

    orders: Orders
    members: Members
    keys: tuple[str, ...]
    names: tuple[str, ...]
    last_day: int
    excluded_no_consent: int = 0


def grouped(
    histories: Histories, population: Population, currency: str, last_us: int, names: Mapping[str, str]
) -> Grouped:
    """Sort out a population.

    Args:
        histories: Its packed histories.
        population: What was asked for.
        currency: ISO 4217 code of the amounts.
        last_us: Time of the last row of the tenant, microseconds since 1970-01-01 UTC.
        names: Names of segments by key.
    """
    zone = zone_of(population.time_zone)
    definition, orders = _split(histories, population.filter, zone, 10 ** minor_digits(currency))
    members, keys, shown = _members(definition, population, histories.labels, names)
    last_day = int(local_days(np.array([last_us]), zone)[0])
    return Grouped(orders, members, keys, shown, last_day, histories.excluded_no_consent)


def _split(histories: Histories, chosen: Filter, zone: ZoneInfo, unit: int) -> tuple[Orders, Orders]:
    """Orders that cohorts begin with, and orders that are counted."""
    everything = unpacked(histories.packed, histories.sizes, zone)
    every = counted(everything, net=chosen.net)
    if not chosen.has_conditions:
        return every, every
    some = everything
    if histories.limited is not None:
        some = unpacked(histories.limited, histories.limited_sizes, zone)
    low, high = (None if one is None else round(one * unit) for one in (chosen.min_amount, chosen.max_amount))
    conditional = counted(within(some, low, high), net=chosen.net)
    return (conditional, every) if chosen.apply_to is ApplyTo.DEFINITION else (every, conditional)


def _members(
    definition: Orders, population: Population, labels: list[str], names: Mapping[str, str]
) -> tuple[Members, tuple[str, ...], tuple[str, ...]]:
    first, chosen = first_days(definition), population.filter
    wanted = first >= 0
    if chosen.first_from is not None:
        wanted &= first >= chosen.first_from
    if chosen.first_to is not None:
        wanted &= first <= chosen.first_to
    unit = population.by.period
    if unit is not None:
        timed, periods = timed_members(definition.select(wanted[definition.customer]), unit)
        keys = tuple(name_of(int(period), unit) for period in periods)
        return timed, keys, keys
    if population.by is CohortBy.ALL:
        cohorts = int(wanted.any())
        return (
            Members(np.where(wanted, 0, -1), first, cohorts, is_timed=False),
            ("",) * cohorts,
            ("",) * cohorts,
        )
    cohort, keys = _ranked(labels, wanted)
    shown = tuple(names.get(key, key) or UNKNOWN for key in keys)
    return Members(cohort, first, len(keys), is_timed=False), keys, shown


def _ranked(labels: list[str], wanted: NDArray[np.bool_]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Position of each customer's group, largest first, and the keys; what is too many becomes one group."""
    numbers: dict[str, int] = {}
    code = np.fromiter((numbers.setdefault(label, len(numbers)) for label in labels), np.int64, len(labels))
    sizes = np.bincount(code[wanted], minlength=len(numbers))
    found = [(-int(sizes[number]), label, number) for label, number in numbers.items() if sizes[number]]
    ranked = sorted(found)
    place = np.full(len(numbers) + 1, GROUPS_MAX, np.int64)
    for position, (_, _, number) in enumerate(ranked[:GROUPS_MAX]):
        place[number] = position
    cohort = np.where(wanted, place[code], -1) if len(labels) else np.zeros(0, np.int64)
    keys = [label for _, label, _ in ranked[:GROUPS_MAX]]
    return cohort, (*keys, OTHERS) if len(ranked) > GROUPS_MAX else tuple(keys)
