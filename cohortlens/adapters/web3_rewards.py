"""``RewardLedger`` over the web3 sidecar."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from cohortlens.adapters.web3_channel import Web3Channel, at_microsecond
from cohortlens.consent.web3_models import (
    Balance,
    Chains,
    ChainStatus,
    Delivery,
    EpochProof,
    PartStatus,
    PublishedEpoch,
    RewardOrder,
    RewardStatus,
    Voucher,
)
from cohortlens.core.errors import NotFound
from cohortlens.core.ids import TenantId
from cohortlens.internal.v1 import web3_rewards_pb2 as pb
from cohortlens.internal.v1 import web3_rewards_pb2_grpc as rpc

_EPOCH = datetime.fromtimestamp(0, UTC)
_DELIVERIES = {
    Delivery.MINT: pb.REWARD_DELIVERY_MINT,
    Delivery.VOUCHER: pb.REWARD_DELIVERY_VOUCHER,
    Delivery.EPOCH: pb.REWARD_DELIVERY_EPOCH,
}


class GrpcRewardLedger:
    """Implements ``cohortlens.consent.ports.RewardLedger``; see there.

    Args:
        channel: The channel to the sidecar.
    """

    def __init__(self, channel: Web3Channel) -> None:
        self._channel = channel

    @property
    def _stub(self) -> rpc.RewardServiceStub:
        return rpc.RewardServiceStub(self._channel.channel)

    async def submit(
        self, tenant_id: TenantId, operation_id: UUID, orders: Sequence[RewardOrder]
    ) -> list[RewardStatus]:
        """See the port."""
        request = pb.SubmitRewardsRequest(
            tenant_id=tenant_id.bytes, operation_id=operation_id.bytes, items=[_item(o) for o in orders]
        )
        reply = await self._channel.ask(self._stub.SubmitRewards, request)
        return [_state(reward) for reward in reply.rewards]

    async def states(self, tenant_id: TenantId, reward_ids: Sequence[bytes]) -> list[RewardStatus]:
        """See the port."""
        request = pb.GetRewardsRequest(tenant_id=tenant_id.bytes, reward_ids=reward_ids)
        try:
            reply = await self._channel.ask(self._stub.GetRewards, request)
        except NotFound:
            # It knows none of them, as after a restore of its journal.
            return [RewardStatus(one, "") for one in reward_ids]
        known = {reward.reward_id: _state(reward) for reward in reply.rewards}
        return [known.get(one) or RewardStatus(one, "") for one in reward_ids]

    async def cancel(self, tenant_id: TenantId, operation_id: UUID, reward_id: bytes) -> RewardStatus:
        """See the port."""
        request = pb.CancelRewardRequest(
            tenant_id=tenant_id.bytes, operation_id=operation_id.bytes, reward_id=reward_id
        )
        return _state((await self._channel.ask(self._stub.CancelReward, request)).reward)

    async def voucher(self, tenant_id: TenantId, reward_id: bytes, deadline: datetime) -> Voucher:
        """See the port."""
        request = pb.CreateVoucherRequest(
            tenant_id=tenant_id.bytes, reward_id=reward_id, deadline_s=int(deadline.timestamp())
        )
        reply = await self._channel.ask(self._stub.CreateVoucher, request)
        return Voucher(reply.typed_data_json, reply.signature, reply.contract, reply.chain_id)

    async def publish_epoch(
        self, tenant_id: TenantId, operation_id: UUID, reward_ids: Sequence[bytes]
    ) -> PublishedEpoch:
        """See the port."""
        request = pb.PublishEpochRequest(
            tenant_id=tenant_id.bytes, operation_id=operation_id.bytes, reward_ids=reward_ids
        )
        reply = await self._channel.ask(self._stub.PublishEpoch, request)
        return PublishedEpoch(reply.epoch, reply.root, reply.tx_ref)

    async def epoch_proof(self, tenant_id: TenantId, reward_id: bytes) -> EpochProof:
        """See the port."""
        request = pb.GetEpochProofRequest(tenant_id=tenant_id.bytes, reward_id=reward_id)
        reply = await self._channel.ask(self._stub.GetEpochProof, request)
        return EpochProof(reply.epoch, reply.leaf, tuple(reply.proof), reply.contract, reply.chain_id)

    async def balance(self, chain: str, address: str) -> Balance:
        """See the port."""
        request = pb.GetBalanceRequest(chain=chain, address=address)
        reply = await self._channel.ask(self._stub.GetBalance, request)
        as_of = at_microsecond(reply.as_of_us) or _EPOCH
        return Balance(reply.balance_micro, reply.block_height, as_of, reply.is_stale)

    async def verify_wallet(self, chain: str, address: str, message: str, signature: bytes) -> str:
        """See the port."""
        request = pb.VerifyWalletProofRequest(
            chain=chain, address=address, message=message, signature=signature
        )
        reply: pb.VerifyWalletProofResponse = await self._channel.ask(self._stub.VerifyWalletProof, request)
        return str(reply.address)

    async def chains(self) -> Chains:
        """See the port."""
        reply = await self._channel.ask(self._stub.GetChains, pb.GetChainsRequest())
        parts = tuple(
            PartStatus(one.part, one.mode, one.status, one.detail, dict(one.waiting)) for one in reply.parts
        )
        return Chains(reply.reward_chain, tuple(_chain(chain) for chain in reply.chains), parts)

    async def resync(self, chain: str) -> tuple[int, int]:
        """See the port."""
        reply = await self._channel.ask(self._stub.ResyncChain, pb.ResyncChainRequest(chain=chain))
        return reply.adopted, reply.reopened


def _item(order: RewardOrder) -> pb.RewardItem:
    return pb.RewardItem(
        reward_id=order.reward_id,
        chain=order.chain,
        to=order.to,
        amount_micro=order.amount_micro,
        delivery=_DELIVERIES[order.delivery],
    )


def _state(reply: pb.RewardState) -> RewardStatus:
    return RewardStatus(
        reply.reward_id,
        reply.state,
        reply.tx_ref,
        reply.block_height,
        at_microsecond(reply.finalized_at_us),
        reply.reason,
    )


def _chain(reply: pb.Chain) -> ChainStatus:
    return ChainStatus(
        chain=reply.chain,
        mode=reply.mode,
        status=reply.status,
        detail=reply.detail,
        chain_id=reply.chain_id,
        genesis=reply.genesis,
        token=reply.token,
        head_height=reply.head_height,
        final_height=reply.final_height,
        signer=reply.signer,
        signer_balance=reply.signer_balance,
        lag_s=reply.lag_s,
        total_supply_micro=reply.total_supply_micro,
    )
