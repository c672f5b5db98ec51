"""Metadata reads the same whether it came raw or decoded, repeated names included."""

import pytest

from gateway.interceptors.metadata import DecodedMetadata, Metadata

VALUES = {"authorization": ["Bearer a"], "x-many": ["1", "2", "3"], "x-text": ["ñ"]}


@pytest.fixture(params=["raw", "decoded"])
def metadata(request):
    if request.param == "decoded":
        return DecodedMetadata(VALUES)
    return Metadata([(name.encode(), v.encode("latin-1")) for name, all_ in VALUES.items() for v in all_])


def test_the_first_value_is_the_one_that_came_first(metadata):
    assert [metadata.first(name) for name in VALUES] == ["Bearer a", "1", "ñ"]


def test_all_values_stand_in_their_order(metadata):
    assert metadata.values("x-many") == ["1", "2", "3"]
    assert metadata.decoded() == VALUES


def test_what_is_absent_is_none_and_nothing(metadata):
    assert metadata.first("x-none") is None
    assert metadata.values("x-none") == []


def test_one_name_given_once_is_read_without_looking_at_the_others():
    assert Metadata([(b"x-one", b"1"), (b"x-two", b"2")]).values("x-two") == ["2"]
