"""``RewardService`` of ``internal.v1``: convert, call the ledger, convert back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from cohortlens.core.errors import InvalidArgument, Violation
from cohortlens.internal.v1 import web3_rewards_pb2 as pb
from cohortlens.internal.v1 import web3_rewards_pb2_grpc as rpc
from sidecars.web3.journal.operations import request_digest
from sidecars.web3.journal.rewards import StoredReward
from sidecars.web3.rewards.chain import ChainHealth, Delivery
from sidecars.web3.rewards.ledger import RewardItem, RewardLedger

_ID_BYTES = 16
_DELIVERIES = {
    pb.REWARD_DELIVERY_MINT: Delivery.MINT,
    pb.REWARD_DELIVERY_VOUCHER: Delivery.VOUCHER,
    pb.REWARD_DELIVERY_EPOCH: Delivery.EPOCH,
}


class PartHealth(Protocol):
    """How a part is; see ``PinningHealth`` and ``CredentialsHealth``."""

    @property
    def mode(self) -> str:
        """What it stands on."""
        ...

    @property
    def status(self) -> str:
        """``ok`` or ``degraded``."""
        ...

    @property
    def detail(self) -> str:
        """One sentence for a person."""
        ...

    @property
    def waiting(self) -> Mapping[str, int]:
        """What waits or failed, by a name."""
        ...


class RewardServicer(rpc.RewardServiceServicer):
    """Answers for rewards.

    Args:
        ledger: Does the work.
        reward_chain: The chain that pays wallets bound on both.
        parts: Health of the parts beside the chains, asked by name.
    """

    def __init__(
        self,
        ledger: RewardLedger,
        reward_chain: str,
        parts: Mapping[str, Callable[[], Awaitable[PartHealth]]],
    ) -> None:
        self._ledger = ledger
        self._reward_chain = reward_chain
        self._parts = parts

    async def SubmitRewards(
        self, request: pb.SubmitRewardsRequest, _context: Any
    ) -> pb.SubmitRewardsResponse:
        """Accept rewards."""
        answer = await self._ledger.submit(
            _id(request.tenant_id, "tenant_id"),
            _id(request.operation_id, "operation_id"),
            request_digest("SubmitRewards", request.SerializeToString(deterministic=True)),
            [_item(item, f"items[{index}]") for index, item in enumerate(request.items)],
            _submitted,
        )
        return pb.SubmitRewardsResponse.FromString(answer)

    async def GetRewards(self, request: pb.GetRewardsRequest, _context: Any) -> pb.GetRewardsResponse:
        """Where rewards stand."""
        found = await self._ledger.states(_id(request.tenant_id, "tenant_id"), list(request.reward_ids))
        return pb.GetRewardsResponse(rewards=[_state(one) for one in found])

    async def CancelReward(self, request: pb.CancelRewardRequest, _context: Any) -> pb.CancelRewardResponse:
        """Cancel a reward that is not under way; naturally the same when repeated, so nothing is stored."""
        _id(request.operation_id, "operation_id")
        found = await self._ledger.cancel(_id(request.tenant_id, "tenant_id"), request.reward_id)
        return pb.CancelRewardResponse(reward=_state(found))

    async def CreateVoucher(
        self, request: pb.CreateVoucherRequest, _context: Any
    ) -> pb.CreateVoucherResponse:
        """Sign a voucher."""
        made = await self._ledger.voucher(
            _id(request.tenant_id, "tenant_id"), request.reward_id, request.deadline_s
        )
        return pb.CreateVoucherResponse(
            typed_data_json=made.typed_data_json,
            signature=made.signature,
            contract=made.contract,
            chain_id=made.chain_id,
        )

    async def PublishEpoch(self, request: pb.PublishEpochRequest, _context: Any) -> pb.PublishEpochResponse:
        """Publish a Merkle root; the set of rewards makes it the same epoch when repeated."""
        _id(request.operation_id, "operation_id")
        made = await self._ledger.publish_epoch(_id(request.tenant_id, "tenant_id"), list(request.reward_ids))
        return pb.PublishEpochResponse(epoch=made.epoch, root=made.root, tx_ref=made.tx.tx_hash)

    async def GetEpochProof(
        self, request: pb.GetEpochProofRequest, _context: Any
    ) -> pb.GetEpochProofResponse:
        """The proof of a reward."""
        made = await self._ledger.epoch_proof(_id(request.tenant_id, "tenant_id"), request.reward_id)
        return pb.GetEpochProofResponse(
            epoch=made.epoch, leaf=made.leaf, proof=made.proof, contract=made.contract, chain_id=made.chain_id
        )

    async def GetBalance(self, request: pb.GetBalanceRequest, _context: Any) -> pb.GetBalanceResponse:
        """What an address holds."""
        known = await self._ledger.balance(request.chain, request.address)
        return pb.GetBalanceResponse(
            balance_micro=known.balance.amount_micro,
            block_height=known.balance.block_height,
            as_of_us=_microseconds(known.balance.as_of),
            is_stale=known.is_stale,
        )

    async def VerifyWalletProof(
        self, request: pb.VerifyWalletProofRequest, _context: Any
    ) -> pb.VerifyWalletProofResponse:
        """Check whose address it is."""
        address = self._ledger.verify_wallet(
            request.chain, request.address, request.message, request.signature
        )
        return pb.VerifyWalletProofResponse(address=address)

    async def GetChains(self, _request: pb.GetChainsRequest, _context: Any) -> pb.GetChainsResponse:
        """How the chains are, and the parts beside them."""
        return pb.GetChainsResponse(
            chains=[_chain(one) for one in await self._ledger.health()],
            reward_chain=self._reward_chain,
            parts=[_part(name, await health()) for name, health in self._parts.items()],
        )

    async def ResyncChain(self, request: pb.ResyncChainRequest, _context: Any) -> pb.ResyncChainResponse:
        """Take the chain's word and let its signer sign again."""
        found = await self._ledger.resync(request.chain)
        return pb.ResyncChainResponse(
            next_nonce=found.next_nonce, adopted=len(found.adopted), reopened=len(found.reopened)
        )


