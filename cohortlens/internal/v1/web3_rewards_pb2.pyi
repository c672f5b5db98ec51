from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RewardDelivery(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REWARD_DELIVERY_UNSPECIFIED: _ClassVar[RewardDelivery]
    REWARD_DELIVERY_MINT: _ClassVar[RewardDelivery]
    REWARD_DELIVERY_VOUCHER: _ClassVar[RewardDelivery]
    REWARD_DELIVERY_EPOCH: _ClassVar[RewardDelivery]
REWARD_DELIVERY_UNSPECIFIED: RewardDelivery
REWARD_DELIVERY_MINT: RewardDelivery
REWARD_DELIVERY_VOUCHER: RewardDelivery
REWARD_DELIVERY_EPOCH: RewardDelivery

class RewardItem(_message.Message):
    __slots__ = ("reward_id", "chain", "to", "amount_micro", "delivery")
    REWARD_ID_FIELD_NUMBER: _ClassVar[int]
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_MICRO_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    reward_id: bytes
    chain: str
    to: str
    amount_micro: int
    delivery: RewardDelivery
    def __init__(self, reward_id: _Optional[bytes] = ..., chain: _Optional[str] = ..., to: _Optional[str] = ..., amount_micro: _Optional[int] = ..., delivery: _Optional[_Union[RewardDelivery, str]] = ...) -> None: ...

class SubmitRewardsRequest(_message.Message):
    __slots__ = ("tenant_id", "operation_id", "items")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    OPERATION_ID_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    tenant_id: bytes
    operation_id: bytes
    items: _containers.RepeatedCompositeFieldContainer[RewardItem]
    def __init__(self, tenant_id: _Optional[bytes] = ..., operation_id: _Optional[bytes] = ..., items: _Optional[_Iterable[_Union[RewardItem, _Mapping]]] = ...) -> None: ...

class RewardState(_message.Message):
    __slots__ = ("reward_id", "state", "tx_ref", "block_height", "finalized_at_us", "reason")
    REWARD_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TX_REF_FIELD_NUMBER: _ClassVar[int]
    BLOCK_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    FINALIZED_AT_US_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    reward_id: bytes
    state: str
    tx_ref: str
    block_height: int
    finalized_at_us: int
    reason: str
    def __init__(self, reward_id: _Optional[bytes] = ..., state: _Optional[str] = ..., tx_ref: _Optional[str] = ..., block_height: _Optional[int] = ..., finalized_at_us: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class SubmitRewardsResponse(_message.Message):
    __slots__ = ("rewards",)
    REWARDS_FIELD_NUMBER: _ClassVar[int]
    rewards: _containers.RepeatedCompositeFieldContainer[RewardState]
    def __init__(self, rewards: _Optional[_Iterable[_Union[RewardState, _Mapping]]] = ...) -> None: ...

class GetRewardsResponse(_message.Message):
    __slots__ = ("rewards",)
    REWARDS_FIELD_NUMBER: _ClassVar[int]
    rewards: _containers.RepeatedCompositeFieldContainer[RewardState]
    def __init__(self, rewards: _Optional[_Iterable[_Union[RewardState, _Mapping]]] = ...) -> None: ...

class CancelRewardResponse(_message.Message):
    __slots__ = ("reward",)
    REWARD_FIELD_NUMBER: _ClassVar[int]
    reward: RewardState
    def __init__(self, reward: _Optional[_Union[RewardState, _Mapping]] = ...) -> None: ...

class GetRewardsRequest(_message.Message):
    __slots__ = ("tenant_id", "reward_ids")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    REWARD_IDS_FIELD_NUMBER: _ClassVar[int]
    tenant_id: bytes
    reward_ids: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, tenant_id: _Optional[bytes] = ..., reward_ids: _Optional[_Iterable[bytes]] = ...) -> None: ...

class CancelRewardRequest(_message.Message):
    __slots__ = ("tenant_id", "operation_id", "reward_id")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    OPERATION_ID_FIELD_NUMBER: _ClassVar[int]
    REWARD_ID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: bytes
    operation_id: bytes
    reward_id: bytes
    def __init__(self, tenant_id: _Optional[bytes] = ..., operation_id: _Optional[bytes] = ..., reward_id: _Optional[bytes] = ...) -> None: ...

class CreateVoucherRequest(_message.Message):
    __slots__ = ("tenant_id", "reward_id", "deadline_s")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    REWARD_ID_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_S_FIELD_NUMBER: _ClassVar[int]
    tenant_id: bytes
    reward_id: bytes
    deadline_s: int
    def __init__(self, tenant_id: _Optional[bytes] = ..., reward_id: _Optional[bytes] = ..., deadline_s: _Optional[int] = ...) -> None: ...

class CreateVoucherResponse(_message.Message):
    __slots__ = ("typed_data_json", "signature", "contract", "chain_id")
    TYPED_DATA_JSON_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    CHAIN_ID_FIELD_NUMBER: _ClassVar[int]
    typed_data_json: bytes
    signature: bytes
    contract: str
    chain_id: int
    def __init__(self, typed_data_json: _Optional[bytes] = ..., signature: _Optional[bytes] = ..., contract: _Optional[str] = ..., chain_id: _Optional[int] = ...) -> None: ...

class PublishEpochRequest(_message.Message):
    __slots__ = ("tenant_id", "operation_id", "reward_ids")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    OPERATION_ID_FIELD_NUMBER: _ClassVar[int]
    REWARD_IDS_FIELD_NUMBER: _ClassVar[int]
    tenant_id: bytes
    operation_id: bytes
    reward_ids: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, tenant_id: _Optional[bytes] = ..., operation_id: _Optional[bytes] = ..., reward_ids: _Optional[_Iterable[bytes]] = ...) -> None: ...

