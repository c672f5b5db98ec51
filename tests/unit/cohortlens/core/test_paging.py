"""Page tokens work for the caller and the list they were given for, and for a day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from cohortlens.core.errors import InvalidArgument
from cohortlens.core.paging import PageTokens, page_size

KEK = bytes(range(32))
NORTH, SOUTH = UUID(int=1), UUID(int=2)
START = datetime(2026, 11, 23, 12, tzinfo=UTC)
CURSOR = ["Müller", 7, None, "01a2"]


def tokens(at=START):
    return PageTokens(KEK, lambda: at)


@pytest.fixture
def token():
    return tokens().encode_token(NORTH, "ListCustomers", {"state": "x", "b": 1}, CURSOR)


def test_a_token_gives_its_cursor_back_whatever_the_order_of_the_filters(token):
    assert tokens().decode_token(NORTH, "ListCustomers", {"b": 1, "state": "x"}, token) == CURSOR


def test_a_token_tells_nothing_of_its_cursor_and_is_safe_in_a_url(token):
    assert token.isascii()
    assert not set(token) & set("+/=&?%")
    assert "ller" not in token


@pytest.mark.parametrize(
    ("tenant", "method", "filters"),
    [
        (SOUTH, "ListCustomers", {"state": "x", "b": 1}),
        (NORTH, "ListImports", {"state": "x", "b": 1}),
        (NORTH, "ListCustomers", {"state": "y", "b": 1}),
        (NORTH, "ListCustomers", {}),
    ],
)
def test_a_token_of_another_tenant_method_or_filter_is_refused(token, tenant, method, filters):
    with pytest.raises(InvalidArgument) as caught:
        tokens().decode_token(tenant, method, filters, token)
    assert caught.value.reason == "PAGE_TOKEN_INVALID"
    assert caught.value.violations[0].field == "page_token"


def test_altered_tokens_are_refused(token):
    filters = {"state": "x", "b": 1}
    for bad in ("", "x", "!", token[:-2], token + "AAAA", token.swapcase(), "é", "A" * 5000):
        with pytest.raises(InvalidArgument) as caught:
            tokens().decode_token(NORTH, "ListCustomers", filters, bad)
        assert caught.value.reason == "PAGE_TOKEN_INVALID"


def test_a_token_lasts_a_day_and_no_longer(token):
    filters = {"state": "x", "b": 1}
    last = START + timedelta(hours=24)
    assert tokens(last).decode_token(NORTH, "ListCustomers", filters, token) == CURSOR
    with pytest.raises(InvalidArgument):
        tokens(last + timedelta(seconds=1)).decode_token(NORTH, "ListCustomers", filters, token)


@pytest.mark.parametrize(
    ("requested", "given"), [(0, 50), (1, 1), (1000, 1000), (1001, 1000), (2**31 - 1, 1000)]
)
def test_page_sizes_have_a_default_and_a_limit(requested, given):
    assert page_size(requested) == given


def test_a_negative_page_size_names_its_field():
    with pytest.raises(InvalidArgument) as caught:
        page_size(-1)
    assert (caught.value.reason, caught.value.violations[0].field) == ("FIELD_INVALID", "page_size")