def _item(item: pb.RewardItem, path: str) -> RewardItem:
    delivery = _DELIVERIES.get(item.delivery)
    if delivery is None:
        raise _invalid(f"{path}.delivery", "must be MINT, VOUCHER or EPOCH")
    return RewardItem(item.reward_id, item.chain, item.to, item.amount_micro, delivery)


def _part(name: str, health: PartHealth) -> pb.Web3Part:
    return pb.Web3Part(
        part=name, mode=health.mode, status=health.status, detail=health.detail, waiting=health.waiting
    )


def _submitted(rewards: Sequence[StoredReward]) -> bytes:
    return pb.SubmitRewardsResponse(rewards=[_state(one) for one in rewards]).SerializeToString(
        deterministic=True
    )


def _state(reward: StoredReward) -> pb.RewardState:
    return pb.RewardState(
        reward_id=reward.reward_id,
        state=reward.state,
        tx_ref=reward.tx_hash or "",
        block_height=reward.block_height or 0,
        finalized_at_us=_microseconds(reward.finalized_at) if reward.finalized_at else 0,
        reason=reward.reason or "",
    )


def _chain(health: ChainHealth) -> pb.Chain:
    return pb.Chain(
        chain=health.chain,
        mode=health.mode,
        status=health.status,
        detail=health.detail,
        chain_id=health.chain_id,
        genesis=health.genesis,
        token=health.token,
        head_height=health.head,
        final_height=health.finalized,
        signer=health.signer,
        signer_balance=str(health.signer_balance),
        lag_s=health.lag_s,
        total_supply_micro=health.total_supply_micro,
    )


def _microseconds(when: datetime) -> int:
    return int(when.timestamp()) * 1_000_000 + when.microsecond


def _id(value: bytes, field: str) -> UUID:
    if len(value) != _ID_BYTES:
        raise _invalid(field, f"must be {_ID_BYTES} bytes")
    return UUID(bytes=value)


def _invalid(field: str, description: str) -> InvalidArgument:
    return InvalidArgument(f"{field} {description}.", violations=(Violation(field, description),))
