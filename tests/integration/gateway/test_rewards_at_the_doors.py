"""Rewards at the doors: wallets proven once, tariffs with tags and budgets, balances, claims; plans without them."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import grpc
import pytest
from eth_account import Account

from cohortlens.v1 import rewards_pb2 as pb
from cohortlens.v1 import rewards_pb2_grpc
from tests.fixtures.web3_doors import MICRO, answered, as_json, proof_of, reason_of

PAYING = ("rewards", "data_sharing")


@pytest.fixture
async def by_grpc(web3_gateway):
    """Calls a method of the gRPC door; answers what the HTTP door would."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{web3_gateway.grpc_port}") as channel:
        stub = rewards_pb2_grpc.RewardServiceStub(channel)

        async def call(shop, method, **fields):
            metadata = (("authorization", f"Bearer {shop.token}"),)
            answer = await getattr(stub, method)(getattr(pb, f"{method}Request")(**fields), metadata=metadata)
            return as_json(answer)

        yield call


def asking(customer, address, chain="REWARD_CHAIN_EVM"):
    """The body that asks for a challenge."""
    return {"customer": customer, "chain": chain, "address": address}


async def test_a_wallet_is_bound_by_the_text_it_signed_once_and_released(shop, superuser):
    ann, bob, account = "external:ann", "external:bob", Account.create()
    made = await shop.post("wallets:challenge", asking(ann, account.address))
    assert account.address in made["message"]
    assert "stay public for ever" in made["message"]
    assert "ann" not in made["message"]

    stranger = await shop.post("wallets", proof_of(made, Account.create()), 400)
    assert reason_of(stranger) == "WALLET_PROOF_INVALID"
    key = {"idempotency-key": str(uuid4())}
    bound = await shop.post("wallets", proof_of(made, account), **key)
    assert await shop.post("wallets", proof_of(made, account), **key) == bound
    wallet = bound["wallet"]
    assert wallet["address"] == account.address
    assert reason_of(await shop.post("wallets", proof_of(made, account), 404)) == "RESOURCE_NOT_FOUND"

    of_bob = await shop.post("wallets:challenge", asking(bob, account.address))
    assert reason_of(await shop.post("wallets", proof_of(of_bob, account), 409)) == "WALLET_ALREADY_BOUND"
    second = Account.create()
    more = await shop.post("wallets:challenge", asking(ann, second.address))
    assert reason_of(await shop.post("wallets", proof_of(more, second), 409)) == "WALLET_ALREADY_BOUND"

    for _ in range(2):
        answered(await shop.http.delete(f"/api/v1/wallets/{wallet['wallet']}"), 200)
    answered(await shop.http.delete(f"/api/v1/wallets/{uuid4()}"), 404)
    assert (await shop.post("wallets", proof_of(more, second)))["wallet"]["address"] == second.address
    assert (await shop.post("wallets", proof_of(of_bob, account)))["wallet"]["address"] == account.address

    late = await shop.post("wallets:challenge", asking("external:cat", Account.create().address))
    await superuser.execute("UPDATE wallet_challenges SET expires_at = now() - interval '1 second'")
    assert reason_of(await shop.post("wallets", proof_of(late, account), 404)) == "RESOURCE_NOT_FOUND"


async def test_addresses_are_checked_when_they_are_named(shop):
    address = Account.create().address
    mixed = address[:2] + address[2:].swapcase()
    token = next(
        one["token"]
        for one in (await shop.get("rewardToken"))["tokens"]
        if one["chain"] == "REWARD_CHAIN_EVM"
    )
    for wrong in (mixed, "0x" + "0" * 40, token, address[:-1], "0x" + "g" * 40, address + "\nURI: https://x"):
        refused = await shop.post("wallets:challenge", asking("external:ann", wrong), 400)
        assert "address" in json.dumps(refused), wrong
    lower = await shop.post("wallets:challenge", asking("external:ann", address.lower()))
    assert lower["challenge"]
    for field, body in {
        "chain": asking("external:ann", address) | {"chain": "REWARD_CHAIN_UNSPECIFIED"},
        "customer": asking("ann", address),
    }.items():
        assert f'"{field}' in json.dumps(await shop.post("wallets:challenge", body, 400))


