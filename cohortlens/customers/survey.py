"""What a whole file says about its dates and numbers: day or month first, comma or point."""

from __future__ import annotations

from functools import cached_property

import pyarrow as pa

from cohortlens.customers import parsing
from cohortlens.customers.batches import Source
from cohortlens.customers.models import FileFault


class Survey:
    """Facts about all rows of a file, found by reading it once more, and only if a row calls for it.

    Args:
        source: The file.
    """

    def __init__(self, source: Source) -> None:
        self._source = source

    @cached_property
    def decimal_comma(self) -> bool:
        """Whether numbers are written with a decimal comma; only files delimited by ``;`` can be."""
        if self._source.delimiter != ";":
            return False
        fields = [
            name for name in ("amount", "unit_price", "quantity") if name in self._source.column_map.used
        ]
        return any(
            parsing.has_decimal_comma(batch.columns[name])
            for batch in self._source.batches()
            for name in fields
        )

    def day_first_for(self, column: pa.Array) -> bool | None:
        """Order of the slashed dates of a column, None where it has none.

        Raises:
            FileFault: DATE_AMBIGUOUS: nothing in the file settles the order, or its rows contradict.
        """
        if not (pa.types.is_binary(column.type) or pa.types.is_string(column.type)):
            return None
        is_slashed, _, _ = parsing.slashed(column)
        return self._day_first if is_slashed.any() else None

    @cached_property
    def _day_first(self) -> bool:
        fields = [name for name in ("time", "known_at") if name in self._source.column_map.used]
        day_first = month_first = False
        for batch in self._source.batches():
            for name in fields:
                _, first_over, second_over = parsing.slashed(batch.columns[name])
                day_first |= bool(first_over.any())
                month_first |= bool(second_over.any())
        if day_first == month_first:
            column = self._source.column_map.columns_used["time"]
            raise FileFault(
                f"the column {column[:80]!r} has dates such as 03/04/2024, and "
                + (
                    "some rows put the day first, others the month"
                    if day_first
                    else "no row tells day from month"
                )
                + "; write dates as YYYY-MM-DD",
                reason="DATE_AMBIGUOUS",
                metadata={"column": column[:80]},
            )
        return day_first
