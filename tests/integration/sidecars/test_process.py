"""The sidecar as a process: it starts on both embedded chains, survives ``kill -9``, refuses strangers."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import signal
import subprocess
import sys
import urllib.request
from uuid import uuid4

import pytest
from eth_account import Account
from solders.keypair import Keypair

from cohortlens.adapters.web3_channel import Web3Channel
from cohortlens.adapters.web3_credentials import GrpcCredentialIssuer
from cohortlens.adapters.web3_rewards import GrpcRewardLedger
from cohortlens.consent.web3_models import CredentialKind, CredentialOrder, Delivery, RewardOrder
from cohortlens.core.errors import CohortLensError
from cohortlens.embedded.ports import free_ports
from sidecars.web3.journal.pool import Journal
from tests.fixtures.waiting import eventually

TOKEN = "a token of this test alone, long"
TENANT = uuid4()


class Process:
    """One sidecar on a folder and a journal."""

    def __init__(self, folder, dsn):
        self.port, self.ops = free_ports(1), free_ports(4)
        self.log = folder / "web3.log"
        self.environ = {
            "PATH": os.environ["PATH"],
            "COHORTLENS_ENV": "test",
            "COHORTLENS_DATA_DIR": str(folder),
            "COHORTLENS_OPS_PORT": str(self.ops),
            "COHORTLENS_WEB3_LISTEN": f"127.0.0.1:{self.port}",
            "COHORTLENS_WEB3_TOKEN": TOKEN,
            "COHORTLENS_WEB3_DSN": dsn,
            "COHORTLENS_PUBLIC_URL": "https://consent.example",
            "COHORTLENS_WEB3_KEK": base64.b64encode(bytes(range(50, 82))).decode(),
        }
        self.child = None

    def start(self, **changes):
        with self.log.open("ab") as log:
            self.child = subprocess.Popen(
                [sys.executable, "-m", "sidecars.web3"], env=self.environ | changes, stdout=log, stderr=log
            )

    def is_ready(self):
        assert self.child.poll() is None, self.log.read_text()[-2000:]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ops + 3}/readyz", timeout=2) as reply:
                return reply.status == 200
        except OSError:
            return False

    def metrics(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ops + 3}/metrics", timeout=5) as reply:
            return reply.read().decode()

    def kill(self, number=signal.SIGKILL):
        self.child.send_signal(number)
        return self.child.wait(15)


@pytest.fixture
def process(tmp_path, postgres_urls, database):
    made = Process(tmp_path, postgres_urls.web3)
    yield made
    if made.child is not None and made.child.poll() is None:
        made.kill(signal.SIGTERM)


@pytest.fixture
async def ledger(process):
    channel = Web3Channel(f"127.0.0.1:{process.port}", TOKEN)
    yield GrpcRewardLedger(channel)
    await channel.close()


def _orders():
    ids = [hashlib.sha256(uuid4().bytes).digest() for _ in range(2)]
    return [
        RewardOrder(ids[0], "evm", Account.create().address, 2_000_000, Delivery.MINT),
        RewardOrder(ids[1], "solana", str(Keypair().pubkey()), 3_000_000, Delivery.MINT),
    ]


async def _ready(process):
    await eventually(lambda: asyncio.to_thread(process.is_ready), 30.0)


async def _final(ledger, orders):
    async def are_final():
        try:
            states = await ledger.states(TENANT, [order.reward_id for order in orders])
        except CohortLensError:
            return False
        return {one.state for one in states} == {"FINAL"}

    await eventually(are_final, 30.0)


async def _shown(process):
    """The ops page shows what the sidecar did."""
    channel = Web3Channel(f"127.0.0.1:{process.port}", TOKEN)
    refused = await GrpcCredentialIssuer(channel).verify(b'{"no": "credential"}')
    await channel.close()
    page = await asyncio.to_thread(process.metrics)
    seen = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
    for chain in ("evm", "solana"):
        assert float(seen[f'web3_tx_total{{chain="{chain}",outcome="final"}}']) >= 1
        assert float(seen[f'web3_signer_balance{{chain="{chain}"}}']) > 0
        assert float(seen[f'web3_finality_lag_seconds{{chain="{chain}"}}']) >= 0
        assert seen[f'web3_rewards{{chain="{chain}",state="OWED"}}'] == "0.0"
    assert seen['web3_chain_up{chain="solana"}'] == "1.0"
    assert seen[f'web3_verify_total{{reason="{refused.refusals[0].reason}"}}'] == "1.0"
    assert seen["web3_reorgs_total"] == "0.0"
    for name, kind in (("web3_pin_total", "counter"), ("web3_status_publish_seconds", "histogram")):
        assert f"# TYPE {name} {kind}" in page


async def test_a_reward_accepted_before_a_kill_is_paid_once_after_it_on_both_chains(process, ledger):
    process.start()
    await _ready(process)
    orders, operation = _orders(), uuid4()
    before = await ledger.submit(TENANT, operation, orders)
    process.kill()
    process.start()
    await _ready(process)
    assert await ledger.submit(TENANT, operation, orders) == before
    await _final(ledger, orders)
    for order in orders:
        assert (await ledger.balance(order.chain, order.to)).balance_micro == order.amount_micro
    told = await ledger.chains()
    chains = {one.chain: one for one in told.chains}
    parts = {one.part: (one.mode, one.status, one.waiting) for one in told.parts}
    assert parts == {"credentials": ("did:key", "ok", {}), "pins": ("embedded-blockstore", "ok", {})}
    assert {name: one.total_supply_micro for name, one in chains.items()} == {
        "evm": 2_000_000,
        "solana": 3_000_000,
    }
    await _shown(process)
    stranger = Web3Channel(f"127.0.0.1:{process.port}", "x" * 30)
    with pytest.raises(CohortLensError) as refusal:
        await GrpcRewardLedger(stranger).chains()
    await stranger.close()
    assert refusal.value.reason == "INTERNAL_TOKEN_INVALID"
    endpoints = json.loads((process.log.parent / "web3" / "endpoints.json").read_text())
    assert set(endpoints) == {"evm", "grpc", "ipfs", "solana"}
    assert process.kill(signal.SIGTERM) == 0


async def test_a_credential_issued_right_before_a_kill_is_answered_with_the_same_bytes_after_it(process):
    channel = Web3Channel(f"127.0.0.1:{process.port}", TOKEN)
    issuer = GrpcCredentialIssuer(channel)
    claims = {
        "purpose": "profiling",
        "purposeVersion": 1,
        "activities": ["profiling.predict"],
        "grantedAt": "2026-01-31T12:00:00Z",
        "noticeDigest": "ab" * 32,
        "recordCommitment": "cd" * 32,
    }
    order, operation = CredentialOrder(uuid4(), CredentialKind.CONSENT, claims, uuid4()), uuid4()
    process.start(COHORTLENS_FAILPOINT="web3.issue.committed")
    await _ready(process)
    with pytest.raises(CohortLensError):
        await issuer.issue(TENANT, operation, [order])
    assert await asyncio.to_thread(process.child.wait, 15) == -signal.SIGKILL
    committed = await _documents(process)
    process.start()
    await _ready(process)
    (answered,) = await issuer.issue(TENANT, operation, [order])
    (again,) = await issuer.issue(TENANT, uuid4(), [order])
    assert [answered.credential_json, again.credential_json] == committed * 2
    assert (await issuer.verify(answered.credential_json)).refusals == ()
    assert await _documents(process) == committed
    await channel.close()


async def _documents(process):
    """Every credential of the journal, as its role sees them."""
    journal = Journal(process.environ["COHORTLENS_WEB3_DSN"])
    await journal.open()
    async with journal.transaction(TENANT) as tx:
        found = [bytes(row[0]) for row in await tx.fetch("SELECT document FROM credential")]
    await journal.close()
    return found


def test_settings_that_cannot_work_are_all_named_at_once(process):
    process.start(
        COHORTLENS_WEB3_TOKEN="short",
        COHORTLENS_WEB3_KEK="",
        COHORTLENS_WEB3_EVM_CHAIN_ID="137",
        COHORTLENS_PUBLIC_URL="",
    )
    assert process.child.wait(15) == 2
    said = process.log.read_text()
    for name in (
        "COHORTLENS_WEB3_TOKEN=****",
        "COHORTLENS_WEB3_KEK is not set",
        "COHORTLENS_PUBLIC_URL is not set",
        "CHAIN_MAINNET_NOT_CONFIRMED",
    ):
        assert name in said
    assert "short" not in said