async def test_a_tariff_is_set_against_its_etag_and_only_with_the_terms_confirmed(shop, by_grpc):
    before = await shop.get("rewardTariff")
    assert not before["tariff"]["enabled"]
    assert before["termsToConfirm"] == "on-chain-1"
    set_once = await shop.pay(rates=[{"purpose": "data_sharing", "amountMicro": "3000000"}])
    assert set_once["etag"] == "1"

    async def put(status, **changes):
        tariff = {"enabled": True, "termsVersion": "on-chain-1", "etag": "1"} | changes
        return answered(await shop.http.put("/api/v1/rewardTariff", json={"tariff": tariff}), status)

    assert reason_of(await put(409, etag="0")) == "ETAG_MISMATCH"
    assert "terms_version" in json.dumps(await put(400, termsVersion=""))
    assert "etag" in json.dumps(await put(400, etag=""))
    assert "delivery" in json.dumps(await put(400, delivery="POST"))
    rate = {"purpose": "data_sharing", "amountMicro": str(1_000 * MICRO + 1)}
    assert reason_of(await put(400, rates=[rate])) == "REWARD_AMOUNT_INVALID"
    rate = {"purpose": "data_sharing", "amountMicro": "1", "chain": "REWARD_CHAIN_SOLANA"}
    assert "delivery" in json.dumps(await put(400, rates=[rate], delivery="VOUCHER"))
    assert "twice" in json.dumps(await put(400, rates=[rate, rate]))
    now = await shop.get("rewardTariff")
    assert now["tariff"] == set_once
    assert await by_grpc(shop, "GetRewardTariff") == now


async def test_a_reward_is_paid_and_seen_at_both_doors_by_its_tenant_alone(shop, open_shop, by_grpc, sidecar):
    await shop.pay()
    given = await shop.grant(*PAYING)
    customer, event = given["customer"], given["data_sharing"]
    assert (await shop.until(event, reward="HELD"))["lastReason"] == "WALLET_MISSING"
    assert (await shop.get(f"rewardBalances/{customer}"))["heldMicro"] == str(10 * MICRO)
    released = await shop.bind(customer)
    answered(await shop.http.delete(f"/api/v1/wallets/{released['wallet']}"), 200)
    assert (await shop.until(event, reward="HELD"))["lastReason"] == "WALLET_MISSING"
    wallet = await shop.bind(customer)

    done = await shop.until(event, credential="ISSUED", reward="FINAL", pin="PINNED")
    reward = (await shop.get(f"rewards/{done['reward']['id']}"))["reward"]
    assert reward["amountMicro"] == str(10 * MICRO)
    assert reward["recipient"] == wallet["address"]
    assert reward["transaction"] == done["transaction"]
    assert reward["event"] == event
    assert (await by_grpc(shop, "GetReward", reward=reward["reward"]))["reward"] == reward
    assert (await shop.get(f"rewards?customer={customer}"))["rewards"] == [reward]
    assert (await by_grpc(shop, "ListRewards", customer=customer))["rewards"] == [reward]
    [balance] = (await shop.get(f"rewardBalances/{customer}"))["balances"]
    assert balance["balanceMicro"] == str(10 * MICRO)
    assert balance["pendingMicro"] == "0"
    assert not balance["isStale"]
    token = await shop.get("rewardToken")
    assert token["rewardChain"] == "REWARD_CHAIN_EVM"
    supply = {one["chain"]: one["totalSupplyMicro"] for one in token["tokens"]}
    assert supply["REWARD_CHAIN_EVM"] == str(10 * MICRO)
    refused = await shop.post(f"rewards/{reward['reward']}:claim", {}, 400)
    assert reason_of(refused) == "REWARD_NOT_CLAIMABLE"

    other = await open_shop("south")
    for path in (f"rewards/{reward['reward']}", f"rewardBalances/{customer}", f"rewards?customer={customer}"):
        assert reason_of(await other.get(path, 404)) == "RESOURCE_NOT_FOUND"
    assert reason_of(await other.post(f"rewards/{reward['reward']}:claim", {}, 404)) == "RESOURCE_NOT_FOUND"
    answered(await other.http.delete(f"/api/v1/wallets/{wallet['wallet']}"), 404)

    await sidecar.stop()
    [kept] = (await shop.get(f"rewardBalances/{customer}"))["balances"]
    assert kept["isStale"]
    assert kept["balanceMicro"] == str(10 * MICRO)
    assert reason_of(await shop.get("rewardToken", 503)) == "WEB3_UNAVAILABLE"


