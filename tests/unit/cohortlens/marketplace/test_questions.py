"""Offers and questions of the closed list, and answers that tell no more than they may."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from cohortlens.marketplace.answers import answer_of, is_empty
from cohortlens.marketplace.models import Dimension, OfferInvalid, QueryNotAllowed, Spec
from cohortlens.marketplace.questions import normalised
from cohortlens.marketplace.specs import checked
from cohortlens.marketplace.terms import offer_terms, privacy_sentence

NOW = datetime(2026, 11, 23, tzinfo=UTC)
SPEC = Spec(
    title="Buyers",
    description="",
    dimensions=(Dimension("country", ("IE", "FR")), Dimension("band", ("0-4999", "5000-"))),
    measures=("mean_spend", "sum_spend"),
    clip_minor=5_000,
    purposes=(),
    price_minor=0,
    currency="EUR",
    incentive_micro=0,
    epsilon_milli=500,
    least_persons=10,
    ends_at=NOW + timedelta(days=30),
)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"title": "  "}, "spec.title"),
        ({"dimensions": ()}, "spec.dimensions"),
        ({"dimensions": (Dimension("age", ("1",)),)}, "spec.dimensions[0].dimension"),
        ({"dimensions": (Dimension("cohort", ("2026-13",)),)}, "spec.dimensions[0].values[0]"),
        ({"dimensions": (Dimension("band", ("0-10", "10-20")),)}, "spec.dimensions[0].values"),
        ({"dimensions": (Dimension("band", ("0-", "10-20")),)}, "spec.dimensions[0].values"),
        ({"dimensions": (Dimension("country", ("IE", "IE")),)}, "spec.dimensions[0].values"),
        ({"measures": ("median",)}, "spec.measures"),
        ({"clip_minor": 0}, "spec.clip_minor"),
        ({"epsilon_milli": 400}, "spec.epsilon_milli"),
        ({"least_persons": 9}, "spec.least_persons"),
        ({"incentive_micro": 10**12}, "spec.incentive_micro"),
        ({"currency": "USD"}, "spec.currency"),
        ({"ends_at": NOW}, "spec.end_time"),
    ],
)
def test_an_offer_that_cannot_be_is_refused_by_the_field(change, field):
    with pytest.raises(OfferInvalid) as refused:
        checked(replace(SPEC, **change), NOW)
    assert refused.value.violations[0].field == field


def test_an_offer_reads_as_it_was_stored():
    assert Spec.read(json.loads(json.dumps(checked(SPEC, NOW).stored()))) == SPEC


def test_questions_that_mean_the_same_have_the_same_digest():
    first = normalised(SPEC, ["sum_spend", "count"], ["band", "country"], [("country", ["IE", "FR"])])
    second = normalised(
        SPEC,
        ["sum_spend", "sum_spend"],
        ["country", "band", "band"],
        [("country", ["FR", "IE", "FR"]), ("country", ["IE", "FR"])],
    )
    assert first.sha256() == second.sha256()
    assert normalised(SPEC, ["count"], ["band"], []).sha256() != first.sha256()


def test_cells_are_the_closed_list_whoever_is_in_them():
    question = normalised(SPEC, ["count"], ["country", "band"], [("band", ["5000-"])])
    assert question.cells(SPEC) == [("5000-", "FR"), ("5000-", "IE")]


@pytest.mark.parametrize(
    ("measures", "dimensions", "filters", "field"),
    [
        ([], [], [], "question.measures"),
        (["median"], [], [], "question.measures"),
        (["count"], ["segment"], [], "question.dimensions"),
        (["count"], [], [("country", ["DE"])], "question.filters[0].values"),
        (["count"], [], [("country", ["IE"]), ("country", ["FR"])], "question.filters"),
    ],
)
def test_a_question_outside_the_list_is_refused_by_the_field(measures, dimensions, filters, field):
    with pytest.raises(QueryNotAllowed) as refused:
        normalised(SPEC, measures, dimensions, filters)
    assert refused.value.violations[0].field == field


def test_a_small_cell_is_named_without_a_number_and_an_empty_one_looks_the_same():
    question = normalised(SPEC, ["mean_spend"], ["country"], [])
    for _ in range(50):
        answer = json.loads(answer_of(SPEC, question, 3, {("IE",): (9, 9_000_000)}, "EUR"))
        assert answer["cells"] == [
            {"values": ["FR"], "suppressed": True},
            {"values": ["IE"], "suppressed": True},
        ]
        assert is_empty(answer)


def test_a_mean_is_told_without_the_sum_that_was_not_asked():
    question = normalised(SPEC, ["mean_spend"], ["country"], [])
    answer = json.loads(answer_of(SPEC, question, 3, {("IE",): (100_000, 200_000_000)}, "EUR"))
    [_none, cell] = answer["cells"]
    assert set(cell) == {"values", "count", "mean_minor"}
    assert abs(cell["mean_minor"] - 2_000) < 20
    assert (answer["count_error"], answer["sum_error_minor"], answer["currency"]) == (4, 20_000, "EUR")


def test_terms_hold_no_word_of_the_sellers():
    spec = replace(SPEC, title="Ann Smith", description="ann@example.org")
    assert b"nn" not in offer_terms(UUID(int=1), 1, spec, ["data_sharing"], ["data_sharing", "marketing"])


def test_the_privacy_sentence_follows_the_budgets():
    told = privacy_sentence(1_000, 4_000)
    assert "factor of 2.7 (epsilon 1.0)" in told
    assert "55 (epsilon 4.0)" in told
