import pytest

from cohortlens.contracts.currency import CurrencyUnknown, minor_digits


@pytest.mark.parametrize(
    ("code", "digits"), [("EUR", 2), ("USD", 2), ("JPY", 0), ("KRW", 0), ("KWD", 3), ("BHD", 3), ("CLF", 4)]
)
def test_minor_units_are_those_of_the_standard(code, digits):
    assert minor_digits(code) == digits


@pytest.mark.parametrize("code", ["", "eur", "EURO", "XXX", "DEM", "E R", "€", "0"])
def test_an_unknown_code_is_refused_by_name(code):
    with pytest.raises(CurrencyUnknown) as caught:
        minor_digits(code)
    assert caught.value.reason == "CURRENCY_UNKNOWN"