class PublishEpochResponse(_message.Message):
    __slots__ = ("epoch", "root", "tx_ref")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    ROOT_FIELD_NUMBER: _ClassVar[int]
    TX_REF_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    root: bytes
    tx_ref: str
    def __init__(self, epoch: _Optional[int] = ..., root: _Optional[bytes] = ..., tx_ref: _Optional[str] = ...) -> None: ...

class GetEpochProofRequest(_message.Message):
    __slots__ = ("tenant_id", "reward_id")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    REWARD_ID_FIELD_NUMBER: _ClassVar[int]
    tenant_id: bytes
    reward_id: bytes
    def __init__(self, tenant_id: _Optional[bytes] = ..., reward_id: _Optional[bytes] = ...) -> None: ...

class GetEpochProofResponse(_message.Message):
    __slots__ = ("epoch", "leaf", "proof", "contract", "chain_id")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    LEAF_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_FIELD_NUMBER: _ClassVar[int]
    CHAIN_ID_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    leaf: bytes
    proof: _containers.RepeatedScalarFieldContainer[bytes]
    contract: str
    chain_id: int
    def __init__(self, epoch: _Optional[int] = ..., leaf: _Optional[bytes] = ..., proof: _Optional[_Iterable[bytes]] = ..., contract: _Optional[str] = ..., chain_id: _Optional[int] = ...) -> None: ...

class GetBalanceRequest(_message.Message):
    __slots__ = ("chain", "address")
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    chain: str
    address: str
    def __init__(self, chain: _Optional[str] = ..., address: _Optional[str] = ...) -> None: ...

class GetBalanceResponse(_message.Message):
    __slots__ = ("balance_micro", "block_height", "as_of_us", "is_stale")
    BALANCE_MICRO_FIELD_NUMBER: _ClassVar[int]
    BLOCK_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    AS_OF_US_FIELD_NUMBER: _ClassVar[int]
    IS_STALE_FIELD_NUMBER: _ClassVar[int]
    balance_micro: int
    block_height: int
    as_of_us: int
    is_stale: bool
    def __init__(self, balance_micro: _Optional[int] = ..., block_height: _Optional[int] = ..., as_of_us: _Optional[int] = ..., is_stale: _Optional[bool] = ...) -> None: ...

