"""What the options of an import may be, before anything of the file is read."""

from __future__ import annotations

from cohortlens.contracts.columns import check_fields
from cohortlens.contracts.currency import CurrencyUnknown, minor_digits
from cohortlens.core.errors import InvalidArgument, Violation
from cohortlens.customers.dialect import check_delimiter
from cohortlens.customers.models import ImportOptions
from cohortlens.customers.streams import check_encoding


def check_options(options: ImportOptions) -> None:
    """Refuse options that no file can satisfy.

    Raises:
        InvalidArgument: Unknown field, currency or encoding, or a delimiter that cannot delimit.
    """
    check_fields(options.columns)
    for path, value in (("file_name", options.file_name), *_column_paths(options)):
        if "\0" in value:
            raise InvalidArgument(
                f"options.{path}: must not hold a NUL character",
                violations=(Violation(f"options.{path}", "holds a NUL character"),),
            )
    if options.currency:
        _check_currency(options.currency)
    check_encoding(options.encoding)
    check_delimiter(options.delimiter)


def _column_paths(options: ImportOptions) -> list[tuple[str, str]]:
    return [(f"columns[{field}]", column) for field, column in options.columns.items()]


def _check_currency(code: str) -> None:
    try:
        minor_digits(code)
    except CurrencyUnknown as fault:
        raise CurrencyUnknown(
            f"options.currency: {fault.message}", violations=(Violation("options.currency", fault.message),)
        ) from None
