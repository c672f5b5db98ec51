"""Minor units of the world's currencies (ISO 4217), for money that is stored as whole numbers."""

from __future__ import annotations

from cohortlens.core.errors import InvalidArgument

_CODES = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: (
        "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF "
        "CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG "
        "HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU "
        "MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR "
        "SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED "
        "VES WST XCD YER ZAR ZMW ZWG"
    ),
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
_DIGITS = {code: digits for digits, codes in _CODES.items() for code in codes.split()}


class CurrencyUnknown(InvalidArgument):
    """The code is not one of ISO 4217's active currencies."""

    reason = "CURRENCY_UNKNOWN"


def minor_digits(code: str) -> int:
    """Tell how many decimal digits the minor unit of a currency has.

    Args:
        code: ISO 4217 code in upper case, such as ``EUR``.

    Returns:
        0 for JPY, 2 for most, 3 for KWD, 4 for CLF.

    Raises:
        CurrencyUnknown: No active currency has this code.
    """
    digits = _DIGITS.get(code)
    if digits is None:
        raise CurrencyUnknown(
            f"Currency {code[:8]!r} is no active ISO 4217 code; use three upper-case letters such as EUR.",
        )
    return digits