class VerifyWalletProofRequest(_message.Message):
    __slots__ = ("chain", "address", "message", "signature")
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    chain: str
    address: str
    message: str
    signature: bytes
    def __init__(self, chain: _Optional[str] = ..., address: _Optional[str] = ..., message: _Optional[str] = ..., signature: _Optional[bytes] = ...) -> None: ...

class VerifyWalletProofResponse(_message.Message):
    __slots__ = ("address",)
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    address: str
    def __init__(self, address: _Optional[str] = ...) -> None: ...

class GetChainsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Chain(_message.Message):
    __slots__ = ("chain", "mode", "status", "detail", "chain_id", "genesis", "token", "head_height", "final_height", "signer", "signer_balance", "lag_s", "total_supply_micro")
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    CHAIN_ID_FIELD_NUMBER: _ClassVar[int]
    GENESIS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    HEAD_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    FINAL_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    SIGNER_FIELD_NUMBER: _ClassVar[int]
    SIGNER_BALANCE_FIELD_NUMBER: _ClassVar[int]
    LAG_S_FIELD_NUMBER: _ClassVar[int]
    TOTAL_SUPPLY_MICRO_FIELD_NUMBER: _ClassVar[int]
    chain: str
    mode: str
    status: str
    detail: str
    chain_id: int
    genesis: str
    token: str
    head_height: int
    final_height: int
    signer: str
    signer_balance: str
    lag_s: float
    total_supply_micro: int
    def __init__(self, chain: _Optional[str] = ..., mode: _Optional[str] = ..., status: _Optional[str] = ..., detail: _Optional[str] = ..., chain_id: _Optional[int] = ..., genesis: _Optional[str] = ..., token: _Optional[str] = ..., head_height: _Optional[int] = ..., final_height: _Optional[int] = ..., signer: _Optional[str] = ..., signer_balance: _Optional[str] = ..., lag_s: _Optional[float] = ..., total_supply_micro: _Optional[int] = ...) -> None: ...

class Web3Part(_message.Message):
    __slots__ = ("part", "mode", "status", "detail", "waiting")
    class WaitingEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    PART_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    part: str
    mode: str
    status: str
    detail: str
    waiting: _containers.ScalarMap[str, int]
    def __init__(self, part: _Optional[str] = ..., mode: _Optional[str] = ..., status: _Optional[str] = ..., detail: _Optional[str] = ..., waiting: _Optional[_Mapping[str, int]] = ...) -> None: ...

class GetChainsResponse(_message.Message):
    __slots__ = ("chains", "reward_chain", "parts")
    CHAINS_FIELD_NUMBER: _ClassVar[int]
    REWARD_CHAIN_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    chains: _containers.RepeatedCompositeFieldContainer[Chain]
    reward_chain: str
    parts: _containers.RepeatedCompositeFieldContainer[Web3Part]
    def __init__(self, chains: _Optional[_Iterable[_Union[Chain, _Mapping]]] = ..., reward_chain: _Optional[str] = ..., parts: _Optional[_Iterable[_Union[Web3Part, _Mapping]]] = ...) -> None: ...

class ResyncChainRequest(_message.Message):
    __slots__ = ("chain",)
    CHAIN_FIELD_NUMBER: _ClassVar[int]
    chain: str
    def __init__(self, chain: _Optional[str] = ...) -> None: ...

class ResyncChainResponse(_message.Message):
    __slots__ = ("next_nonce", "adopted", "reopened")
    NEXT_NONCE_FIELD_NUMBER: _ClassVar[int]
    ADOPTED_FIELD_NUMBER: _ClassVar[int]
    REOPENED_FIELD_NUMBER: _ClassVar[int]
    next_nonce: int
    adopted: int
    reopened: int
    def __init__(self, next_nonce: _Optional[int] = ..., adopted: _Optional[int] = ..., reopened: _Optional[int] = ...) -> None: ...
