"""Values and errors of the customers slice; nothing here touches a database or a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cohortlens.core.errors import InvalidArgument, NotFound, Violation
from cohortlens.core.ids import CustomerId, ImportId, parse_uuid
from cohortlens.customers.consents import ImportedConsent

MAX_FILE_BYTES = 1 << 30
MAX_ROWS = 5_000_000
MAX_EXPANSION = 20
MAX_FAULTS_KEPT = 1_000
PREVIEW_CHARACTERS = 80
EXTERNAL_PREFIX = "external:"

IMPORT_REQUESTED = "import.requested"
TRANSACTIONS_IMPORTED = "transactions.imported"


class ImportState(StrEnum):
    """State of an import; the last two are final."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


class FileFormat(StrEnum):
    """Form of the uploaded file."""

    AUTO = "AUTO"
    CSV = "CSV"
    PARQUET = "PARQUET"


@dataclass(frozen=True)
class ImportOptions:
    """How to read a file of transactions.

    Attributes:
        columns: Column of the file by field, where recognition is not wanted.
        dry_run: Validate only.
        abort_on_fault: The first row fault refuses the file.
        format: Form of the file; AUTO looks at its first bytes.
        currency: ISO 4217 code; empty for the tenant's.
        encoding: Text encoding of CSV; empty for UTF-8.
        delimiter: Delimiter of CSV; empty to recognise it.
        file_name: Name for the list of imports.
        consent: What all customers of the file have consented to; None for nothing.
    """

    columns: dict[str, str] = field(default_factory=dict)
    dry_run: bool = False
    abort_on_fault: bool = False
    format: FileFormat = FileFormat.AUTO
    currency: str = ""
    encoding: str = ""
    delimiter: str = ""
    file_name: str = ""
    consent: ImportedConsent | None = None

    def as_json(self) -> dict[str, Any]:
        """The options as the imports row stores them."""
        stored = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**stored, "consent": None if self.consent is None else self.consent.as_json()}

    @staticmethod
    def from_json(stored: dict[str, Any]) -> ImportOptions:
        """Options from a stored row."""
        consent = stored.get("consent")
        read = None if consent is None else ImportedConsent.from_json(consent)
        return ImportOptions(**{**stored, "format": FileFormat(stored["format"]), "consent": read})


@dataclass(frozen=True)
class ImportRows:
    """Rows of an import by outcome."""

    read: int = 0
    accepted: int = 0
    rejected: int = 0
    duplicate: int = 0


@dataclass(frozen=True)
class Import:
    """One stored import; times are aware and in UTC, ``file_sha256`` is hex.

    ``customers_over`` is how many of its new customers the plan has no room for: the import failed of it, or
    a dry run tells that it would.
    """

    import_id: ImportId
    state: ImportState
    options: ImportOptions
    progress_ratio: float
    rows: ImportRows
    new_customers: int
    columns_used: dict[str, str]
    columns_unused: list[str]
    rejected_by_reason: dict[str, int]
    error_reason: str
    error_message: str
    file_bytes: int
    file_sha256: str
    created_at: datetime
    ended_at: datetime | None
    customers_over: int = 0


@dataclass(frozen=True)
class RowFault:
    """One refused row.

    Attributes:
        row: Row in the file; the first after the header is 1.
        line: Line of a CSV file (the header is 1); 0 for Parquet.
        column: Column of the file.
        reason: Upper snake case, such as AMOUNT_INVALID.
        preview: First 80 characters of the value.
    """

    row: int
    line: int
    column: str
    reason: str
    preview: str


@dataclass(frozen=True)
class Customer:
    """A customer and the plain facts about them; money in minor units of ``currency``."""

    customer_id: CustomerId
    external_id: str
    country: str
    purchase_days: int
    orders: int
    spend_minor: int
    currency: str
    first_purchase_on: date | None
    last_purchase_on: date | None
    segment_name: str
    created_at: datetime


@dataclass(frozen=True)
class Page:
    """One page of a list and the token of the next (empty on the last)."""

    items: Sequence[Any]
    next_page_token: str
    total_size: int = 0


@dataclass(frozen=True)
class FeatureRows:
    """Stored features of some customers, in the order asked for.

    Attributes:
        customer_ids: Customers, n of them.
        external_ids: Their identifiers in the tenant's own data.
        matrix: Features in schema order, shape (n, columns), float32; ``horizon`` is 0. Wide rows, with the
            weekly sequence behind the features, where they were asked for.
        as_of: Last day of data the features know.
        data_revision: Counts the imports that changed the data.
        schema_hash: Hash of the feature schema.
        currency: ISO 4217 code of the money columns (major units).
        excluded_no_consent: Customers left out because they may not be used for what was asked.
    """

    customer_ids: tuple[CustomerId, ...]
    external_ids: tuple[str, ...]
    matrix: NDArray[np.float32]
    as_of: date
    data_revision: int
    schema_hash: str
    currency: str
    excluded_no_consent: int = 0


@dataclass(frozen=True)
class TrainingSnapshot:
    """Purchase-days of the customers who may be used, without identifiers.

    Attributes:
        table: Columns ``customer, day, amount, orders, items, skus, lines, returns, known``.
        as_of: Last day of data.
        currency: ISO 4217 code of the amounts.
        excluded_no_consent: Customers with purchases who were left out.
        consent_version: Version of the last change of a consent that is in it; 0 for none.
        losses: Mark that changes when one of them may be used no more.
    """

    table: pa.Table
    as_of: date
    currency: str
    excluded_no_consent: int = 0
    consent_version: int = 0
    losses: str = ""


@dataclass(frozen=True)
class DataState:
    """How much data a tenant has.

    Attributes:
        purchase_days: Purchase-days of the customers whom models may be trained on.
        as_of: Last day of data; None before the first import.
        revision: Counts the imports that changed the data; 0 before the first.
    """

    purchase_days: int
    as_of: date | None
    revision: int


def customer_key(name: str) -> UUID | str | None:
    """What a request's name of a customer stands for.

    Returns:
        An identifier, or the text of an external one behind ``external:``; None when it is neither.
    """
    return name.removeprefix(EXTERNAL_PREFIX) if name.startswith(EXTERNAL_PREFIX) else parse_uuid(name)


class FileFault(InvalidArgument):
    """The file as a whole cannot be imported; ``reason`` says why, the message what to do."""

    reason = "FILE_UNREADABLE"


class FileEmpty(FileFault):
    """The upload holds no bytes or no rows."""

    reason = "FILE_EMPTY"


class ImportTooLarge(FileFault):
    """More bytes or rows than one import may hold."""

    reason = "IMPORT_TOO_LARGE"


class ImportAborted(FileFault):
    """A row fault in a file that was to be refused at the first one."""

    reason = "ROW_INVALID"


class CustomerNotFound(NotFound):
    """No such customer, or another tenant's; names the field of the request."""

    def __init__(self, field_path: str) -> None:
        super().__init__(
            f"{field_path}: no such customer",
            violations=(Violation(field_path, "no such customer"),),
            metadata={"field": field_path},
        )


class ImportNotFound(NotFound):
    """No such import, or another tenant's."""

    def __init__(self) -> None:
        super().__init__(
            "import: no such import",
            violations=(Violation("import", "no such import"),),
            metadata={"field": "import"},
        )
