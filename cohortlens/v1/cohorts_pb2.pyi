from cohortlens.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CohortBy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COHORT_BY_UNSPECIFIED: _ClassVar[CohortBy]
    COHORT_BY_MONTH: _ClassVar[CohortBy]
    COHORT_BY_WEEK: _ClassVar[CohortBy]
    COHORT_BY_DAY: _ClassVar[CohortBy]
    COHORT_BY_COUNTRY: _ClassVar[CohortBy]
    COHORT_BY_SEGMENT: _ClassVar[CohortBy]
    COHORT_BY_FIRST_SKU: _ClassVar[CohortBy]
    COHORT_BY_ATTRIBUTE: _ClassVar[CohortBy]

class CohortPeriod(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COHORT_PERIOD_UNSPECIFIED: _ClassVar[CohortPeriod]
    COHORT_PERIOD_MONTH: _ClassVar[CohortPeriod]
    COHORT_PERIOD_WEEK: _ClassVar[CohortPeriod]
    COHORT_PERIOD_DAY: _ClassVar[CohortPeriod]

class CohortAlign(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COHORT_ALIGN_UNSPECIFIED: _ClassVar[CohortAlign]
    COHORT_ALIGN_CALENDAR: _ClassVar[CohortAlign]
    COHORT_ALIGN_ROLLING: _ClassVar[CohortAlign]

class CohortCriterion(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COHORT_CRITERION_UNSPECIFIED: _ClassVar[CohortCriterion]
    COHORT_CRITERION_ON: _ClassVar[CohortCriterion]
    COHORT_CRITERION_ON_OR_AFTER: _ClassVar[CohortCriterion]
    COHORT_CRITERION_AT_LEAST_N: _ClassVar[CohortCriterion]

class CohortMeasure(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COHORT_MEASURE_UNSPECIFIED: _ClassVar[CohortMeasure]
    COHORT_MEASURE_CUSTOMERS: _ClassVar[CohortMeasure]
    COHORT_MEASURE_ORDERS: _ClassVar[CohortMeasure]
    COHORT_MEASURE_REVENUE: _ClassVar[CohortMeasure]
    COHORT_MEASURE_LTV_PER_CUSTOMER: _ClassVar[CohortMeasure]
    COHORT_MEASURE_MARGIN: _ClassVar[CohortMeasure]

class CohortApplyTo(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COHORT_APPLY_TO_UNSPECIFIED: _ClassVar[CohortApplyTo]
    COHORT_APPLY_TO_RETURNS: _ClassVar[CohortApplyTo]
    COHORT_APPLY_TO_DEFINITION: _ClassVar[CohortApplyTo]

class SurvivalEvent(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SURVIVAL_EVENT_UNSPECIFIED: _ClassVar[SurvivalEvent]
    SURVIVAL_EVENT_INACTIVITY: _ClassVar[SurvivalEvent]
    SURVIVAL_EVENT_ORDER: _ClassVar[SurvivalEvent]
COHORT_BY_UNSPECIFIED: CohortBy
COHORT_BY_MONTH: CohortBy
COHORT_BY_WEEK: CohortBy
COHORT_BY_DAY: CohortBy
COHORT_BY_COUNTRY: CohortBy
COHORT_BY_SEGMENT: CohortBy
COHORT_BY_FIRST_SKU: CohortBy
COHORT_BY_ATTRIBUTE: CohortBy
COHORT_PERIOD_UNSPECIFIED: CohortPeriod
COHORT_PERIOD_MONTH: CohortPeriod
COHORT_PERIOD_WEEK: CohortPeriod
COHORT_PERIOD_DAY: CohortPeriod
COHORT_ALIGN_UNSPECIFIED: CohortAlign
COHORT_ALIGN_CALENDAR: CohortAlign
COHORT_ALIGN_ROLLING: CohortAlign
COHORT_CRITERION_UNSPECIFIED: CohortCriterion
COHORT_CRITERION_ON: CohortCriterion
COHORT_CRITERION_ON_OR_AFTER: CohortCriterion
COHORT_CRITERION_AT_LEAST_N: CohortCriterion
COHORT_MEASURE_UNSPECIFIED: CohortMeasure
COHORT_MEASURE_CUSTOMERS: CohortMeasure
COHORT_MEASURE_ORDERS: CohortMeasure
COHORT_MEASURE_REVENUE: CohortMeasure
COHORT_MEASURE_LTV_PER_CUSTOMER: CohortMeasure
COHORT_MEASURE_MARGIN: CohortMeasure
COHORT_APPLY_TO_UNSPECIFIED: CohortApplyTo
COHORT_APPLY_TO_RETURNS: CohortApplyTo
COHORT_APPLY_TO_DEFINITION: CohortApplyTo
SURVIVAL_EVENT_UNSPECIFIED: SurvivalEvent
SURVIVAL_EVENT_INACTIVITY: SurvivalEvent
SURVIVAL_EVENT_ORDER: SurvivalEvent

class CohortFilter(_message.Message):
    __slots__ = ("countries", "segments", "attribute", "attribute_values", "skus", "min_amount", "max_amount", "apply_to", "first_from", "first_to", "net")
    COUNTRIES_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTE_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTE_VALUES_FIELD_NUMBER: _ClassVar[int]
    SKUS_FIELD_NUMBER: _ClassVar[int]
    MIN_AMOUNT_FIELD_NUMBER: _ClassVar[int]
    MAX_AMOUNT_FIELD_NUMBER: _ClassVar[int]
    APPLY_TO_FIELD_NUMBER: _ClassVar[int]
    FIRST_FROM_FIELD_NUMBER: _ClassVar[int]
    FIRST_TO_FIELD_NUMBER: _ClassVar[int]
    NET_FIELD_NUMBER: _ClassVar[int]
    countries: _containers.RepeatedScalarFieldContainer[str]
    segments: _containers.RepeatedScalarFieldContainer[str]
    attribute: str
    attribute_values: _containers.RepeatedScalarFieldContainer[str]
    skus: _containers.RepeatedScalarFieldContainer[str]
    min_amount: float
    max_amount: float
    apply_to: CohortApplyTo
    first_from: str
    first_to: str
    net: bool
    def __init__(self, countries: _Optional[_Iterable[str]] = ..., segments: _Optional[_Iterable[str]] = ..., attribute: _Optional[str] = ..., attribute_values: _Optional[_Iterable[str]] = ..., skus: _Optional[_Iterable[str]] = ..., min_amount: _Optional[float] = ..., max_amount: _Optional[float] = ..., apply_to: _Optional[_Union[CohortApplyTo, str]] = ..., first_from: _Optional[str] = ..., first_to: _Optional[str] = ..., net: _Optional[bool] = ...) -> None: ...

class QueryCohortsRequest(_message.Message):
    __slots__ = ("cohort_by", "attribute", "period", "align", "criterion", "at_least", "measure", "margin_ratio", "time_zone", "filter", "periods")
    COHORT_BY_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTE_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    ALIGN_FIELD_NUMBER: _ClassVar[int]
    CRITERION_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    MEASURE_FIELD_NUMBER: _ClassVar[int]
    MARGIN_RATIO_FIELD_NUMBER: _ClassVar[int]
    TIME_ZONE_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    PERIODS_FIELD_NUMBER: _ClassVar[int]
    cohort_by: CohortBy
    attribute: str
    period: CohortPeriod
    align: CohortAlign
    criterion: CohortCriterion
    at_least: int
    measure: CohortMeasure
    margin_ratio: float
    time_zone: str
    filter: CohortFilter
    periods: int
    def __init__(self, cohort_by: _Optional[_Union[CohortBy, str]] = ..., attribute: _Optional[str] = ..., period: _Optional[_Union[CohortPeriod, str]] = ..., align: _Optional[_Union[CohortAlign, str]] = ..., criterion: _Optional[_Union[CohortCriterion, str]] = ..., at_least: _Optional[int] = ..., measure: _Optional[_Union[CohortMeasure, str]] = ..., margin_ratio: _Optional[float] = ..., time_zone: _Optional[str] = ..., filter: _Optional[_Union[CohortFilter, _Mapping]] = ..., periods: _Optional[int] = ...) -> None: ...

class CohortCell(_message.Message):
    __slots__ = ("value", "per_customer", "observed")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    PER_CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_FIELD_NUMBER: _ClassVar[int]
    value: float
    per_customer: float
    observed: int
    def __init__(self, value: _Optional[float] = ..., per_customer: _Optional[float] = ..., observed: _Optional[int] = ...) -> None: ...

class Cohort(_message.Message):
    __slots__ = ("key", "name", "size", "cells")
    KEY_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    CELLS_FIELD_NUMBER: _ClassVar[int]
    key: str
    name: str
    size: int
    cells: _containers.RepeatedCompositeFieldContainer[CohortCell]
    def __init__(self, key: _Optional[str] = ..., name: _Optional[str] = ..., size: _Optional[int] = ..., cells: _Optional[_Iterable[_Union[CohortCell, _Mapping]]] = ...) -> None: ...

class QueryCohortsResponse(_message.Message):
    __slots__ = ("cohorts", "total", "periods", "unit", "currency", "data_as_of", "data_revision", "cohort_by", "period", "align", "criterion", "measure", "apply_to", "time_zone", "excluded_no_consent")
    COHORTS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    PERIODS_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    DATA_AS_OF_FIELD_NUMBER: _ClassVar[int]
    DATA_REVISION_FIELD_NUMBER: _ClassVar[int]
    COHORT_BY_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    ALIGN_FIELD_NUMBER: _ClassVar[int]
    CRITERION_FIELD_NUMBER: _ClassVar[int]
    MEASURE_FIELD_NUMBER: _ClassVar[int]
    APPLY_TO_FIELD_NUMBER: _ClassVar[int]
    TIME_ZONE_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_NO_CONSENT_FIELD_NUMBER: _ClassVar[int]
    cohorts: _containers.RepeatedCompositeFieldContainer[Cohort]
    total: Cohort
    periods: int
    unit: str
    currency: str
    data_as_of: str
    data_revision: int
    cohort_by: CohortBy
    period: CohortPeriod
    align: CohortAlign
    criterion: CohortCriterion
    measure: CohortMeasure
    apply_to: CohortApplyTo
    time_zone: str
    excluded_no_consent: int
    def __init__(self, cohorts: _Optional[_Iterable[_Union[Cohort, _Mapping]]] = ..., total: _Optional[_Union[Cohort, _Mapping]] = ..., periods: _Optional[int] = ..., unit: _Optional[str] = ..., currency: _Optional[str] = ..., data_as_of: _Optional[str] = ..., data_revision: _Optional[int] = ..., cohort_by: _Optional[_Union[CohortBy, str]] = ..., period: _Optional[_Union[CohortPeriod, str]] = ..., align: _Optional[_Union[CohortAlign, str]] = ..., criterion: _Optional[_Union[CohortCriterion, str]] = ..., measure: _Optional[_Union[CohortMeasure, str]] = ..., apply_to: _Optional[_Union[CohortApplyTo, str]] = ..., time_zone: _Optional[str] = ..., excluded_no_consent: _Optional[int] = ...) -> None: ...

class QuerySurvivalRequest(_message.Message):
    __slots__ = ("event", "gap_days", "order_number", "cohort_by", "attribute", "time_zone", "filter", "max_days", "level_ratio")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    GAP_DAYS_FIELD_NUMBER: _ClassVar[int]
    ORDER_NUMBER_FIELD_NUMBER: _ClassVar[int]
    COHORT_BY_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTE_FIELD_NUMBER: _ClassVar[int]
    TIME_ZONE_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    MAX_DAYS_FIELD_NUMBER: _ClassVar[int]
    LEVEL_RATIO_FIELD_NUMBER: _ClassVar[int]
    event: SurvivalEvent
    gap_days: int
    order_number: int
    cohort_by: CohortBy
    attribute: str
    time_zone: str
    filter: CohortFilter
    max_days: int
    level_ratio: float
    def __init__(self, event: _Optional[_Union[SurvivalEvent, str]] = ..., gap_days: _Optional[int] = ..., order_number: _Optional[int] = ..., cohort_by: _Optional[_Union[CohortBy, str]] = ..., attribute: _Optional[str] = ..., time_zone: _Optional[str] = ..., filter: _Optional[_Union[CohortFilter, _Mapping]] = ..., max_days: _Optional[int] = ..., level_ratio: _Optional[float] = ...) -> None: ...

class SurvivalStep(_message.Message):
    __slots__ = ("day", "at_risk", "events", "survival", "lower", "upper")
    DAY_FIELD_NUMBER: _ClassVar[int]
    AT_RISK_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    SURVIVAL_FIELD_NUMBER: _ClassVar[int]
    LOWER_FIELD_NUMBER: _ClassVar[int]
    UPPER_FIELD_NUMBER: _ClassVar[int]
    day: int
    at_risk: int
    events: int
    survival: float
    lower: float
    upper: float
    def __init__(self, day: _Optional[int] = ..., at_risk: _Optional[int] = ..., events: _Optional[int] = ..., survival: _Optional[float] = ..., lower: _Optional[float] = ..., upper: _Optional[float] = ...) -> None: ...

class SurvivalCurve(_message.Message):
    __slots__ = ("key", "name", "size", "events", "median_days", "steps")
    KEY_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    MEDIAN_DAYS_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    key: str
    name: str
    size: int
    events: int
    median_days: int
    steps: _containers.RepeatedCompositeFieldContainer[SurvivalStep]
    def __init__(self, key: _Optional[str] = ..., name: _Optional[str] = ..., size: _Optional[int] = ..., events: _Optional[int] = ..., median_days: _Optional[int] = ..., steps: _Optional[_Iterable[_Union[SurvivalStep, _Mapping]]] = ...) -> None: ...

class QuerySurvivalResponse(_message.Message):
    __slots__ = ("curves", "gap_days", "order_number", "level_ratio", "data_as_of", "data_revision", "event", "time_zone", "excluded_no_consent")
    CURVES_FIELD_NUMBER: _ClassVar[int]
    GAP_DAYS_FIELD_NUMBER: _ClassVar[int]
    ORDER_NUMBER_FIELD_NUMBER: _ClassVar[int]
    LEVEL_RATIO_FIELD_NUMBER: _ClassVar[int]
    DATA_AS_OF_FIELD_NUMBER: _ClassVar[int]
    DATA_REVISION_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    TIME_ZONE_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_NO_CONSENT_FIELD_NUMBER: _ClassVar[int]
    curves: _containers.RepeatedCompositeFieldContainer[SurvivalCurve]
    gap_days: int
    order_number: int
    level_ratio: float
    data_as_of: str
    data_revision: int
    event: SurvivalEvent
    time_zone: str
    excluded_no_consent: int
    def __init__(self, curves: _Optional[_Iterable[_Union[SurvivalCurve, _Mapping]]] = ..., gap_days: _Optional[int] = ..., order_number: _Optional[int] = ..., level_ratio: _Optional[float] = ..., data_as_of: _Optional[str] = ..., data_revision: _Optional[int] = ..., event: _Optional[_Union[SurvivalEvent, str]] = ..., time_zone: _Optional[str] = ..., excluded_no_consent: _Optional[int] = ...) -> None: ...

class ProjectRetentionRequest(_message.Message):
    __slots__ = ("survivors", "periods", "period", "gap_days", "cohort_by", "attribute", "time_zone", "filter", "level_ratio", "seed")
    SURVIVORS_FIELD_NUMBER: _ClassVar[int]
    PERIODS_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    GAP_DAYS_FIELD_NUMBER: _ClassVar[int]
    COHORT_BY_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTE_FIELD_NUMBER: _ClassVar[int]
    TIME_ZONE_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    LEVEL_RATIO_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    survivors: _containers.RepeatedScalarFieldContainer[int]
    periods: int
    period: CohortPeriod
    gap_days: int
    cohort_by: CohortBy
    attribute: str
    time_zone: str
    filter: CohortFilter
    level_ratio: float
    seed: int
    def __init__(self, survivors: _Optional[_Iterable[int]] = ..., periods: _Optional[int] = ..., period: _Optional[_Union[CohortPeriod, str]] = ..., gap_days: _Optional[int] = ..., cohort_by: _Optional[_Union[CohortBy, str]] = ..., attribute: _Optional[str] = ..., time_zone: _Optional[str] = ..., filter: _Optional[_Union[CohortFilter, _Mapping]] = ..., level_ratio: _Optional[float] = ..., seed: _Optional[int] = ...) -> None: ...

class RetentionPoint(_message.Message):
    __slots__ = ("period", "observed", "projected", "lower", "upper", "at_risk")
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_FIELD_NUMBER: _ClassVar[int]
    PROJECTED_FIELD_NUMBER: _ClassVar[int]
    LOWER_FIELD_NUMBER: _ClassVar[int]
    UPPER_FIELD_NUMBER: _ClassVar[int]
    AT_RISK_FIELD_NUMBER: _ClassVar[int]
    period: int
    observed: float
    projected: float
    lower: float
    upper: float
    at_risk: int
    def __init__(self, period: _Optional[int] = ..., observed: _Optional[float] = ..., projected: _Optional[float] = ..., lower: _Optional[float] = ..., upper: _Optional[float] = ..., at_risk: _Optional[int] = ...) -> None: ...

class RetentionProjection(_message.Message):
    __slots__ = ("key", "name", "size", "observed_periods", "points", "alpha", "beta", "boundary", "reason")
    KEY_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_PERIODS_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    ALPHA_FIELD_NUMBER: _ClassVar[int]
    BETA_FIELD_NUMBER: _ClassVar[int]
    BOUNDARY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    key: str
    name: str
    size: int
    observed_periods: int
    points: _containers.RepeatedCompositeFieldContainer[RetentionPoint]
    alpha: float
    beta: float
    boundary: str
    reason: str
    def __init__(self, key: _Optional[str] = ..., name: _Optional[str] = ..., size: _Optional[int] = ..., observed_periods: _Optional[int] = ..., points: _Optional[_Iterable[_Union[RetentionPoint, _Mapping]]] = ..., alpha: _Optional[float] = ..., beta: _Optional[float] = ..., boundary: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ProjectRetentionResponse(_message.Message):
    __slots__ = ("projections", "gap_days", "period_days", "level_ratio", "data_as_of", "data_revision", "basis", "excluded_no_consent")
    PROJECTIONS_FIELD_NUMBER: _ClassVar[int]
    GAP_DAYS_FIELD_NUMBER: _ClassVar[int]
    PERIOD_DAYS_FIELD_NUMBER: _ClassVar[int]
    LEVEL_RATIO_FIELD_NUMBER: _ClassVar[int]
    DATA_AS_OF_FIELD_NUMBER: _ClassVar[int]
    DATA_REVISION_FIELD_NUMBER: _ClassVar[int]
    BASIS_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_NO_CONSENT_FIELD_NUMBER: _ClassVar[int]
    projections: _containers.RepeatedCompositeFieldContainer[RetentionProjection]
    gap_days: int
    period_days: int
    level_ratio: float
    data_as_of: str
    data_revision: int
    basis: str
    excluded_no_consent: int
    def __init__(self, projections: _Optional[_Iterable[_Union[RetentionProjection, _Mapping]]] = ..., gap_days: _Optional[int] = ..., period_days: _Optional[int] = ..., level_ratio: _Optional[float] = ..., data_as_of: _Optional[str] = ..., data_revision: _Optional[int] = ..., basis: _Optional[str] = ..., excluded_no_consent: _Optional[int] = ...) -> None: ...
