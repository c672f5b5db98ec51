"""RewardService: messages to the use cases, and back."""

# ruff: noqa: ARG002 - the methods of a servicer are named like its RPCs and take the same arguments

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import Any

from cohortlens.consent.fulfilment.models import REWARD_OF_CONSENT, Reward
from cohortlens.consent.models import field_fault
from cohortlens.consent.rewards import Holding, Rewards
from cohortlens.consent.tariffs import DEFAULT_TARIFF, TERMS_VERSION, Rate, Tariff
from cohortlens.consent.wallets import Wallet, Wallets
from cohortlens.core.paging import PageTokens
from cohortlens.v1 import rewards_pb2 as pb
from gateway.interceptors.chain import Call
from gateway.servicers.analytics_mapping import identifier_of, timestamp
from gateway.servicers.paging import read_page

_DECIMALS = 6
_CHAINS = {pb.REWARD_CHAIN_EVM: "evm", pb.REWARD_CHAIN_SOLANA: "solana"}
_NUMBERS = {name: number for number, name in _CHAINS.items()}


class RewardsServicer:
    """One method per RPC of ``cohortlens.v1.RewardService``.

    Args:
        wallets: The use cases of wallets.
        rewards: The use cases of rewards.
        tokens: Seals the tokens of lists.
    """

    def __init__(self, wallets: Wallets, rewards: Rewards, tokens: PageTokens) -> None:
        self._wallets, self._rewards, self._tokens = wallets, rewards, tokens

    async def CreateWalletChallenge(
        self, request: pb.CreateWalletChallengeRequest, call: Call
    ) -> pb.CreateWalletChallengeResponse:
        """The text that a wallet signs."""
        chain = _chain(request.chain, "chain")
        made_one = await self._wallets.challenge(call.context, request.customer, chain, request.address)
        return pb.CreateWalletChallengeResponse(
            challenge=str(made_one.id), message=made_one.message, expire_time=timestamp(made_one.expires_at)
        )

    async def BindWallet(self, request: pb.BindWalletRequest, call: Call) -> pb.BindWalletResponse:
        """Bind the wallet that signed."""
        challenge = identifier_of("challenge", request.challenge)
        bound = await self._wallets.bind(call.context, challenge, request.signature)
        return pb.BindWalletResponse(wallet=_wallet(bound))

    async def RereadBindWallet(
        self, request: pb.BindWalletRequest, made: Mapping[str, Any], call: Call
    ) -> pb.BindWalletResponse:
        """The wallet, for a repeat of a call whose answer was lost."""
        challenge = identifier_of("challenge", request.challenge)
        return pb.BindWalletResponse(wallet=_wallet(await self._wallets.bound_by(call.context, challenge)))

    async def ReleaseWallet(self, request: pb.ReleaseWalletRequest, call: Call) -> pb.ReleaseWalletResponse:
        """Release a wallet."""
        await self._wallets.release(call.context, identifier_of("wallet", request.wallet))
        return pb.ReleaseWalletResponse()

    async def GetRewardBalance(
        self, request: pb.GetRewardBalanceRequest, call: Call
    ) -> pb.GetRewardBalanceResponse:
        """What a customer has."""
        holdings, held = await self._rewards.get_wallet_balance(call.context, request.customer)
        return pb.GetRewardBalanceResponse(balances=[_holding(one) for one in holdings], held_micro=held)

    async def ListRewards(self, request: pb.ListRewardsRequest, call: Call) -> pb.ListRewardsResponse:
        """Rewards, the newest first."""
        rows, following = await read_page(
            self._tokens,
            call.context,
            "ListRewards",
            {"customer": request.customer},
            request,
            lambda after, limit: self._rewards.page(call.context, request.customer, after, limit),
            lambda row: [row.created_at.isoformat(), bytes(row.reward_id).hex()],
        )
        return pb.ListRewardsResponse(rewards=[_reward(row) for row in rows], next_page_token=following)

    async def GetReward(self, request: pb.GetRewardRequest, call: Call) -> pb.GetRewardResponse:
        """One reward."""
        found = await self._rewards.get(call.context, bytes.fromhex(request.reward))
        return pb.GetRewardResponse(reward=_reward(found))

    async def GetRewardToken(
        self, request: pb.GetRewardTokenRequest, call: Call
    ) -> pb.GetRewardTokenResponse:
        """The token on each chain."""
        found = await self._rewards.chains()
        tokens = [
            pb.ChainToken(
                chain=_NUMBERS.get(one.chain, pb.REWARD_CHAIN_UNSPECIFIED),
                token=one.token,
                chain_id=one.chain_id,
                genesis=one.genesis,
                decimals=_DECIMALS,
                total_supply_micro=one.total_supply_micro,
                mode=one.mode,
                status=one.status,
                detail=one.detail,
            )
            for one in found.chains
        ]
        preferred = _NUMBERS.get(found.reward_chain, pb.REWARD_CHAIN_UNSPECIFIED)
        return pb.GetRewardTokenResponse(tokens=tokens, reward_chain=preferred)

    async def GetRewardTariff(
        self, request: pb.GetRewardTariffRequest, call: Call
    ) -> pb.GetRewardTariffResponse:
        """What purposes pay."""
        tariff = await self._rewards.tariff(call.context)
        return pb.GetRewardTariffResponse(tariff=_tariff(tariff), terms_to_confirm=TERMS_VERSION)

    async def SetRewardTariff(
        self, request: pb.SetRewardTariffRequest, call: Call
    ) -> pb.SetRewardTariffResponse:
        """Set what purposes pay."""
        wanted = request.tariff
        if not wanted.etag.isdigit():
            raise field_fault("tariff.etag", "must be the etag of the tariff that holds; 0 for the first one")
        rates = {one.purpose: Rate(one.amount_micro, _CHAINS.get(one.chain, "")) for one in wanted.rates}
        if len(rates) != len(wanted.rates):
            raise field_fault("tariff.rates", "names a purpose twice")
        tariff = Tariff(
            wanted.enabled,
            wanted.terms_version,
            wanted.delivery or "MINT",
            wanted.monthly_budget_micro,
            rates,
        )
        stored = await self._rewards.set_tariff(call.context, tariff, int(wanted.etag))
        return pb.SetRewardTariffResponse(tariff=_tariff(stored))

    async def CreateRewardClaim(
        self, request: pb.CreateRewardClaimRequest, call: Call
    ) -> pb.CreateRewardClaimResponse:
        """What the holder sends to the contract."""
        deadline = request.deadline.ToDatetime(UTC) if request.HasField("deadline") else None
        found = await self._rewards.claim(call.context, bytes.fromhex(request.reward), deadline)
        if found.voucher is not None:
            return pb.CreateRewardClaimResponse(
                contract=found.voucher.contract,
                chain_id=found.voucher.chain_id,
                typed_data_json=found.voucher.typed_data_json.decode(),
                signature=found.voucher.signature,
            )
        proof = found.proof
        if proof is None:
            return pb.CreateRewardClaimResponse()
        return pb.CreateRewardClaimResponse(
            contract=proof.contract,
            chain_id=proof.chain_id,
            epoch=proof.epoch,
            leaf=proof.leaf,
            proof=proof.proof,
        )


