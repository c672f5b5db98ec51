import datetime

from cohortlens.v1 import common_pb2 as _common_pb2
from cohortlens.v1 import consent_notices_pb2 as _consent_notices_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OnError(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ON_ERROR_UNSPECIFIED: _ClassVar[OnError]
    ON_ERROR_SKIP: _ClassVar[OnError]
    ON_ERROR_ABORT: _ClassVar[OnError]

class FileFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FILE_FORMAT_UNSPECIFIED: _ClassVar[FileFormat]
    FILE_FORMAT_CSV: _ClassVar[FileFormat]
    FILE_FORMAT_PARQUET: _ClassVar[FileFormat]
ON_ERROR_UNSPECIFIED: OnError
ON_ERROR_SKIP: OnError
ON_ERROR_ABORT: OnError
FILE_FORMAT_UNSPECIFIED: FileFormat
FILE_FORMAT_CSV: FileFormat
FILE_FORMAT_PARQUET: FileFormat

class ImportConsent(_message.Message):
    __slots__ = ("purposes", "notice", "locale", "collect_time")
    PURPOSES_FIELD_NUMBER: _ClassVar[int]
    NOTICE_FIELD_NUMBER: _ClassVar[int]
    LOCALE_FIELD_NUMBER: _ClassVar[int]
    COLLECT_TIME_FIELD_NUMBER: _ClassVar[int]
    purposes: _containers.RepeatedCompositeFieldContainer[_consent_notices_pb2.PurposeVersion]
    notice: str
    locale: str
    collect_time: _timestamp_pb2.Timestamp
    def __init__(self, purposes: _Optional[_Iterable[_Union[_consent_notices_pb2.PurposeVersion, _Mapping]]] = ..., notice: _Optional[str] = ..., locale: _Optional[str] = ..., collect_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ImportOptions(_message.Message):
    __slots__ = ("columns", "dry_run", "on_error", "format", "currency", "encoding", "delimiter", "file_name", "request_id", "consent")
    class ColumnsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    ON_ERROR_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    DELIMITER_FIELD_NUMBER: _ClassVar[int]
    FILE_NAME_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    CONSENT_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.ScalarMap[str, str]
    dry_run: bool
    on_error: OnError
    format: FileFormat
    currency: str
    encoding: str
    delimiter: str
    file_name: str
    request_id: str
    consent: ImportConsent
    def __init__(self, columns: _Optional[_Mapping[str, str]] = ..., dry_run: _Optional[bool] = ..., on_error: _Optional[_Union[OnError, str]] = ..., format: _Optional[_Union[FileFormat, str]] = ..., currency: _Optional[str] = ..., encoding: _Optional[str] = ..., delimiter: _Optional[str] = ..., file_name: _Optional[str] = ..., request_id: _Optional[str] = ..., consent: _Optional[_Union[ImportConsent, _Mapping]] = ...) -> None: ...

class ImportTransactionsRequest(_message.Message):
    __slots__ = ("options", "chunk")
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    options: ImportOptions
    chunk: bytes
    def __init__(self, options: _Optional[_Union[ImportOptions, _Mapping]] = ..., chunk: _Optional[bytes] = ...) -> None: ...

class ImportRows(_message.Message):
    __slots__ = ("read", "accepted", "rejected", "duplicate")
    READ_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    read: int
    accepted: int
    rejected: int
    duplicate: int
    def __init__(self, read: _Optional[int] = ..., accepted: _Optional[int] = ..., rejected: _Optional[int] = ..., duplicate: _Optional[int] = ...) -> None: ...

class Import(_message.Message):
    __slots__ = ("state", "dry_run", "progress_ratio", "rows", "new_customers", "customers_over", "columns_used", "columns_unused", "error", "file_name", "file_bytes", "file_sha256", "create_time", "end_time", "rejected_by_reason")
    class ColumnsUsedEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class RejectedByReasonEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    IMPORT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_RATIO_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    NEW_CUSTOMERS_FIELD_NUMBER: _ClassVar[int]
    CUSTOMERS_OVER_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_USED_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_UNUSED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    FILE_NAME_FIELD_NUMBER: _ClassVar[int]
    FILE_BYTES_FIELD_NUMBER: _ClassVar[int]
    FILE_SHA256_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    REJECTED_BY_REASON_FIELD_NUMBER: _ClassVar[int]
    state: _common_pb2.WorkState
    dry_run: bool
    progress_ratio: float
    rows: ImportRows
    new_customers: int
    customers_over: int
    columns_used: _containers.ScalarMap[str, str]
    columns_unused: _containers.RepeatedScalarFieldContainer[str]
    error: _common_pb2.WorkError
    file_name: str
    file_bytes: int
    file_sha256: str
    create_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    rejected_by_reason: _containers.ScalarMap[str, int]
    def __init__(self, state: _Optional[_Union[_common_pb2.WorkState, str]] = ..., dry_run: _Optional[bool] = ..., progress_ratio: _Optional[float] = ..., rows: _Optional[_Union[ImportRows, _Mapping]] = ..., new_customers: _Optional[int] = ..., customers_over: _Optional[int] = ..., columns_used: _Optional[_Mapping[str, str]] = ..., columns_unused: _Optional[_Iterable[str]] = ..., error: _Optional[_Union[_common_pb2.WorkError, _Mapping]] = ..., file_name: _Optional[str] = ..., file_bytes: _Optional[int] = ..., file_sha256: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., rejected_by_reason: _Optional[_Mapping[str, int]] = ..., **kwargs) -> None: ...

class ImportTransactionsResponse(_message.Message):
    __slots__ = ()
    IMPORT_FIELD_NUMBER: _ClassVar[int]
    def __init__(self, **kwargs) -> None: ...

class GetImportRequest(_message.Message):
    __slots__ = ()
    IMPORT_FIELD_NUMBER: _ClassVar[int]
    def __init__(self, **kwargs) -> None: ...

class GetImportResponse(_message.Message):
    __slots__ = ()
    IMPORT_FIELD_NUMBER: _ClassVar[int]
    def __init__(self, **kwargs) -> None: ...

class ListImportsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListImportsResponse(_message.Message):
    __slots__ = ("imports", "next_page_token")
    IMPORTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    imports: _containers.RepeatedCompositeFieldContainer[Import]
    next_page_token: str
    def __init__(self, imports: _Optional[_Iterable[_Union[Import, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListImportFaultsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    IMPORT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., **kwargs) -> None: ...

class ImportFault(_message.Message):
    __slots__ = ("row", "line", "column", "reason", "preview")
    ROW_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    PREVIEW_FIELD_NUMBER: _ClassVar[int]
    row: int
    line: int
    column: str
    reason: str
    preview: str
    def __init__(self, row: _Optional[int] = ..., line: _Optional[int] = ..., column: _Optional[str] = ..., reason: _Optional[str] = ..., preview: _Optional[str] = ...) -> None: ...

class ListImportFaultsResponse(_message.Message):
    __slots__ = ("faults", "next_page_token")
    FAULTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    faults: _containers.RepeatedCompositeFieldContainer[ImportFault]
    next_page_token: str
    def __init__(self, faults: _Optional[_Iterable[_Union[ImportFault, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class Customer(_message.Message):
    __slots__ = ("customer", "external_id", "country", "purchase_days", "orders", "spend_minor", "currency", "first_purchase_date", "last_purchase_date", "segment_name", "create_time")
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_ID_FIELD_NUMBER: _ClassVar[int]
    COUNTRY_FIELD_NUMBER: _ClassVar[int]
    PURCHASE_DAYS_FIELD_NUMBER: _ClassVar[int]
    ORDERS_FIELD_NUMBER: _ClassVar[int]
    SPEND_MINOR_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    FIRST_PURCHASE_DATE_FIELD_NUMBER: _ClassVar[int]
    LAST_PURCHASE_DATE_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_NAME_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    customer: str
    external_id: str
    country: str
    purchase_days: int
    orders: int
    spend_minor: int
    currency: str
    first_purchase_date: str
    last_purchase_date: str
    segment_name: str
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, customer: _Optional[str] = ..., external_id: _Optional[str] = ..., country: _Optional[str] = ..., purchase_days: _Optional[int] = ..., orders: _Optional[int] = ..., spend_minor: _Optional[int] = ..., currency: _Optional[str] = ..., first_purchase_date: _Optional[str] = ..., last_purchase_date: _Optional[str] = ..., segment_name: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetCustomerRequest(_message.Message):
    __slots__ = ("customer",)
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    customer: str
    def __init__(self, customer: _Optional[str] = ...) -> None: ...

class GetCustomerResponse(_message.Message):
    __slots__ = ("customer",)
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    customer: Customer
    def __init__(self, customer: _Optional[_Union[Customer, _Mapping]] = ...) -> None: ...

class BatchGetCustomersRequest(_message.Message):
    __slots__ = ("customers",)
    CUSTOMERS_FIELD_NUMBER: _ClassVar[int]
    customers: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, customers: _Optional[_Iterable[str]] = ...) -> None: ...

class BatchGetCustomersResponse(_message.Message):
    __slots__ = ("customers",)
    CUSTOMERS_FIELD_NUMBER: _ClassVar[int]
    customers: _containers.RepeatedCompositeFieldContainer[Customer]
    def __init__(self, customers: _Optional[_Iterable[_Union[Customer, _Mapping]]] = ...) -> None: ...

class ListCustomersRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListCustomersResponse(_message.Message):
    __slots__ = ("customers", "next_page_token", "total_size")
    CUSTOMERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOTAL_SIZE_FIELD_NUMBER: _ClassVar[int]
    customers: _containers.RepeatedCompositeFieldContainer[Customer]
    next_page_token: str
    total_size: int
    def __init__(self, customers: _Optional[_Iterable[_Union[Customer, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., total_size: _Optional[int] = ...) -> None: ...

class DeleteCustomerRequest(_message.Message):
    __slots__ = ("customer", "request_id")
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    customer: str
    request_id: str
    def __init__(self, customer: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class DeleteCustomerResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
