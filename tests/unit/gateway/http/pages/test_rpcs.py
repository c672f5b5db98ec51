"""Which of a page's calls are counted against the limit of whoever reads it."""

from __future__ import annotations

import pytest

from cohortlens.core.errors import Unavailable
from gateway.composition import public_table
from gateway.http.pages.door import Rpcs
from gateway.http.pages.forms import FormGuard
from gateway.http.requests import Head, Request
from gateway.interceptors.chain import CallFailed


class Chain:
    """Answers everything, or nothing, and keeps which calls came as parts of a page."""

    def __init__(self) -> None:
        self.table = public_table(with_reflection=False)
        self.parts: list[bool] = []
        self.fails = False

    async def unary(self, call, payload):
        self.parts.append(call.is_part)
        if self.fails:
            raise CallFailed(Unavailable("away"), "0193")
        return payload


@pytest.fixture
def visit():
    asked = Request("GET", "/billing", "", Head.read([]), "192.0.2.7")
    return FormGuard(b"k" * 32, "https://app.example").visit(asked, None)


async def asked(chain: Chain, visit, *names: str) -> list[bool]:
    chain.parts.clear()
    for name in names:
        await Rpcs(chain).call(visit, name, {}, service="BillingService")
    return chain.parts


async def test_what_a_page_reads_counts_once_and_what_it_changes_each_time(visit):
    names = ("GetEntitlement", "GetUsage", "ListPlans", "CancelSubscription", "ResumeSubscription")
    assert await asked(Chain(), visit, *names) == [False, True, True, False, False]


async def test_a_call_that_failed_or_is_open_to_all_pays_for_no_other(visit):
    chain = Chain()
    chain.fails = True
    with pytest.raises(CallFailed):
        await asked(chain, visit, "GetEntitlement")
    chain.fails = False
    assert await asked(chain, visit, "ListPlans", "GetEntitlement", "GetUsage") == [False, False, True]
