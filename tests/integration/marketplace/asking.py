"""What a side of the market is told or refused, and what a question costs."""

from __future__ import annotations

import pytest

from cohortlens.core.errors import CohortLensError

BY_COUNTRY = (["count"], ["country"], [])


async def refused(work):
    """The reason of a refusal."""
    with pytest.raises(CohortLensError) as caught:
        await work
    return caught.value.reason


async def spent(market, agreement):
    """What of each budget is spent, as the seller sees it."""
    found = await market.use.queries.budgets(market.seller.context(), agreement.id)
    return {one.scope: one.spent_milli for one in found}
