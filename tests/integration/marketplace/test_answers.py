"""Questions over a real database: who is in an answer, what it costs, and whom."""

from __future__ import annotations

import asyncio
import json

import pytest

from cohortlens.core.errors import CohortLensError
from cohortlens.marketplace.models import PrivacyBudgetExhausted
from tests.fixtures.consents import decide
from tests.fixtures.tenants import register
from tests.integration.marketplace.asking import BY_COUNTRY, refused, spent


async def test_the_same_question_in_other_words_gets_the_same_bytes_at_one_charge(market):
    other = await register(market.db, "east")
    offer = await market.offered()
    first, second = await market.agreed(offer), await market.agreed(offer, other)
    ctx, words = market.buyer.context(), (["count", "sum_spend"], ["country"], [])
    permuted = (["sum_spend"], ["country", "country"], [])

    answers = [await market.use.queries.run(ctx, first.id, words)]
    answers += [await market.use.queries.run(ctx, first.id, permuted) for _ in range(3)]
    answers.append(await market.use.queries.run(other.context(), second.id, words))

    assert len({one.answer for one in answers}) == 1
    # The other buyer is told for the first time, and cannot see that somebody asked before.
    assert [one.charged_milli for one in answers] == [500, 0, 0, 0, 500]
    cells = {tuple(one["values"]): one for one in json.loads(answers[0].answer)["cells"]}
    assert cells["FR",] == {"values": ["FR"], "suppressed": True}
    assert abs(cells["IE",]["count"] - 120) < 80
    assert abs(cells["IE",]["sum_minor"] - 120_000) < 400_000
    for agreement in (first, second):
        assert await spent(market, agreement) == {"TENANT": 500, "OFFER": 500, "BUYER": 500}


async def test_a_withdrawal_is_out_of_the_next_answer_under_a_new_revision(market):
    agreement = await market.agreed(await market.offered())
    ctx = market.buyer.context()
    before = await market.use.queries.run(ctx, agreement.id, BY_COUNTRY)

    gone = [f"c{n}" for n in range(1, 31)]
    await decide(market.db, market.seller.tenant_id, gone, "WITHDRAWN", "data_sharing")
    after = await market.use.queries.run(ctx, agreement.id, BY_COUNTRY)

    assert (before.revision, after.revision) == (1, 2)
    assert after.charged_milli == 500
    assert (await market.use.access.get(ctx, agreement.id)).data_revision == 2
    assert await refused(market.use.queries.run(ctx, agreement.id, (["count"], ["cohort"], []))) == (
        "PRIVACY_BUDGET_EXHAUSTED"
    )
    # What was answered on the data of now is answered still.
    assert (await market.use.queries.run(ctx, agreement.id, BY_COUNTRY)).answer == after.answer


async def test_who_refuses_the_purpose_of_an_agreement_is_out_of_its_next_answer(market):
    seller, ctx = market.seller.tenant_id, market.buyer.context()
    agreement = await market.agreed(await market.offered(), purpose="profiling")
    before = await market.use.queries.run(ctx, agreement.id, BY_COUNTRY)

    # They share as before, and no longer for this.
    await decide(market.db, seller, [f"c{n}" for n in range(1, 31)], "WITHDRAWN", "profiling")
    after = await market.use.queries.run(ctx, agreement.id, BY_COUNTRY)
    await decide(market.db, seller, ["c31"], "WITHDRAWN", "profiling")
    too_few = market.use.queries.run(ctx, agreement.id, BY_COUNTRY)

    assert (before.revision, after.revision) == (1, 2)
    assert await refused(too_few) == "OFFER_TOO_SMALL"
    sharing = await market.agreed(await market.offered(), await register(market.db, "east"))
    assert sharing.state == "AGREED"


async def test_a_second_agreement_brings_a_buyer_no_second_budget(market):
    first = await market.agreed(await market.offered())
    second = await market.agreed(await market.offered(title="The same once more"))
    ctx = market.buyer.context()
    await market.use.queries.run(ctx, first.id, BY_COUNTRY)
    await market.use.queries.run(ctx, second.id, BY_COUNTRY)

    third = market.use.queries.run(ctx, second.id, (["count"], [], []))

    with pytest.raises(PrivacyBudgetExhausted) as caught:
        await third
    assert caught.value.metadata["scope"] == "BUYER"


async def test_what_was_spent_comes_back_a_year_later_and_not_before(market):
    agreement = await market.agreed(await market.offered())
    ctx = market.buyer.context()
    for words in (BY_COUNTRY, (["count"], ["cohort"], [])):
        await market.use.queries.run(ctx, agreement.id, words)
    await market.all(
        "UPDATE market_queries SET created_at = created_at - interval '366 days'"
        " WHERE id = (SELECT id FROM market_queries ORDER BY id LIMIT 1) RETURNING 1"
    )

    await market.use.queries.run(ctx, agreement.id, (["count"], [], []))

    assert await refused(
        market.use.queries.run(ctx, agreement.id, (["count"], ["country", "cohort"], []))
    ) == ("PRIVACY_BUDGET_EXHAUSTED")


async def test_budgets_are_never_overspent_by_questions_at_once(market):
    agreement = await market.agreed(await market.offered(epsilon_milli=250))
    ctx = market.buyer.context()
    questions = [(["count"], ["country"], [("cohort", [month])]) for month in ("2026-02", "2026-03")] + [
        (["count"], dimensions, []) for dimensions in ([], ["country"], ["cohort"], ["country", "cohort"])
    ]

    async def ask(words):
        try:
            await market.use.queries.run(ctx, agreement.id, words)
        except CohortLensError as error:
            return error.reason
        return "TOLD"

    outcomes = await asyncio.gather(*(ask(words) for words in questions * 3))

    assert outcomes.count("PRIVACY_BUDGET_EXHAUSTED") == 6
    assert await spent(market, agreement) == {"TENANT": 1_000, "OFFER": 1_000, "BUYER": 1_000}


async def test_a_question_outside_the_closed_list_is_refused_before_any_charge(market):
    agreement = await market.agreed(await market.offered(measures=(), clip_minor=0))
    for words in (
        (["sum_spend"], [], []),
        (["count"], ["segment"], []),
        (["count"], ["country", "cohort", "month"], []),
        (["count"], [], [("country", ["DE"])]),
        ([], [], []),
    ):
        assert await refused(market.use.queries.run(market.buyer.context(), agreement.id, words)) == (
            "QUERY_NOT_ALLOWED"
        )
    assert await spent(market, agreement) == {"TENANT": 0, "OFFER": 0, "BUYER": 0}
    too_few = market.use.queries.run(
        market.buyer.context(), agreement.id, (["count"], [], [("country", ["FR"])])
    )
    assert await refused(too_few) == "COHORT_TOO_SMALL"
    assert await spent(market, agreement) == {"TENANT": 500, "OFFER": 500, "BUYER": 500}
