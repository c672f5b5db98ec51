"""Clients that others wrote call the same methods, each in its own protocol, and get equal data and equal errors."""

from __future__ import annotations

import pytest

from tests.e2e.interop.callers import CALLERS, PAGES, fetched, grpcurl, outcomes, told_to_scripts


@pytest.fixture(scope="module")
def told(site, table):
    """What grpcurl was told: every other client is compared with it."""
    return grpcurl(site, table)


def test_grpcurl_gets_an_answer_or_the_reason_that_the_case_names(table, told):
    for case in table:
        error = told[case.id].error
        reason = error["details"][0]["reason"] if error else ""
        assert reason == case.expect, (case.id, error)
        assert bool(told[case.id].messages) != bool(case.expect), case.id


def assert_equal(mine, told, cases):
    """Compare case by case, so that a difference names its case."""
    assert len(cases) >= 9
    differing = {case.id: (mine[case.id], told[case.id]) for case in cases if mine[case.id] != told[case.id]}
    assert differing == {}


@pytest.mark.parametrize("name", [one for one in CALLERS if one != "grpcurl"])
def test_a_client_gets_what_grpcurl_gets(site, table, told, name):
    caller, kinds = CALLERS[name]
    cases = [one for one in table if one.kind in kinds and not (name == "curl" and one.http is None)]
    assert_equal(caller(site, cases), told, cases)


@pytest.mark.parametrize("protocol", PAGES)
def test_a_page_of_another_site_gets_what_grpcurl_gets(site, table, told, page, protocol):
    cases = [one for one in table if one.kind in PAGES[protocol]]
    given = {"http": site.http, "protocol": protocol, "cases": told_to_scripts(site, cases)}
    if protocol == "fetch":
        for one, case in zip(given["cases"], cases, strict=True):
            if case.http.content_type:
                one["headers"]["content-type"] = case.http.content_type
    found = page.evaluate("given => window.called(given)", given)
    assert_equal((fetched if protocol == "fetch" else outcomes)(cases, found), told, cases)


def test_the_failures_tell_fields_reasons_and_a_sentence_in_the_language_asked_for(told):
    invalid = told["invalid"].error
    kinds = [one["type"].rpartition(".")[2] for one in invalid["details"]]
    assert kinds == ["ErrorInfo", "BadRequest", "LocalizedMessage", "RequestInfo"]
    fields = {one["field"] for one in invalid["details"][1]["fieldViolations"]}
    assert fields == {"horizon_days", "request_id", "level_ratio"}
    assert invalid["details"][2]["locale"] == "es"
