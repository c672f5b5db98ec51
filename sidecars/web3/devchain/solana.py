"""Solana's JSON-RPC in front of the embedded ledger, so that ``solana-py`` and any other client speak to it.

The methods are those that paying out rewards and looking at them need. Reads answer the newest state at
every commitment: nothing is ever rolled back here. What is simulated is finality: a transaction is confirmed
one slot after its own, and finalized after four.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from base64 import b64decode, b64encode
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import base58
from aiohttp import web
from solders.account import Account
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import FailedTransactionMetadata

from sidecars.web3.devchain.listening import LoopbackListener
from sidecars.web3.devchain.solana_ledger import (
    BLOCKHASH_SLOTS,
    CONFIRMED_AFTER,
    FINALIZED_AFTER,
    Landed,
    SolanaLedger,
    TransactionRefused,
)

_MOST_BYTES = 256 * 1024
_MOST_KEYS = 100
_MOST_SIGNATURES = 256
_MINT_BYTES = 82
_PARSE_ERROR, _BAD_REQUEST, _NO_METHOD, _BAD_PARAMS = -32700, -32600, -32601, -32602
_PREFLIGHT_FAILED, _NO_ACCOUNT = -32002, -32602
_REFUSALS = {"BlockhashNotFound": "Blockhash not found", "SignatureFailure": "Signature verification failed"}


class RpcError(Exception):
    """An error of JSON-RPC: its code, message and data."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.body = {"code": code, "message": message} | ({"data": data} if data is not None else {})


