"""The rewards ledger: every reward id is accepted once, over all chains, and follows one chain to its end.

It stands on the Protocol ``Chain`` alone. Rewards are accepted in the journal and nowhere else; a worker per
chain (``follower.py``) hands what is OWED to its chain, which signs and sends.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import cast
from uuid import UUID

from cohortlens.core import clock
from cohortlens.core.errors import InvalidArgument, Violation
from sidecars.web3.journal.operations import run_once
from sidecars.web3.journal.pool import Journal
from sidecars.web3.journal.rewards import LedgerRows, StoredReward
from sidecars.web3.rewards.chain import (
    MAX_REWARD_MICRO,
    MICRO_PER_TOKEN,
    REWARD_ID_BYTES,
    Balance,
    Chain,
    ChainHealth,
    ChainUnavailable,
    Delivery,
    Mint,
    Resynced,
    RewardState,
)
from sidecars.web3.rewards.claims import ClaimableChain, EpochProof, PublishedEpoch, Voucher
from sidecars.web3.rewards.errors import (
    RewardAlreadySent,
    RewardAmountInvalid,
    RewardConflict,
    RewardLimitExceeded,
    RewardNotClaimable,
    RewardNotFound,
)

MOST_ITEMS = 200
MOST_LEAVES = 100_000
LIMIT_HOURS = 24
STALE_FOR = timedelta(minutes=10)
_BALANCES_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class RewardItem:
    """A reward to accept, as asked.

    Attributes:
        reward_id: 32 bytes.
        chain: Name of the chain.
        to: Address in any spelling.
        amount_micro: Micro-tokens.
        delivery: How it reaches its holder.
    """

    reward_id: bytes
    chain: str
    to: str
    amount_micro: int
    delivery: Delivery


@dataclass(frozen=True, slots=True)
class KnownBalance:
    """A balance, and whether the chain said it just now or last."""

    balance: Balance
    is_stale: bool


class RewardLedger:
    """Accepts, reads and cancels rewards.

    Args:
        journal: Where rewards are kept.
        chains: The chains by name.
        daily_micro: Micro-tokens that a tenant's rewards of 24 hours may sum up to.
        wake: Called when a chain has something new to sign; takes the chain's name.
    """

    def __init__(
        self, journal: Journal, chains: Mapping[str, Chain], daily_micro: int, wake: Callable[[str], None]
    ) -> None:
        self._journal = journal
        self._chains = chains
        self._daily_micro = daily_micro
        self._wake = wake
        self._balances: OrderedDict[tuple[str, str], Balance] = OrderedDict()

    async def submit(
        self,
        tenant_id: UUID,
        operation_id: UUID,
        digest: bytes,
        items: Sequence[RewardItem],
        encode: Callable[[Sequence[StoredReward]], bytes],
    ) -> bytes:
        """Accept rewards once; the answer holds them in the order asked.

        Args:
            tenant_id: Whose rewards.
            operation_id: See ``journal.operations``.
            digest: SHA-256 of the request.
            items: 1 to 200 rewards.
            encode: Makes the answer that is stored and given again.

        Raises:
            InvalidArgument: A field is wrong; nothing was accepted.
            RewardConflict: An id stands for something else.
            RewardLimitExceeded: The tenant's limit of 24 hours.
            OperationReused: See ``journal.operations``.
        """
        wanted = self._checked(items)
        async with self._journal.transaction(tenant_id) as tx:
            rows = LedgerRows(tx, tenant_id)

            async def accept() -> bytes:
                return encode(await self._accept(rows, wanted))

            answer = await run_once(tx, tenant_id, operation_id, digest, accept)
        for chain in {one.chain for one in wanted}:
            self._wake(chain)
        return answer

    async def states(self, tenant_id: UUID, reward_ids: Sequence[bytes]) -> list[StoredReward]:
        """The tenant's rewards in the order asked; unknown ones are left out.

        Raises:
            RewardNotFound: None of them is known.
        """
        _check_ids(reward_ids, MOST_ITEMS)
        async with self._journal.transaction(tenant_id) as tx:
            known = await LedgerRows(tx, tenant_id).by_id(reward_ids)
        if not known:
            raise RewardNotFound
        return [known[one] for one in reward_ids if one in known]

    async def cancel(self, tenant_id: UUID, reward_id: bytes) -> StoredReward:
        """Cancel a reward that is OWED or CLAIMABLE; one that is cancelled already is a success.

        Raises:
            RewardNotFound: No such reward of the tenant.
            RewardAlreadySent: It is signed or further; it completes.
            ChainRefused: A claimable reward is cancelled on its chain, which must not be used as it is.
            ChainUnavailable: The chain does not answer.
        """
        _check_ids([reward_id], 1)
        async with self._journal.transaction(tenant_id) as tx:
            rows = LedgerRows(tx, tenant_id)
            await rows.cancel_owed(reward_id)
            found = (await rows.by_id([reward_id])).get(reward_id)
        if found is None:
            raise RewardNotFound
        if found.state == RewardState.CLAIMABLE:
            await self._claimable(found.chain).cancel(reward_id)
            found = (await self.states(tenant_id, [reward_id]))[0]
        if found.state != RewardState.CANCELLED:
            raise RewardAlreadySent(
                f"The reward is {found.state}: it cannot be cancelled any more.",
                metadata={"state": found.state},
            )
        return found

    async def voucher(self, tenant_id: UUID, reward_id: bytes, deadline_s: int) -> Voucher:
        """Sign a voucher for a CLAIMABLE reward of delivery VOUCHER.

        Raises:
            RewardNotFound: No such reward of the tenant.
            RewardNotClaimable: It has another delivery or state.
            InvalidArgument: VOUCHER_DEADLINE_INVALID.
        """
        mint = (await self._claimables(tenant_id, [reward_id], Delivery.VOUCHER))[0]
        return self._claimable(mint.chain).create_voucher(_mint(mint), deadline_s)

    async def publish_epoch(self, tenant_id: UUID, reward_ids: Sequence[bytes]) -> PublishedEpoch:
        """Publish one Merkle root of CLAIMABLE rewards of delivery EPOCH; the same set, the same epoch.

        Raises:
            RewardNotFound: One is not a reward of the tenant.
            RewardNotClaimable: One has another delivery or state, or they are of several chains.
        """
        found = await self._claimables(tenant_id, reward_ids, Delivery.EPOCH)
        chains = {one.chain for one in found}
        if len(chains) > 1:
            raise RewardNotClaimable("The rewards of an epoch are of one chain; publish one epoch per chain.")
        return await self._claimable(chains.pop()).publish_epoch([_mint(one) for one in found])

    async def epoch_proof(self, tenant_id: UUID, reward_id: bytes) -> EpochProof:
        """The proof of a reward of a published epoch.

        Raises:
            RewardNotFound: No such reward of the tenant.
            RewardNotClaimable: It has another delivery or state.
        """
        found = (await self._claimables(tenant_id, [reward_id], Delivery.EPOCH))[0]
        return await self._claimable(found.chain).epoch_proof(reward_id)

    async def balance(self, chain: str, address: str) -> KnownBalance:
        """What an address holds; while the chain does not answer, what it said at most ten minutes ago.

        Raises:
            WalletAddressInvalid: It is no address of the chain.
            ChainUnavailable: The chain does not answer, and nothing recent is known.
        """
        one = self.chain(chain)
        key = (chain, one.canonical(address))
        try:
            balance = await one.balance(key[1])
        except ChainUnavailable:
            known = self._balances.get(key)
            if known is None or clock.now() - known.as_of > STALE_FOR:
                raise
            return KnownBalance(known, is_stale=True)
        self._balances[key] = balance
        self._balances.move_to_end(key)
        while len(self._balances) > _BALANCES_KEPT:
            self._balances.popitem(last=False)
        return KnownBalance(balance, is_stale=False)

    def verify_wallet(self, chain: str, address: str, message: str, signature: bytes) -> str:
        """The canonical address, if its holder signed ``message``; see ``Chain.verify_wallet``."""
        return self.chain(chain).verify_wallet(address, message, signature)

    async def health(self) -> list[ChainHealth]:
        """How each chain is."""
        return [await chain.health() for chain in self._chains.values()]

    async def resync(self, chain: str) -> Resynced:
        """Take the chain's word; see ``Chain.resync``."""
        found = await self.chain(chain).resync()
        self._wake(chain)
        return found

    def chain(self, name: str) -> Chain:
        """A chain by name.

        Raises:
            InvalidArgument: There is none of the name.
        """
        if name not in self._chains:
            raise _invalid("chain", f"must be one of {', '.join(self._chains)}")
        return self._chains[name]

    async def _accept(self, rows: LedgerRows, wanted: Sequence[StoredReward]) -> list[StoredReward]:
        ids = [one.reward_id for one in wanted]
        known = await rows.by_id(ids)
        fresh = [one for one in wanted if one.reward_id not in known]
        if fresh:
            accepted = await rows.accepted_micro(LIMIT_HOURS)
            if accepted + sum(one.amount_micro for one in fresh) > self._daily_micro:
                raise RewardLimitExceeded(
                    f"The rewards of the last {LIMIT_HOURS} hours would pass"
                    f" {self._daily_micro // MICRO_PER_TOKEN} tokens; try again later."
                )
            await rows.add(fresh)
            known = await rows.by_id(ids)
        for one in wanted:
            if one.reward_id not in known or known[one.reward_id].body != one.body:
                raise RewardConflict(one.reward_id)
        return [known[one] for one in ids]

    def _checked(self, items: Sequence[RewardItem]) -> list[StoredReward]:
        _check_ids([item.reward_id for item in items], MOST_ITEMS, "items")
        return [self._checked_one(item, f"items[{index}]") for index, item in enumerate(items)]

    def _checked_one(self, item: RewardItem, path: str) -> StoredReward:
        chain = self._chains.get(item.chain)
        if chain is None:
            raise _invalid(f"{path}.chain", f"must be one of {', '.join(self._chains)}")
        if item.delivery not in chain.deliveries:
            raise _invalid(
                f"{path}.delivery", f"must be one of {', '.join(sorted(chain.deliveries))} on {item.chain}"
            )
        if not 1 <= item.amount_micro <= MAX_REWARD_MICRO:
            raise RewardAmountInvalid(
                f"{path}.amount_micro must be 1 to {MAX_REWARD_MICRO}, not {item.amount_micro}.",
                violations=(Violation(f"{path}.amount_micro", f"must be 1 to {MAX_REWARD_MICRO}"),),
            )
        state = RewardState.OWED if item.delivery is Delivery.MINT else RewardState.CLAIMABLE
        to = chain.canonical(item.to)
        return StoredReward(item.reward_id, item.chain, to, item.amount_micro, item.delivery, state)

    async def _claimables(
        self, tenant_id: UUID, reward_ids: Sequence[bytes], delivery: Delivery
    ) -> list[StoredReward]:
        _check_ids(reward_ids, MOST_LEAVES)
        async with self._journal.transaction(tenant_id) as tx:
            known = await LedgerRows(tx, tenant_id).by_id(reward_ids)
        if len(known) < len(reward_ids):
            raise RewardNotFound
        for one in known.values():
            if one.delivery != delivery or one.state != RewardState.CLAIMABLE:
                raise RewardNotClaimable(
                    f"The reward is {one.state} with delivery {one.delivery}, not CLAIMABLE with {delivery}.",
                    metadata={"reward_id": one.reward_id.hex(), "state": one.state, "delivery": one.delivery},
                )
        return [known[one] for one in reward_ids]

    def _claimable(self, name: str) -> ClaimableChain:
        chain = self.chain(name)
        if Delivery.VOUCHER not in chain.deliveries:
            raise RewardNotClaimable(f"The chain {name} has no vouchers and epochs.")
        return cast("ClaimableChain", chain)


def _mint(reward: StoredReward) -> Mint:
    return Mint(reward.reward_id, reward.recipient, reward.amount_micro)


def _check_ids(reward_ids: Sequence[bytes], most: int, field: str = "reward_ids") -> None:
    if not 1 <= len(reward_ids) <= most:
        raise _invalid(field, f"must hold 1 to {most}, not {len(reward_ids)}")
    if len(set(reward_ids)) < len(reward_ids):
        raise _invalid(field, "must not name a reward twice")
    if any(len(one) != REWARD_ID_BYTES for one in reward_ids):
        raise _invalid(field, f"every reward_id must be {REWARD_ID_BYTES} bytes")


def _invalid(field: str, description: str) -> InvalidArgument:
    return InvalidArgument(f"{field} {description}.", violations=(Violation(field, description),))
