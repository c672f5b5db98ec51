import datetime

from cohortlens.v1 import common_pb2 as _common_pb2
from cohortlens.v1 import marketplace_queries_pb2 as _marketplace_queries_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OfferState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OFFER_STATE_UNSPECIFIED: _ClassVar[OfferState]
    OFFER_STATE_DRAFT: _ClassVar[OfferState]
    OFFER_STATE_PUBLISHED: _ClassVar[OfferState]
    OFFER_STATE_SUSPENDED: _ClassVar[OfferState]
    OFFER_STATE_WITHDRAWN: _ClassVar[OfferState]
OFFER_STATE_UNSPECIFIED: OfferState
OFFER_STATE_DRAFT: OfferState
OFFER_STATE_PUBLISHED: OfferState
OFFER_STATE_SUSPENDED: OfferState
OFFER_STATE_WITHDRAWN: OfferState

class OfferDimension(_message.Message):
    __slots__ = ("dimension", "values")
    DIMENSION_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    dimension: str
    values: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, dimension: _Optional[str] = ..., values: _Optional[_Iterable[str]] = ...) -> None: ...

class OfferSpec(_message.Message):
    __slots__ = ("title", "description", "dimensions", "measures", "clip_minor", "purposes", "price_minor", "currency", "incentive_micro", "epsilon_milli", "least_persons", "end_time")
    TITLE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    DIMENSIONS_FIELD_NUMBER: _ClassVar[int]
    MEASURES_FIELD_NUMBER: _ClassVar[int]
    CLIP_MINOR_FIELD_NUMBER: _ClassVar[int]
    PURPOSES_FIELD_NUMBER: _ClassVar[int]
    PRICE_MINOR_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    INCENTIVE_MICRO_FIELD_NUMBER: _ClassVar[int]
    EPSILON_MILLI_FIELD_NUMBER: _ClassVar[int]
    LEAST_PERSONS_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    title: str
    description: str
    dimensions: _containers.RepeatedCompositeFieldContainer[OfferDimension]
    measures: _containers.RepeatedScalarFieldContainer[str]
    clip_minor: int
    purposes: _containers.RepeatedScalarFieldContainer[str]
    price_minor: int
    currency: str
    incentive_micro: int
    epsilon_milli: int
    least_persons: int
    end_time: _timestamp_pb2.Timestamp
    def __init__(self, title: _Optional[str] = ..., description: _Optional[str] = ..., dimensions: _Optional[_Iterable[_Union[OfferDimension, _Mapping]]] = ..., measures: _Optional[_Iterable[str]] = ..., clip_minor: _Optional[int] = ..., purposes: _Optional[_Iterable[str]] = ..., price_minor: _Optional[int] = ..., currency: _Optional[str] = ..., incentive_micro: _Optional[int] = ..., epsilon_milli: _Optional[int] = ..., least_persons: _Optional[int] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Offer(_message.Message):
    __slots__ = ("offer", "seller", "is_own", "state", "version", "spec", "terms_json", "terms_sha256", "dcat_json", "privacy", "publish_time", "etag")
    OFFER_FIELD_NUMBER: _ClassVar[int]
    SELLER_FIELD_NUMBER: _ClassVar[int]
    IS_OWN_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    TERMS_JSON_FIELD_NUMBER: _ClassVar[int]
    TERMS_SHA256_FIELD_NUMBER: _ClassVar[int]
    DCAT_JSON_FIELD_NUMBER: _ClassVar[int]
    PRIVACY_FIELD_NUMBER: _ClassVar[int]
    PUBLISH_TIME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    offer: str
    seller: str
    is_own: bool
    state: OfferState
    version: int
    spec: OfferSpec
    terms_json: str
    terms_sha256: str
    dcat_json: str
    privacy: str
    publish_time: _timestamp_pb2.Timestamp
    etag: str
    def __init__(self, offer: _Optional[str] = ..., seller: _Optional[str] = ..., is_own: _Optional[bool] = ..., state: _Optional[_Union[OfferState, str]] = ..., version: _Optional[int] = ..., spec: _Optional[_Union[OfferSpec, _Mapping]] = ..., terms_json: _Optional[str] = ..., terms_sha256: _Optional[str] = ..., dcat_json: _Optional[str] = ..., privacy: _Optional[str] = ..., publish_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., etag: _Optional[str] = ...) -> None: ...

class CreateOfferRequest(_message.Message):
    __slots__ = ("spec", "request_id")
    SPEC_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    spec: OfferSpec
    request_id: str
    def __init__(self, spec: _Optional[_Union[OfferSpec, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateOfferResponse(_message.Message):
    __slots__ = ("offer",)
    OFFER_FIELD_NUMBER: _ClassVar[int]
    offer: Offer
    def __init__(self, offer: _Optional[_Union[Offer, _Mapping]] = ...) -> None: ...

class UpdateOfferRequest(_message.Message):
    __slots__ = ("offer", "spec", "etag", "request_id")
    OFFER_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    offer: str
    spec: OfferSpec
    etag: str
    request_id: str
    def __init__(self, offer: _Optional[str] = ..., spec: _Optional[_Union[OfferSpec, _Mapping]] = ..., etag: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class UpdateOfferResponse(_message.Message):
    __slots__ = ("offer",)
    OFFER_FIELD_NUMBER: _ClassVar[int]
    offer: Offer
    def __init__(self, offer: _Optional[_Union[Offer, _Mapping]] = ...) -> None: ...

class PreviewOfferRequest(_message.Message):
    __slots__ = ("offer", "question", "request_id")
    OFFER_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    offer: str
    question: _marketplace_queries_pb2.MarketQuestion
    request_id: str
    def __init__(self, offer: _Optional[str] = ..., question: _Optional[_Union[_marketplace_queries_pb2.MarketQuestion, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class PreviewOfferResponse(_message.Message):
    __slots__ = ("answer", "permitted_purposes", "contributors_at_least")
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    PERMITTED_PURPOSES_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTORS_AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    answer: _marketplace_queries_pb2.MarketAnswer
    permitted_purposes: _containers.RepeatedScalarFieldContainer[str]
    contributors_at_least: int
    def __init__(self, answer: _Optional[_Union[_marketplace_queries_pb2.MarketAnswer, _Mapping]] = ..., permitted_purposes: _Optional[_Iterable[str]] = ..., contributors_at_least: _Optional[int] = ...) -> None: ...

class PublishOfferRequest(_message.Message):
    __slots__ = ("offer", "request_id")
    OFFER_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    offer: str
    request_id: str
    def __init__(self, offer: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class PublishOfferResponse(_message.Message):
    __slots__ = ("offer",)
    OFFER_FIELD_NUMBER: _ClassVar[int]
    offer: Offer
    def __init__(self, offer: _Optional[_Union[Offer, _Mapping]] = ...) -> None: ...

class WithdrawOfferRequest(_message.Message):
    __slots__ = ("offer", "request_id")
    OFFER_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    offer: str
    request_id: str
    def __init__(self, offer: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class WithdrawOfferResponse(_message.Message):
    __slots__ = ("offer",)
    OFFER_FIELD_NUMBER: _ClassVar[int]
    offer: Offer
    def __init__(self, offer: _Optional[_Union[Offer, _Mapping]] = ...) -> None: ...

class ListOffersRequest(_message.Message):
    __slots__ = ("is_own", "page_size", "page_token")
    IS_OWN_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    is_own: bool
    page_size: int
    page_token: str
    def __init__(self, is_own: _Optional[bool] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListOffersResponse(_message.Message):
    __slots__ = ("offers", "next_page_token")
    OFFERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    offers: _containers.RepeatedCompositeFieldContainer[Offer]
    next_page_token: str
    def __init__(self, offers: _Optional[_Iterable[_Union[Offer, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetOfferRequest(_message.Message):
    __slots__ = ("offer",)
    OFFER_FIELD_NUMBER: _ClassVar[int]
    offer: str
    def __init__(self, offer: _Optional[str] = ...) -> None: ...

class GetOfferResponse(_message.Message):
    __slots__ = ("offer",)
    OFFER_FIELD_NUMBER: _ClassVar[int]
    offer: Offer
    def __init__(self, offer: _Optional[_Union[Offer, _Mapping]] = ...) -> None: ...

class GetOfferSampleRequest(_message.Message):
    __slots__ = ("offer",)
    OFFER_FIELD_NUMBER: _ClassVar[int]
    offer: str
    def __init__(self, offer: _Optional[str] = ...) -> None: ...

class GetOfferSampleResponse(_message.Message):
    __slots__ = ("is_synthetic", "note", "answer")
    IS_SYNTHETIC_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    is_synthetic: bool
    note: str
    answer: _marketplace_queries_pb2.MarketAnswer
    def __init__(self, is_synthetic: _Optional[bool] = ..., note: _Optional[str] = ..., answer: _Optional[_Union[_marketplace_queries_pb2.MarketAnswer, _Mapping]] = ...) -> None: ...
