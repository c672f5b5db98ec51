import datetime

from cohortlens.v1 import common_pb2 as _common_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BillingInterval(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BILLING_INTERVAL_UNSPECIFIED: _ClassVar[BillingInterval]
    BILLING_INTERVAL_MONTH: _ClassVar[BillingInterval]
    BILLING_INTERVAL_YEAR: _ClassVar[BillingInterval]

class PlanAccess(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PLAN_ACCESS_UNSPECIFIED: _ClassVar[PlanAccess]
    PLAN_ACCESS_FULL: _ClassVar[PlanAccess]
    PLAN_ACCESS_READ_ONLY: _ClassVar[PlanAccess]
    PLAN_ACCESS_NONE: _ClassVar[PlanAccess]
BILLING_INTERVAL_UNSPECIFIED: BillingInterval
BILLING_INTERVAL_MONTH: BillingInterval
BILLING_INTERVAL_YEAR: BillingInterval
PLAN_ACCESS_UNSPECIFIED: PlanAccess
PLAN_ACCESS_FULL: PlanAccess
PLAN_ACCESS_READ_ONLY: PlanAccess
PLAN_ACCESS_NONE: PlanAccess

class PlanPrice(_message.Message):
    __slots__ = ("interval", "currency", "amount_minor")
    INTERVAL_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_MINOR_FIELD_NUMBER: _ClassVar[int]
    interval: BillingInterval
    currency: str
    amount_minor: int
    def __init__(self, interval: _Optional[_Union[BillingInterval, str]] = ..., currency: _Optional[str] = ..., amount_minor: _Optional[int] = ...) -> None: ...

class PlanLimits(_message.Message):
    __slots__ = ("max_customers", "max_api_calls_per_month", "max_users", "read_per_second", "write_per_second", "inference_per_second", "bulk_in_flight")
    MAX_CUSTOMERS_FIELD_NUMBER: _ClassVar[int]
    MAX_API_CALLS_PER_MONTH_FIELD_NUMBER: _ClassVar[int]
    MAX_USERS_FIELD_NUMBER: _ClassVar[int]
    READ_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    WRITE_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    INFERENCE_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    BULK_IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    max_customers: int
    max_api_calls_per_month: int
    max_users: int
    read_per_second: float
    write_per_second: float
    inference_per_second: float
    bulk_in_flight: int
    def __init__(self, max_customers: _Optional[int] = ..., max_api_calls_per_month: _Optional[int] = ..., max_users: _Optional[int] = ..., read_per_second: _Optional[float] = ..., write_per_second: _Optional[float] = ..., inference_per_second: _Optional[float] = ..., bulk_in_flight: _Optional[int] = ...) -> None: ...

class Plan(_message.Message):
    __slots__ = ("plan", "version", "display_name", "rank", "limits", "features", "prices")
    PLAN_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    PRICES_FIELD_NUMBER: _ClassVar[int]
    plan: str
    version: int
    display_name: str
    rank: int
    limits: PlanLimits
    features: _containers.RepeatedScalarFieldContainer[str]
    prices: _containers.RepeatedCompositeFieldContainer[PlanPrice]
    def __init__(self, plan: _Optional[str] = ..., version: _Optional[int] = ..., display_name: _Optional[str] = ..., rank: _Optional[int] = ..., limits: _Optional[_Union[PlanLimits, _Mapping]] = ..., features: _Optional[_Iterable[str]] = ..., prices: _Optional[_Iterable[_Union[PlanPrice, _Mapping]]] = ...) -> None: ...

class ListPlansRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListPlansResponse(_message.Message):
    __slots__ = ("plans",)
    PLANS_FIELD_NUMBER: _ClassVar[int]
    plans: _containers.RepeatedCompositeFieldContainer[Plan]
    def __init__(self, plans: _Optional[_Iterable[_Union[Plan, _Mapping]]] = ...) -> None: ...

class LimitOverrides(_message.Message):
    __slots__ = ("max_customers", "max_api_calls_per_month", "max_users", "read_per_second", "write_per_second", "inference_per_second", "bulk_in_flight")
    MAX_CUSTOMERS_FIELD_NUMBER: _ClassVar[int]
    MAX_API_CALLS_PER_MONTH_FIELD_NUMBER: _ClassVar[int]
    MAX_USERS_FIELD_NUMBER: _ClassVar[int]
    READ_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    WRITE_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    INFERENCE_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    BULK_IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    max_customers: int
    max_api_calls_per_month: int
    max_users: int
    read_per_second: float
    write_per_second: float
    inference_per_second: float
    bulk_in_flight: int
    def __init__(self, max_customers: _Optional[int] = ..., max_api_calls_per_month: _Optional[int] = ..., max_users: _Optional[int] = ..., read_per_second: _Optional[float] = ..., write_per_second: _Optional[float] = ..., inference_per_second: _Optional[float] = ..., bulk_in_flight: _Optional[int] = ...) -> None: ...

class EntitlementOverride(_message.Message):
    __slots__ = ("plan", "limits", "features", "expire_time")
    PLAN_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    plan: str
    limits: LimitOverrides
    features: _containers.RepeatedScalarFieldContainer[str]
    expire_time: _timestamp_pb2.Timestamp
    def __init__(self, plan: _Optional[str] = ..., limits: _Optional[_Union[LimitOverrides, _Mapping]] = ..., features: _Optional[_Iterable[str]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Entitlement(_message.Message):
    __slots__ = ("plan", "subscribed_plan", "access", "limits", "features", "version", "granted")
    PLAN_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIBED_PLAN_FIELD_NUMBER: _ClassVar[int]
    ACCESS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    GRANTED_FIELD_NUMBER: _ClassVar[int]
    plan: str
    subscribed_plan: str
    access: PlanAccess
    limits: PlanLimits
    features: _containers.RepeatedScalarFieldContainer[str]
    version: int
    granted: EntitlementOverride
    def __init__(self, plan: _Optional[str] = ..., subscribed_plan: _Optional[str] = ..., access: _Optional[_Union[PlanAccess, str]] = ..., limits: _Optional[_Union[PlanLimits, _Mapping]] = ..., features: _Optional[_Iterable[str]] = ..., version: _Optional[int] = ..., granted: _Optional[_Union[EntitlementOverride, _Mapping]] = ...) -> None: ...

class StoredCounts(_message.Message):
    __slots__ = ("customers", "users", "near_limit", "over_limit_since", "read_only_time", "upgrade_to")
    CUSTOMERS_FIELD_NUMBER: _ClassVar[int]
    USERS_FIELD_NUMBER: _ClassVar[int]
    NEAR_LIMIT_FIELD_NUMBER: _ClassVar[int]
    OVER_LIMIT_SINCE_FIELD_NUMBER: _ClassVar[int]
    READ_ONLY_TIME_FIELD_NUMBER: _ClassVar[int]
    UPGRADE_TO_FIELD_NUMBER: _ClassVar[int]
    customers: int
    users: int
    near_limit: bool
    over_limit_since: _timestamp_pb2.Timestamp
    read_only_time: _timestamp_pb2.Timestamp
    upgrade_to: str
    def __init__(self, customers: _Optional[int] = ..., users: _Optional[int] = ..., near_limit: _Optional[bool] = ..., over_limit_since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., read_only_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., upgrade_to: _Optional[str] = ...) -> None: ...

class GetEntitlementRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetEntitlementResponse(_message.Message):
    __slots__ = ("entitlement", "stored")
    ENTITLEMENT_FIELD_NUMBER: _ClassVar[int]
    STORED_FIELD_NUMBER: _ClassVar[int]
    entitlement: Entitlement
    stored: StoredCounts
    def __init__(self, entitlement: _Optional[_Union[Entitlement, _Mapping]] = ..., stored: _Optional[_Union[StoredCounts, _Mapping]] = ...) -> None: ...

class OverrideEntitlementRequest(_message.Message):
    __slots__ = ("tenant", "granted", "reason", "request_id")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    GRANTED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    granted: EntitlementOverride
    reason: str
    request_id: str
    def __init__(self, tenant: _Optional[str] = ..., granted: _Optional[_Union[EntitlementOverride, _Mapping]] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class OverrideEntitlementResponse(_message.Message):
    __slots__ = ("entitlement", "stored")
    ENTITLEMENT_FIELD_NUMBER: _ClassVar[int]
    STORED_FIELD_NUMBER: _ClassVar[int]
    entitlement: Entitlement
    stored: StoredCounts
    def __init__(self, entitlement: _Optional[_Union[Entitlement, _Mapping]] = ..., stored: _Optional[_Union[StoredCounts, _Mapping]] = ...) -> None: ...