def _chain(number: int, field: str) -> str:
    found = _CHAINS.get(number)  # type: ignore[call-overload]
    if found is None:
        raise field_fault(field, "must be REWARD_CHAIN_EVM or REWARD_CHAIN_SOLANA")
    return str(found)


def _wallet(one: Wallet) -> pb.Wallet:
    return pb.Wallet(
        wallet=str(one.id), chain=_NUMBERS[one.chain], address=one.address, bind_time=timestamp(one.bound_at)
    )


def _holding(one: Holding) -> pb.RewardBalance:
    return pb.RewardBalance(
        wallet=_wallet(one.wallet),
        balance_micro=one.balance.balance_micro,
        pending_micro=one.pending_micro,
        claimable_micro=one.claimable_micro,
        block_height=one.balance.block_height,
        as_of=timestamp(one.balance.as_of),
        is_stale=one.balance.is_stale,
    )


def _reward(one: Reward) -> pb.Reward:
    return pb.Reward(
        reward=bytes(one.reward_id).hex(),
        event=str(one.source_id) if one.kind == REWARD_OF_CONSENT else "",
        purpose=one.purpose_key,
        amount_micro=one.amount_micro,
        chain=_NUMBERS[one.chain] if one.chain else pb.REWARD_CHAIN_UNSPECIFIED,
        recipient=one.recipient or "",
        delivery=one.delivery,
        state=one.state,
        reason=one.reason,
        transaction=one.tx_ref,
        block_height=one.block_height,
        final_time=timestamp(one.finalized_at),
        create_time=timestamp(one.created_at),
    )


def _tariff(tariff: Tariff) -> pb.RewardTariff:
    keys = sorted(DEFAULT_TARIFF.keys() | tariff.rates.keys())
    rates = [
        pb.RewardRate(
            purpose=key,
            amount_micro=tariff.rate(key).amount_micro,
            chain=_NUMBERS.get(tariff.rate(key).chain, pb.REWARD_CHAIN_UNSPECIFIED),
        )
        for key in keys
    ]
    return pb.RewardTariff(
        enabled=tariff.is_enabled,
        terms_version=tariff.terms_version,
        delivery=tariff.delivery,
        monthly_budget_micro=tariff.monthly_budget_micro,
        rates=rates,
        etag=str(tariff.version),
    )