async def test_a_month_without_budget_holds_a_reward_until_the_next_one_or_a_larger_budget(shop, superuser):
    tariff = await shop.pay(monthlyBudgetMicro=str(15 * MICRO))
    events = []
    for _ in range(3):
        given = await shop.grant(*PAYING)
        await shop.bind(given["customer"])
        events.append(given["data_sharing"])
    first, second, third = events
    await shop.until(first, reward="FINAL")
    assert (await shop.until(second, reward="HELD"))["lastReason"] == "REWARD_BUDGET_EXCEEDED"
    await shop.until(third, reward="HELD")

    # A month goes by: what was reserved is of the month before, and the hourly look finds what is held.
    await superuser.execute("UPDATE reward_budgets SET month = (month - interval '1 month')::date")
    await superuser.execute("UPDATE rewards SET updated_at = now() - interval '2 hours' WHERE state = 'HELD'")
    await shop.world.fulfilment.sweep()
    await shop.until(second, reward="FINAL")
    await shop.until(third, reward="HELD")

    await shop.pay(etag=tariff["etag"], monthlyBudgetMicro=str(100 * MICRO))
    await shop.world.fulfilment.sweep()
    await shop.until(third, reward="FINAL")


async def test_a_voucher_is_claimed_within_seven_days_and_names_its_holder(shop):
    await shop.pay("VOUCHER")
    given = await shop.grant(*PAYING)
    wallet = await shop.bind(given["customer"])
    done = await shop.until(given["data_sharing"], reward="CLAIMABLE", pin="PINNED")
    path = f"rewards/{done['reward']['id']}:claim"

    for ahead in (timedelta(days=8), timedelta(seconds=-60)):
        deadline = (datetime.now(UTC) + ahead).isoformat()
        refused = await shop.post(path, {"deadline": deadline}, 400)
        assert reason_of(refused) == "VOUCHER_DEADLINE_INVALID"
    claim = await shop.post(path)
    typed = json.loads(claim["typedDataJson"])
    assert typed["message"]["to"] == wallet["address"]
    assert int(typed["message"]["amount"]) == 10 * MICRO
    assert len(base64.b64decode(claim["signature"])) == 65
    [balance] = (await shop.get(f"rewardBalances/{given['customer']}"))["balances"]
    assert balance["claimableMicro"] == str(10 * MICRO)


async def test_rewards_of_an_epoch_are_published_by_jobs_and_claimed_with_a_proof(shop):
    await shop.pay("EPOCH")
    all_given = [await shop.grant(*PAYING) for _ in range(3)]
    for given in all_given:
        await shop.bind(given["customer"])
    rewards = [
        (await shop.until(given["data_sharing"], reward="CLAIMABLE"))["reward"]["id"] for given in all_given
    ]
    assert reason_of(await shop.post(f"rewards/{rewards[0]}:claim", {}, 400)) == "REWARD_NOT_CLAIMABLE"

    assert await shop.world.fulfilment.publish_epochs() == 3
    assert await shop.world.fulfilment.publish_epochs() == 0
    claims = [await shop.post(f"rewards/{one}:claim") for one in rewards]
    assert len({claim["epoch"] for claim in claims}) == 1
    assert len({claim["leaf"] for claim in claims}) == 3
    assert all(claim["proof"] for claim in claims)


async def test_a_plan_without_tokens_reads_no_rewards_but_has_its_credentials(open_shop):
    basic = await open_shop("small", "basic")
    for path in (
        "rewardTariff",
        "rewards",
        "rewardToken",
        f"rewards/{'0' * 64}",
        "rewardBalances/external:ann",
    ):
        assert reason_of(await basic.get(path, 403)) == "PLAN_FEATURE_REQUIRED"
    asked = asking("external:ann", Account.create().address)
    assert reason_of(await basic.post("wallets:challenge", asked, 403)) == "PLAN_FEATURE_REQUIRED"
    assert (await basic.get("credentials"))["credentials"] == []
    assert (await basic.get("issuer"))["did"].startswith("did:key:")
