import datetime

from cohortlens.v1 import common_pb2 as _common_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MarketFilter(_message.Message):
    __slots__ = ("dimension", "values")
    DIMENSION_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    dimension: str
    values: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, dimension: _Optional[str] = ..., values: _Optional[_Iterable[str]] = ...) -> None: ...

class MarketQuestion(_message.Message):
    __slots__ = ("measures", "dimensions", "filters")
    MEASURES_FIELD_NUMBER: _ClassVar[int]
    DIMENSIONS_FIELD_NUMBER: _ClassVar[int]
    FILTERS_FIELD_NUMBER: _ClassVar[int]
    measures: _containers.RepeatedScalarFieldContainer[str]
    dimensions: _containers.RepeatedScalarFieldContainer[str]
    filters: _containers.RepeatedCompositeFieldContainer[MarketFilter]
    def __init__(self, measures: _Optional[_Iterable[str]] = ..., dimensions: _Optional[_Iterable[str]] = ..., filters: _Optional[_Iterable[_Union[MarketFilter, _Mapping]]] = ...) -> None: ...

class MarketCell(_message.Message):
    __slots__ = ("values", "is_suppressed", "count", "sum_minor", "mean_minor")
    VALUES_FIELD_NUMBER: _ClassVar[int]
    IS_SUPPRESSED_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    SUM_MINOR_FIELD_NUMBER: _ClassVar[int]
    MEAN_MINOR_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[str]
    is_suppressed: bool
    count: int
    sum_minor: int
    mean_minor: int
    def __init__(self, values: _Optional[_Iterable[str]] = ..., is_suppressed: _Optional[bool] = ..., count: _Optional[int] = ..., sum_minor: _Optional[int] = ..., mean_minor: _Optional[int] = ...) -> None: ...

class MarketAnswer(_message.Message):
    __slots__ = ("revision", "dimensions", "cells", "count_error", "sum_error_minor", "currency", "epsilon_milli", "delta_micro")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    DIMENSIONS_FIELD_NUMBER: _ClassVar[int]
    CELLS_FIELD_NUMBER: _ClassVar[int]
    COUNT_ERROR_FIELD_NUMBER: _ClassVar[int]
    SUM_ERROR_MINOR_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    EPSILON_MILLI_FIELD_NUMBER: _ClassVar[int]
    DELTA_MICRO_FIELD_NUMBER: _ClassVar[int]
    revision: int
    dimensions: _containers.RepeatedScalarFieldContainer[str]
    cells: _containers.RepeatedCompositeFieldContainer[MarketCell]
    count_error: int
    sum_error_minor: int
    currency: str
    epsilon_milli: int
    delta_micro: int
    def __init__(self, revision: _Optional[int] = ..., dimensions: _Optional[_Iterable[str]] = ..., cells: _Optional[_Iterable[_Union[MarketCell, _Mapping]]] = ..., count_error: _Optional[int] = ..., sum_error_minor: _Optional[int] = ..., currency: _Optional[str] = ..., epsilon_milli: _Optional[int] = ..., delta_micro: _Optional[int] = ...) -> None: ...

class MarketQuery(_message.Message):
    __slots__ = ("query", "question", "charged_milli", "answer", "create_time")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    CHARGED_MILLI_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    query: str
    question: MarketQuestion
    charged_milli: int
    answer: MarketAnswer
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, query: _Optional[str] = ..., question: _Optional[_Union[MarketQuestion, _Mapping]] = ..., charged_milli: _Optional[int] = ..., answer: _Optional[_Union[MarketAnswer, _Mapping]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RunQueryRequest(_message.Message):
    __slots__ = ("agreement", "question", "request_id")
    AGREEMENT_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    agreement: str
    question: MarketQuestion
    request_id: str
    def __init__(self, agreement: _Optional[str] = ..., question: _Optional[_Union[MarketQuestion, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class RunQueryResponse(_message.Message):
    __slots__ = ("query",)
    QUERY_FIELD_NUMBER: _ClassVar[int]
    query: MarketQuery
    def __init__(self, query: _Optional[_Union[MarketQuery, _Mapping]] = ...) -> None: ...

class ListQueriesRequest(_message.Message):
    __slots__ = ("agreement", "page_size", "page_token")
    AGREEMENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    agreement: str
    page_size: int
    page_token: str
    def __init__(self, agreement: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListQueriesResponse(_message.Message):
    __slots__ = ("queries", "next_page_token")
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    queries: _containers.RepeatedCompositeFieldContainer[MarketQuery]
    next_page_token: str
    def __init__(self, queries: _Optional[_Iterable[_Union[MarketQuery, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetPrivacyBudgetRequest(_message.Message):
    __slots__ = ("agreement",)
    AGREEMENT_FIELD_NUMBER: _ClassVar[int]
    agreement: str
    def __init__(self, agreement: _Optional[str] = ...) -> None: ...

class PrivacyBudget(_message.Message):
    __slots__ = ("scope", "spent_milli", "total_milli", "reset_time")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    SPENT_MILLI_FIELD_NUMBER: _ClassVar[int]
    TOTAL_MILLI_FIELD_NUMBER: _ClassVar[int]
    RESET_TIME_FIELD_NUMBER: _ClassVar[int]
    scope: str
    spent_milli: int
    total_milli: int
    reset_time: _timestamp_pb2.Timestamp
    def __init__(self, scope: _Optional[str] = ..., spent_milli: _Optional[int] = ..., total_milli: _Optional[int] = ..., reset_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetPrivacyBudgetResponse(_message.Message):
    __slots__ = ("budgets",)
    BUDGETS_FIELD_NUMBER: _ClassVar[int]
    budgets: _containers.RepeatedCompositeFieldContainer[PrivacyBudget]
    def __init__(self, budgets: _Optional[_Iterable[_Union[PrivacyBudget, _Mapping]]] = ...) -> None: ...