class SolanaDevChain:
    """The embedded chain and its address.

    Args:
        folder: Where its ledger lies.
        now: Seconds since 1970.
    """

    def __init__(self, folder: Path, now: Callable[[], float] = time.time) -> None:
        self.ledger = SolanaLedger(folder, now)
        self._now = now
        self._lock = asyncio.Lock()
        self._listener = LoopbackListener()
        self.url = ""
        self._methods: dict[str, Callable[[list[Any]], Any]] = {
            "getHealth": lambda _: "ok",
            "getVersion": lambda _: {"solana-core": "4.0.0", "feature-set": 0, "cohortlens": "litesvm"},
            "getGenesisHash": lambda _: self.ledger.genesis_hash,
            "getSlot": self._slot,
            "getBlockHeight": self._slot,
            "getBlockTime": lambda _: int(self._now()),
            "getLatestBlockhash": self._latest_blockhash,
            "getBalance": self._balance,
            "getAccountInfo": self._account_info,
            "getMultipleAccounts": self._multiple_accounts,
            "getTokenAccountBalance": self._token_account_balance,
            "getTokenAccountsByOwner": self._token_accounts_by_owner,
            "getTokenSupply": self._token_supply,
            "getMinimumBalanceForRentExemption": lambda params: self.ledger.rent(_size(params)),
            "requestAirdrop": self._airdrop,
            "simulateTransaction": self._simulate,
            "sendTransaction": self._send,
            "getSignatureStatuses": self._statuses,
            "getSignaturesForAddress": self._signatures_for_address,
            "getTransaction": self._transaction,
        }

    async def start(self, port: int = 0) -> str:
        """Listen on loopback.

        Args:
            port: 0 for any free one.

        Returns:
            The URL.
        """
        app = web.Application(client_max_size=_MOST_BYTES)
        app.router.add_post("/", self._handle)
        self.url = await self._listener.open(app, port)
        return self.url

    async def close(self) -> None:
        """Stop listening and close the ledger."""
        await self._listener.close()
        self.ledger.close()

    async def _handle(self, request: web.Request) -> web.Response:
        if "Origin" in request.headers:
            # A page in somebody's browser must not reach a chain on loopback.
            return web.Response(status=403)
        try:
            body = json.loads(await request.read())
        except ValueError:
            return _answer(_failure(None, RpcError(_PARSE_ERROR, "Parse error")))
        if isinstance(body, list):
            return _answer([await self._one(call) for call in body[:_MOST_KEYS]])
        return _answer(await self._one(body))

    async def _one(self, call: Any) -> dict[str, Any]:
        if not isinstance(call, dict) or not isinstance(call.get("method"), str):
            return _failure(None, RpcError(_BAD_REQUEST, "Invalid request"))
        params = call.get("params") or []
        method = self._methods.get(call["method"])
        try:
            if method is None:
                raise RpcError(_NO_METHOD, f"Method not found: {call['method'][:64]}")
            if not isinstance(params, list):
                raise RpcError(_BAD_PARAMS, "Invalid params: a list is expected")
            async with self._lock:
                # LiteSVM and fsync hold the caller for milliseconds; other tasks go on meanwhile.
                result = await asyncio.get_running_loop().run_in_executor(None, partial(method, params))
        except RpcError as error:
            return _failure(call.get("id"), error)
        return {"jsonrpc": "2.0", "id": call.get("id"), "result": result}

    def _slot(self, params: list[Any]) -> int:
        return max(0, self.ledger.slot - _depth(_options(params, 0)))

    def _in_context(self, value: Any) -> dict[str, Any]:
        return {"context": {"slot": self.ledger.slot, "apiVersion": "4.0.0"}, "value": value}

    def _latest_blockhash(self, params: list[Any]) -> dict[str, Any]:
        slot = max(0, self.ledger.slot - _depth(_options(params, 0)))
        last = slot + BLOCKHASH_SLOTS
        return self._in_context({"blockhash": self.ledger.blockhash(slot), "lastValidBlockHeight": last})

    def _balance(self, params: list[Any]) -> dict[str, Any]:
        account = self.ledger.account(_address(params, 0))
        return self._in_context(account.lamports if account is not None else 0)

    def _account_info(self, params: list[Any]) -> dict[str, Any]:
        encoding = _encoding(_options(params, 1))
        return self._in_context(_account(self.ledger.account(_address(params, 0)), encoding))

    def _multiple_accounts(self, params: list[Any]) -> dict[str, Any]:
        addresses = params[0] if params and isinstance(params[0], list) else None
        if addresses is None or len(addresses) > _MOST_KEYS:
            raise RpcError(
                _BAD_PARAMS, f"Invalid params: a list of at most {_MOST_KEYS} addresses is expected"
            )
        encoding = _encoding(_options(params, 1))
        found = [self.ledger.account(_address(addresses, i)) for i in range(len(addresses))]
        return self._in_context([_account(account, encoding) for account in found])

    def _token_account_balance(self, params: list[Any]) -> dict[str, Any]:
        account = self.ledger.account(_address(params, 0))
        if account is None:
            raise RpcError(_NO_ACCOUNT, "Invalid param: could not find account")
        mint = self._mint(str(Pubkey(account.data[:32])))
        return self._in_context(_amount(int.from_bytes(account.data[64:72], "little"), mint.data[44]))

    def _token_supply(self, params: list[Any]) -> dict[str, Any]:
        mint = self._mint(_address(params, 0))
        return self._in_context(_amount(int.from_bytes(mint.data[36:44], "little"), mint.data[44]))

    def _mint(self, address: str) -> Account:
        account = self.ledger.account(address)
        if account is None or len(account.data) != _MINT_BYTES:
            raise RpcError(_NO_ACCOUNT, "Invalid param: not a Token mint")
        return account

    def _token_accounts_by_owner(self, params: list[Any]) -> dict[str, Any]:
        wanted = _options(params, 1)
        mint, program = wanted.get("mint"), wanted.get("programId")
        if mint is None and program is None:
            raise RpcError(_BAD_PARAMS, "Invalid params: mint or programId is expected")
        encoding = _encoding(_options(params, 2))
        found = self.ledger.token_accounts(_address(params, 0), mint=mint, program=program)
        return self._in_context(
            [{"pubkey": address, "account": _account(account, encoding)} for address, account in found]
        )

    def _airdrop(self, params: list[Any]) -> str:
        lamports = params[1] if len(params) > 1 else None
        if not isinstance(lamports, int) or not 0 < lamports < 2**53:
            raise RpcError(_BAD_PARAMS, "Invalid params: lamports must be a positive number")
        return self.ledger.airdrop(_address(params, 0), lamports).signature

    def _simulate(self, params: list[Any]) -> dict[str, Any]:
        outcome = self.ledger.simulate(_transaction(params))
        if isinstance(outcome, FailedTransactionMetadata):
            error, meta = json.loads(outcome.to_json())["err"], outcome.meta()
        else:
            error, meta = None, outcome
        units = meta.compute_units_consumed()
        return self._in_context({"err": error, "logs": list(meta.logs()), "unitsConsumed": units})

    def _send(self, params: list[Any]) -> str:
        skip = bool(_options(params, 1).get("skipPreflight"))
        try:
            return self.ledger.send(_transaction(params), preflight=not skip).signature
        except TransactionRefused as refusal:
            text = _REFUSALS.get(refusal.error) if isinstance(refusal.error, str) else None
            text = text or f"Error processing: {json.dumps(refusal.error)}"
            data = {"err": refusal.error, "logs": refusal.logs}
            message = f"Transaction simulation failed: {text}"
            raise RpcError(_PREFLIGHT_FAILED, message, data) from None

    def _statuses(self, params: list[Any]) -> dict[str, Any]:
        wanted = params[0] if params and isinstance(params[0], list) else None
        if wanted is None or len(wanted) > _MOST_SIGNATURES:
            raise RpcError(_BAD_PARAMS, f"Invalid params: at most {_MOST_SIGNATURES} signatures are expected")
        return self._in_context([self._status(self.ledger.landed(str(one))) for one in wanted])

    def _status(self, landed: Landed | None) -> dict[str, Any] | None:
        if landed is None:
            return None
        depth = self.ledger.slot - landed.slot
        status = {"Ok": None} if landed.error is None else {"Err": landed.error}
        return {
            "slot": landed.slot,
            "confirmations": None if depth >= FINALIZED_AFTER else depth,
            "err": landed.error,
            "status": status,
            "confirmationStatus": _commitment(depth),
        }

    def _signatures_for_address(self, params: list[Any]) -> list[dict[str, Any]]:
        options = _options(params, 1)
        limit = options.get("limit", 1_000)
        found = self.ledger.signatures_of(_address(params, 0))
        names = [landed.signature for landed in found]
        if (before := options.get("before")) in names:
            found = found[names.index(before) + 1 :]
        if (until := options.get("until")) in names:
            found = found[: [landed.signature for landed in found].index(until)]
        return [
            {
                "signature": landed.signature,
                "slot": landed.slot,
                "err": landed.error,
                "memo": None,
                "blockTime": None,
                "confirmationStatus": _commitment(self.ledger.slot - landed.slot),
            }
            for landed in found[:limit]
            if self.ledger.slot - landed.slot >= _depth(options)
        ]

    def _transaction(self, params: list[Any]) -> dict[str, Any] | None:
        options = _options(params, 1)
        if options.get("encoding", "json") != "base64":
            raise RpcError(_BAD_PARAMS, "Invalid params: this chain answers encoding base64 only")
        landed = self.ledger.landed(str(params[0]) if params else "")
        if landed is None or self.ledger.slot - landed.slot < _depth(options):
            return None
        status = {"Ok": None} if landed.error is None else {"Err": landed.error}
        return {
            "slot": landed.slot,
            "blockTime": None,
            "version": 0,
            "transaction": [b64encode(landed.raw).decode(), "base64"],
            "meta": {
                "err": landed.error,
                "status": status,
                "fee": landed.fee,
                "preBalances": [],
                "postBalances": [],
                "innerInstructions": [],
                "logMessages": landed.logs,
            },
        }


