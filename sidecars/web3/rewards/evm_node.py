"""A node of an EVM chain through web3.py: plain values out, its many kinds of errors turned into few.

The exceptions of HTTP nodes and of the in-process chain differ, and so do the texts of one refusal from node
to node: this module alone knows them.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar, cast

import aiohttp
from eth_typing import HexStr
from web3 import AsyncHTTPProvider, AsyncWeb3
from web3.exceptions import BlockNotFound, ContractLogicError, TransactionNotFound, Web3Exception
from web3.middleware import ExtraDataToPOAMiddleware
from web3.types import TxParams, Wei

from sidecars.web3.rewards.chain import ChainUnavailable

LOG_WINDOW = 10_000
_TIMEOUT_S = 10.0
_FAILURES_TO_OPEN = 3
_OPEN_S = 10.0
_POLYGON_IDS = frozenset({137, 80002})
AnswerT = TypeVar("AnswerT")


class SendOutcome(Enum):
    """What a node said to a raw transaction."""

    ACCEPTED = "accepted"
    KNOWN = "known"
    NONCE_TOO_LOW = "nonce too low"
    UNDERPRICED = "underpriced"
    NO_FUNDS = "no funds"
    REFUSED = "refused"


# Texts of geth, bor, erigon, reth, anvil and py-evm in lower case; the first that is found counts.
_SEND_TEXTS = (
    (re.compile(r"already known|already imported|known transaction"), SendOutcome.KNOWN),
    (
        re.compile(r"nonce too low|nonce.*(less than|too low|expected)|invalid.*nonce"),
        SendOutcome.NONCE_TOO_LOW,
    ),
    (re.compile(r"underpriced|fee.*(less|lower|too low|below)"), SendOutcome.UNDERPRICED),
    (re.compile(r"insufficient funds|sender.*balance|does not have enough"), SendOutcome.NO_FUNDS),
)


@dataclass(frozen=True, slots=True)
class Head:
    """A block: height, hash (``0x`` and 64 hex digits), time in seconds since 1970, base fee in wei."""

    height: int
    block_hash: str
    time_s: int
    base_fee: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """Where a transaction was mined, whether it did anything, its gas and its logs as web3.py gives them."""

    height: int
    block_hash: str
    is_reverted: bool
    gas_used: int
    contract: str | None
    logs: tuple[Any, ...]


class Reverted(Exception):
    """A call would revert; ``data`` is what the contract said, ``0x`` and hex digits or empty."""

    def __init__(self, data: str) -> None:
        super().__init__("the call would revert")
        self.data = data


class EvmNode:
    """One node.

    Args:
        w3: web3.py with its provider.
        clock: Seconds that never go back.
    """

    def __init__(self, w3: AsyncWeb3[Any], clock: Callable[[], float] = time.monotonic) -> None:
        self.w3 = w3
        self._clock = clock
        self._failures = 0
        self._losses = 0
        self._closed_until = 0.0

    @property
    def losses(self) -> int:
        """How often the node stopped answering; a new number means that it may be another node now."""
        return self._losses

    async def chain_id(self) -> int:
        """The chain's number."""
        return await self._ask(lambda: self.w3.eth.chain_id)

    async def head(self, which: str | int = "latest") -> Head | None:
        """A block by height or tag; None where the node has none."""
        try:
            block = await self._ask(lambda: self.w3.eth.get_block(cast("Any", which)))
        except BlockNotFound:
            return None
        return Head(
            int(block["number"]),
            _hex(block["hash"]),
            int(block["timestamp"]),
            int(block.get("baseFeePerGas", 0)),
        )

    async def tagged(self, tag: str) -> Head | None:
        """A block by its tag; None where the node does not know the tag."""
        try:
            return await self.head(tag)
        except (Web3Exception, ValueError):
            return None

    async def nonce(self, address: str) -> int:
        """How many transactions of an address are mined."""
        return int(await self._ask(lambda: self.w3.eth.get_transaction_count(_address(address), "latest")))

    async def funds(self, address: str) -> int:
        """What an address holds for fees, in wei."""
        return int(await self._ask(lambda: self.w3.eth.get_balance(_address(address))))

    async def code(self, address: str) -> bytes:
        """The code of a contract; empty where there is none."""
        return bytes(await self._ask(lambda: self.w3.eth.get_code(_address(address))))

    async def tip(self) -> int:
        """What the node thinks a transaction should add to the base fee, in wei."""
        return int(await self._ask(lambda: self.w3.eth.max_priority_fee))

    async def call(self, to: str, data: str, sender: str | None = None) -> bytes:
        """Call a contract without a transaction.

        Raises:
            Reverted: The contract refuses.
        """
        return bytes(await self._simulate(lambda: self.w3.eth.call(_params(to, data, sender))))

    async def gas(self, sender: str, to: str | None, data: str) -> int:
        """Estimate the gas of a transaction.

        Raises:
            Reverted: It would revert.
        """
        return int(await self._simulate(lambda: self.w3.eth.estimate_gas(_params(to, data, sender))))

    async def send(self, raw: bytes) -> SendOutcome:
        """Hand over a signed transaction."""
        try:
            await self._ask(lambda: self.w3.eth.send_raw_transaction(raw))
        except ChainUnavailable:
            raise
        except Exception as refused:
            said = str(refused).lower()
            for pattern, outcome in _SEND_TEXTS:
                if pattern.search(said):
                    return outcome
            return SendOutcome.REFUSED
        return SendOutcome.ACCEPTED

    async def receipt(self, tx_hash: str) -> Receipt | None:
        """The receipt of a mined transaction; None while it is not mined."""
        try:
            found = await self._ask(lambda: self.w3.eth.get_transaction_receipt(HexStr(tx_hash)))
        except TransactionNotFound:
            return None
        if found is None or found.get("blockNumber") is None:
            return None
        return Receipt(
            height=int(found["blockNumber"]),
            block_hash=_hex(found["blockHash"]),
            is_reverted=found["status"] == 0,
            gas_used=int(found["gasUsed"]),
            contract=found.get("contractAddress"),
            logs=tuple(found["logs"]),
        )

    async def logs(
        self, contract: str, topics: Sequence[str | list[str] | None], first: int, last: int
    ) -> list[Any]:
        """Events of a contract from one height to another, asked for in windows that nodes accept."""
        found: list[Any] = []
        for start in range(first, last + 1, LOG_WINDOW):
            window: Any = {
                "address": contract,
                "topics": list(topics),
                "fromBlock": start,
                "toBlock": min(start + LOG_WINDOW - 1, last),
            }
            found += await self._ask(lambda window=window: self.w3.eth.get_logs(window))  # type: ignore[misc]
        return found

    async def close(self) -> None:
        """Let connections go."""
        if isinstance(self.w3.provider, AsyncHTTPProvider):
            await self.w3.provider.disconnect()

    async def _simulate(self, ask: Callable[[], Awaitable[AnswerT]]) -> AnswerT:
        try:
            return await self._ask(ask)
        except ChainUnavailable:
            raise
        except Exception as refused:
            if _is_revert(refused):
                raise Reverted(_revert_data(refused)) from refused
            # A limit, a fault or a node that is behind: nothing is known of what the contract would say.
            raise ChainUnavailable(
                "the EVM node did not carry out a call; try again", retry_delay_s=1.0
            ) from refused

    async def _ask(self, ask: Callable[[], Awaitable[AnswerT]]) -> AnswerT:
        if self._clock() < self._closed_until:
            raise ChainUnavailable("the EVM node does not answer; it is asked again in seconds")
        try:
            answer = await asyncio.wait_for(ask(), _TIMEOUT_S)
        except (aiohttp.ClientError, TimeoutError, OSError) as fault:
            self._failures += 1
            self._losses += 1
            if self._failures >= _FAILURES_TO_OPEN:
                self._closed_until = self._clock() + _OPEN_S
            raise ChainUnavailable("the EVM node does not answer; try again", retry_delay_s=1.0) from fault
        self._failures, self._closed_until = 0, 0.0
        return answer


