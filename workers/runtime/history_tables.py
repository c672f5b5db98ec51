"""Values that only a customer's repeat purchase-days and age decide, kept once they are computed.

Both are whole numbers and small for nearly everybody, and the functions of them are the dear part of a
buy-till-you-die model: some 300 us for one row or for many. A table is filled as histories come; it holds
the very values that the function gives.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Place = NDArray[np.intp]

REPEATS, DAYS = 128, 2048
"""Histories below both are kept; others are computed each time."""

_TABLES = 8
"""Tables of one model at most: horizons and discounts that are asked for; the one not used longest goes."""


_NOWHERE = REPEATS * DAYS
"""Place of what is not kept; it always looks empty."""


def place_of(x: FloatArray, age: FloatArray) -> Place:
    """Where tables keep histories.

    Args:
        x: Repeat purchase-days, shape (n,), finite, >= 0.
        age: Days since the first purchase, shape (n,), finite, >= 0.

    Returns:
        Shape (n,); a place of its own for all that are no pair of small whole numbers.
    """
    at = (x * DAYS + age).astype(np.intp)
    sound = (x < REPEATS) & (age < DAYS) & (x == np.floor(x)) & (age == np.floor(age))
    # Looked at as bytes: a row at a time, numpy's own passes show in the time of a call.
    return np.where(sound, at, _NOWHERE) if b"\0" in sound.tobytes() else at


def place_of_one(x: float, age: float) -> int:
    """``place_of`` one history."""
    at, days = int(x), int(age)
    return at * DAYS + days if at == x and days == age and at < REPEATS and days < DAYS else _NOWHERE


class HistoryTables:
    """Tables of one model, by what they hold."""

    def __init__(self) -> None:
        self._tables: OrderedDict[Hashable, FloatArray] = OrderedDict()

    @property
    def memory_bytes(self) -> int:
        """Bytes that they may come to hold."""
        return _TABLES * REPEATS * DAYS * 8

    def values(
        self,
        name: Hashable,
        place: Place,
        x: FloatArray,
        age: FloatArray,
        function: Callable[[FloatArray, FloatArray], FloatArray],
    ) -> FloatArray:
        """Values of a function of histories, from its table where they stand there.

        Args:
            name: Which function; equal names must have equal functions.
            place: ``place_of`` the histories.
            x: Repeat purchase-days, shape (n,).
            age: Days since the first purchase, shape (n,).
            function: Takes both for some rows, gives values > 0.

        Returns:
            Shape (n,); not to be changed.
        """
        table = self._tables.get(name)
        if table is None:
            table = self._added(name)
        else:
            self._tables.move_to_end(name)
        found = table.take(place)
        if not found.all():
            missing = np.flatnonzero(found == 0.0)
            found[missing] = table[place[missing]] = function(x[missing], age[missing])
            table[_NOWHERE] = 0.0
        return found

    def value_of_one(
        self,
        name: Hashable,
        place: int,
        x: float,
        age: float,
        function: Callable[[FloatArray, FloatArray], FloatArray],
    ) -> float:
        """``values`` of one history; ``place`` from ``place_of_one``."""
        table = self._tables.get(name)
        if table is not None and (found := table.item(place)):
            self._tables.move_to_end(name)
            return found
        return self.values(name, np.array([place]), np.array([x]), np.array([age]), function).item()

    def _added(self, name: Hashable) -> FloatArray:
        # Pages of zeros are given by the kernel only once they are written to.
        table = self._tables[name] = np.zeros(_NOWHERE + 1)
        if len(self._tables) > _TABLES:
            self._tables.popitem(last=False)
        return table
