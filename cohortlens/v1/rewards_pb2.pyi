import datetime

from cohortlens.v1 import common_pb2 as _common_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RewardChain(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REWARD_CHAIN_UNSPECIFIED: _ClassVar[RewardChain]
    REWARD_CHAIN_EVM: _ClassVar[RewardChain]
    REWARD_CHAIN_SOLANA: _ClassVar[RewardChain]
REWARD_CHAIN_UNSPECIFIED: RewardChain
REWARD_CHAIN_EVM: RewardChain
REWARD_CHAIN_SOLANA: RewardChain

class CreateWalletChallengeRequest(_message.Message):
    __slots__ = ("customer", "chain", "address", "request_id")
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    customer: str
    chain: RewardChain
    address: str
    request_id: str
    def __init__(self, customer: _Optional[str] = ..., chain: _Optional[_Union[RewardChain, str]] = ..., address: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateWalletChallengeResponse(_message.Message):
    __slots__ = ("challenge", "message", "expire_time")
    CHALLENGE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    challenge: str
    message: str
    expire_time: _timestamp_pb2.Timestamp
    def __init__(self, challenge: _Optional[str] = ..., message: _Optional[str] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class BindWalletRequest(_message.Message):
    __slots__ = ("challenge", "signature", "request_id")
    CHALLENGE_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    challenge: str
    signature: bytes
    request_id: str
    def __init__(self, challenge: _Optional[str] = ..., signature: _Optional[bytes] = ..., request_id: _Optional[str] = ...) -> None: ...

class Wallet(_message.Message):
    __slots__ = ("wallet", "chain", "address", "bind_time")
    WALLET_FIELD_NUMBER: _ClassVar[int]
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    BIND_TIME_FIELD_NUMBER: _ClassVar[int]
    wallet: str
    chain: RewardChain
    address: str
    bind_time: _timestamp_pb2.Timestamp
    def __init__(self, wallet: _Optional[str] = ..., chain: _Optional[_Union[RewardChain, str]] = ..., address: _Optional[str] = ..., bind_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class BindWalletResponse(_message.Message):
    __slots__ = ("wallet",)
    WALLET_FIELD_NUMBER: _ClassVar[int]
    wallet: Wallet
    def __init__(self, wallet: _Optional[_Union[Wallet, _Mapping]] = ...) -> None: ...

class ReleaseWalletRequest(_message.Message):
    __slots__ = ("wallet", "request_id")
    WALLET_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    wallet: str
    request_id: str
    def __init__(self, wallet: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class ReleaseWalletResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetRewardBalanceRequest(_message.Message):
    __slots__ = ("customer",)
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    customer: str
    def __init__(self, customer: _Optional[str] = ...) -> None: ...

class RewardBalance(_message.Message):
    __slots__ = ("wallet", "balance_micro", "pending_micro", "claimable_micro", "block_height", "as_of", "is_stale")
    WALLET_FIELD_NUMBER: _ClassVar[int]
    BALANCE_MICRO_FIELD_NUMBER: _ClassVar[int]
    PENDING_MICRO_FIELD_NUMBER: _ClassVar[int]
    CLAIMABLE_MICRO_FIELD_NUMBER: _ClassVar[int]
    BLOCK_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    IS_STALE_FIELD_NUMBER: _ClassVar[int]
    wallet: Wallet
    balance_micro: int
    pending_micro: int
    claimable_micro: int
    block_height: int
    as_of: _timestamp_pb2.Timestamp
    is_stale: bool
    def __init__(self, wallet: _Optional[_Union[Wallet, _Mapping]] = ..., balance_micro: _Optional[int] = ..., pending_micro: _Optional[int] = ..., claimable_micro: _Optional[int] = ..., block_height: _Optional[int] = ..., as_of: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., is_stale: _Optional[bool] = ...) -> None: ...

class GetRewardBalanceResponse(_message.Message):
    __slots__ = ("balances", "held_micro")
    BALANCES_FIELD_NUMBER: _ClassVar[int]
    HELD_MICRO_FIELD_NUMBER: _ClassVar[int]
    balances: _containers.RepeatedCompositeFieldContainer[RewardBalance]
    held_micro: int
    def __init__(self, balances: _Optional[_Iterable[_Union[RewardBalance, _Mapping]]] = ..., held_micro: _Optional[int] = ...) -> None: ...

class Reward(_message.Message):
    __slots__ = ("reward", "event", "purpose", "amount_micro", "chain", "recipient", "delivery", "state", "reason", "transaction", "block_height", "final_time", "create_time")
    REWARD_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_MICRO_FIELD_NUMBER: _ClassVar[int]
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    RECIPIENT_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    TRANSACTION_FIELD_NUMBER: _ClassVar[int]
    BLOCK_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    FINAL_TIME_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    reward: str
    event: str
    purpose: str
    amount_micro: int
    chain: RewardChain
    recipient: str
    delivery: str
    state: str
    reason: str
    transaction: str
    block_height: int
    final_time: _timestamp_pb2.Timestamp
    create_time: _timestamp_pb2.Timestamp
    def __init__(self, reward: _Optional[str] = ..., event: _Optional[str] = ..., purpose: _Optional[str] = ..., amount_micro: _Optional[int] = ..., chain: _Optional[_Union[RewardChain, str]] = ..., recipient: _Optional[str] = ..., delivery: _Optional[str] = ..., state: _Optional[str] = ..., reason: _Optional[str] = ..., transaction: _Optional[str] = ..., block_height: _Optional[int] = ..., final_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListRewardsRequest(_message.Message):
    __slots__ = ("customer", "page_size", "page_token")
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    customer: str
    page_size: int
    page_token: str
    def __init__(self, customer: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListRewardsResponse(_message.Message):
    __slots__ = ("rewards", "next_page_token")
    REWARDS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    rewards: _containers.RepeatedCompositeFieldContainer[Reward]
    next_page_token: str
    def __init__(self, rewards: _Optional[_Iterable[_Union[Reward, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetRewardRequest(_message.Message):
    __slots__ = ("reward",)
    REWARD_FIELD_NUMBER: _ClassVar[int]
    reward: str
    def __init__(self, reward: _Optional[str] = ...) -> None: ...

class GetRewardResponse(_message.Message):
    __slots__ = ("reward",)
    REWARD_FIELD_NUMBER: _ClassVar[int]
    reward: Reward
    def __init__(self, reward: _Optional[_Union[Reward, _Mapping]] = ...) -> None: ...

class GetRewardTokenRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ChainToken(_message.Message):
    __slots__ = ("chain", "token", "chain_id", "genesis", "decimals", "total_supply_micro", "mode", "status", "detail")
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    CHAIN_ID_FIELD_NUMBER: _ClassVar[int]
    GENESIS_FIELD_NUMBER: _ClassVar[int]
    DECIMALS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_SUPPLY_MICRO_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    chain: RewardChain
    token: str
    chain_id: int
    genesis: str
    decimals: int
    total_supply_micro: int
    mode: str
    status: str
    detail: str
    def __init__(self, chain: _Optional[_Union[RewardChain, str]] = ..., token: _Optional[str] = ..., chain_id: _Optional[int] = ..., genesis: _Optional[str] = ..., decimals: _Optional[int] = ..., total_supply_micro: _Optional[int] = ..., mode: _Optional[str] = ..., status: _Optional[str] = ..., detail: _Optional[str] = ...) -> None: ...

class GetRewardTokenResponse(_message.Message):
    __slots__ = ("tokens", "reward_chain")
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    REWARD_CHAIN_FIELD_NUMBER: _ClassVar[int]
    tokens: _containers.RepeatedCompositeFieldContainer[ChainToken]
    reward_chain: RewardChain
    def __init__(self, tokens: _Optional[_Iterable[_Union[ChainToken, _Mapping]]] = ..., reward_chain: _Optional[_Union[RewardChain, str]] = ...) -> None: ...

class RewardRate(_message.Message):
    __slots__ = ("purpose", "amount_micro", "chain")
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_MICRO_FIELD_NUMBER: _ClassVar[int]
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    purpose: str
    amount_micro: int
    chain: RewardChain
    def __init__(self, purpose: _Optional[str] = ..., amount_micro: _Optional[int] = ..., chain: _Optional[_Union[RewardChain, str]] = ...) -> None: ...

class RewardTariff(_message.Message):
    __slots__ = ("enabled", "terms_version", "delivery", "monthly_budget_micro", "rates", "etag")
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    TERMS_VERSION_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    MONTHLY_BUDGET_MICRO_FIELD_NUMBER: _ClassVar[int]
    RATES_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    enabled: bool
    terms_version: str
    delivery: str
    monthly_budget_micro: int
    rates: _containers.RepeatedCompositeFieldContainer[RewardRate]
    etag: str
    def __init__(self, enabled: _Optional[bool] = ..., terms_version: _Optional[str] = ..., delivery: _Optional[str] = ..., monthly_budget_micro: _Optional[int] = ..., rates: _Optional[_Iterable[_Union[RewardRate, _Mapping]]] = ..., etag: _Optional[str] = ...) -> None: ...

class GetRewardTariffRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetRewardTariffResponse(_message.Message):
    __slots__ = ("tariff", "terms_to_confirm")
    TARIFF_FIELD_NUMBER: _ClassVar[int]
    TERMS_TO_CONFIRM_FIELD_NUMBER: _ClassVar[int]
    tariff: RewardTariff
    terms_to_confirm: str
    def __init__(self, tariff: _Optional[_Union[RewardTariff, _Mapping]] = ..., terms_to_confirm: _Optional[str] = ...) -> None: ...

class SetRewardTariffRequest(_message.Message):
    __slots__ = ("tariff", "request_id")
    TARIFF_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    tariff: RewardTariff
    request_id: str
    def __init__(self, tariff: _Optional[_Union[RewardTariff, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class SetRewardTariffResponse(_message.Message):
    __slots__ = ("tariff",)
    TARIFF_FIELD_NUMBER: _ClassVar[int]
    tariff: RewardTariff
    def __init__(self, tariff: _Optional[_Union[RewardTariff, _Mapping]] = ...) -> None: ...

class CreateRewardClaimRequest(_message.Message):
    __slots__ = ("reward", "deadline", "request_id")
    REWARD_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    reward: str
    deadline: _timestamp_pb2.Timestamp
    request_id: str
    def __init__(self, reward: _Optional[str] = ..., deadline: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateRewardClaimResponse(_message.Message):
    __slots__ = ("contract", "chain_id", "typed_data_json", "signature", "epoch", "leaf", "proof")
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    CHAIN_ID_FIELD_NUMBER: _ClassVar[int]
    TYPED_DATA_JSON_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    LEAF_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    contract: str
    chain_id: int
    typed_data_json: str
    signature: bytes
    epoch: int
    leaf: bytes
    proof: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, contract: _Optional[str] = ..., chain_id: _Optional[int] = ..., typed_data_json: _Optional[str] = ..., signature: _Optional[bytes] = ..., epoch: _Optional[int] = ..., leaf: _Optional[bytes] = ..., proof: _Optional[_Iterable[bytes]] = ...) -> None: ...