def http_node(url: str, chain_id: int) -> EvmNode:
    """Connect to a node by URL; nothing is sent yet.

    Args:
        url: Address with or without a key in it; never logged.
        chain_id: Polygon's blocks carry longer extra data, which needs its middleware.
    """
    provider = AsyncHTTPProvider(url, exception_retry_configuration=None)
    w3: AsyncWeb3[Any] = AsyncWeb3(provider)
    if chain_id in _POLYGON_IDS:
        w3.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)
    return EvmNode(w3)


def _is_revert(refused: Exception) -> bool:
    # By its name: importing eth-tester, which only the in-process chain needs, loads all of py-evm.
    if (type(refused).__module__, type(refused).__name__) == ("eth_tester.exceptions", "TransactionFailed"):
        return True
    data = getattr(refused, "data", None)
    if isinstance(refused, ContractLogicError):
        # web3.py makes this of any refusal with details, a limit's too, and puts words of its own before it.
        said = str(refused).removeprefix("execution reverted: ") if isinstance(data, dict) else str(refused)
        return "revert" in said.lower() or (isinstance(data, str) and data.startswith("0x"))
    answer = getattr(refused, "rpc_response", None) or {}
    error = answer.get("error") if isinstance(answer, dict) else None
    if not isinstance(error, dict):
        return False
    # 3 is geth's and anvil's code of a revert (go-ethereum, internal/ethapi/errors.go).
    return error.get("code") == 3 or "revert" in f"{error.get('message')} {error.get('data')}".lower()


def _revert_data(refused: Exception) -> str:
    """Find the contract's own bytes in an exception; each back end carries them elsewhere."""
    for held in (getattr(refused, "data", None), *refused.args):
        if isinstance(held, str) and held.startswith("0x"):
            return held
        if isinstance(held, bytes):
            return "0x" + held.hex()
    inner = re.search(r"0x[0-9a-f]{8,}", str(refused))
    if inner is None and not isinstance(refused, Web3Exception) and refused.__cause__ is not None:
        return _revert_data(cast("Exception", refused.__cause__))
    return inner.group(0) if inner else ""


def _params(to: str | None, data: str, sender: str | None) -> TxParams:
    params: TxParams = {"data": HexStr(data), "value": Wei(0)}
    if to is not None:
        params["to"] = _address(to)
    if sender is not None:
        params["from"] = _address(sender)
    return params


def _address(text: str) -> Any:
    return AsyncWeb3.to_checksum_address(text)


def _hex(value: bytes) -> str:
    return "0x" + bytes(value).hex()
