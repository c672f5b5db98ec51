import pytest

from cohortlens.contracts.columns import HeaderFault, recognise
from cohortlens.core.errors import InvalidArgument


def test_case_blanks_underscores_and_hyphens_do_not_matter():
    found = recognise(["Customer ID", "invoice-date", "NET_AMOUNT", "Stock Code"], {})
    assert found.columns_used == {
        "customer": "Customer ID",
        "time": "invoice-date",
        "amount": "NET_AMOUNT",
        "sku": "Stock Code",
    }


def test_of_several_names_the_first_of_the_list_wins_and_the_others_are_unused():
    found = recognise(["value", "date", "revenue", "cliente", "ts", "note"], {})
    assert found.columns_used == {"customer": "cliente", "time": "ts", "amount": "revenue"}
    assert found.columns_unused == ["value", "date", "note"]


def test_an_explicit_column_wins_over_recognition():
    found = recognise(["customer_id", "kunde", "date", "amount"], {"customer": "kunde"})
    assert found.columns_used["customer"] == "kunde"
    assert found.columns_unused == ["customer_id"]


def test_unit_price_serves_when_there_is_no_amount_and_is_unused_otherwise():
    assert recognise(["customer", "ts", "price", "qty"], {}).columns_used["unit_price"] == "price"
    found = recognise(["customer", "ts", "price", "amount"], {})
    assert "unit_price" not in found.columns_used
    assert found.columns_unused == ["price"]


@pytest.mark.parametrize(
    ("header", "field"),
    [
        (["date", "amount"], "customer"),
        (["customer", "amount"], "time"),
        (["customer", "ts", "qty"], "amount"),
    ],
)
def test_a_required_field_without_a_column_is_named(header, field):
    with pytest.raises(HeaderFault) as caught:
        recognise(header, {})
    assert caught.value.reason == "HEADER_MISSING"
    assert caught.value.metadata["field"] == field


def test_two_columns_of_one_name_are_ambiguous_whatever_they_are_for():
    with pytest.raises(HeaderFault) as caught:
        recognise(["customer", "ts", "amount", "Note", "note_"], {})
    assert caught.value.reason == "HEADER_AMBIGUOUS"


def test_an_explicit_column_that_the_file_lacks_is_named():
    with pytest.raises(HeaderFault, match=r"options.columns\[customer\].*'kunde'"):
        recognise(["customer", "ts", "amount"], {"customer": "kunde"})


@pytest.mark.parametrize("explicit", [{"colour": "ts"}, {"time": "ts", "known_at": "ts"}])
def test_an_unknown_field_and_a_column_used_twice_are_refused(explicit):
    with pytest.raises(InvalidArgument, match=r"options\.columns"):
        recognise(["customer", "ts", "amount"], explicit)