def _answer(body: Any) -> web.Response:
    return web.json_response(body, headers={"X-Request-Id": secrets.token_hex(8)})


def _failure(call_id: Any, error: RpcError) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": call_id, "error": error.body}


def _options(params: list[Any], at: int) -> dict[str, Any]:
    value = params[at] if len(params) > at else None
    return value if isinstance(value, dict) else {}


def _depth(options: dict[str, Any]) -> int:
    """Slots that must have passed for the commitment asked; without one, finalized, as on the network."""
    asked = options.get("commitment", "finalized")
    return {"processed": 0, "confirmed": CONFIRMED_AFTER}.get(asked, FINALIZED_AFTER)


def _commitment(depth: int) -> str:
    if depth >= FINALIZED_AFTER:
        return "finalized"
    return "confirmed" if depth >= CONFIRMED_AFTER else "processed"


def _address(params: list[Any], at: int) -> str:
    text = params[at] if len(params) > at else None
    try:
        return str(Pubkey.from_string(str(text)))
    except ValueError:
        raise RpcError(_BAD_PARAMS, "Invalid param: not an address") from None


def _size(params: list[Any]) -> int:
    if params and isinstance(params[0], int) and 0 <= params[0] <= 10 * 1024 * 1024:
        return params[0]
    raise RpcError(_BAD_PARAMS, "Invalid params: a size in bytes is expected")


def _encoding(options: dict[str, Any]) -> str:
    encoding = options.get("encoding", "base64")
    if encoding not in {"base58", "base64"}:
        raise RpcError(_BAD_PARAMS, "Invalid params: this chain answers encoding base58 and base64")
    return str(encoding)


def _account(account: Account | None, encoding: str) -> dict[str, Any] | None:
    if account is None:
        return None
    data = b64encode(account.data) if encoding == "base64" else base58.b58encode(account.data)
    return {
        "lamports": account.lamports,
        "data": [data.decode(), encoding],
        "owner": str(account.owner),
        "executable": account.executable,
        "rentEpoch": account.rent_epoch,
        "space": len(account.data),
    }


def _amount(amount: int, decimals: int) -> dict[str, Any]:
    return {
        "amount": str(amount),
        "decimals": decimals,
        "uiAmount": amount / 10**decimals,
        "uiAmountString": f"{Decimal(amount).scaleb(-decimals).normalize():f}",
    }


def _transaction(params: list[Any]) -> VersionedTransaction:
    text, encoding = str(params[0]) if params else "", _options(params, 1).get("encoding", "base58")
    try:
        raw = b64decode(text, validate=True) if encoding == "base64" else base58.b58decode(text)
        return VersionedTransaction.from_bytes(raw)
    except ValueError:
        raise RpcError(_BAD_PARAMS, "Invalid param: not a transaction") from None
