"""``cohortlens demo consent`` on the layer's stack: what a person sees of a consent from its grant to its end."""

from __future__ import annotations

import re

from cohortlens.cli.consent import story
from cohortlens.v1 import rewards_pb2


def test_the_demonstration_shows_credential_tokens_on_two_chains_cid_and_the_refusal(stack, demo):
    done = stack.json("demo", "consent", timeout=300)
    assert done["ok"], done
    told = done["data"]

    assert told["verified_before"] is True
    assert told["credential"]["type"] == ["VerifiableCredential", "ConsentCredential"]
    assert told["customer"] not in str(told["credential"])
    paid = {chain: float(balance) for chain, balance in told["balances"].items()}
    assert paid == {"evm": 2.0, "solana": 10.0}
    assert re.fullmatch(r"baf[a-z2-7]{56}", told["cid"])
    assert told["pin_verified"] is True
    assert all(one["transaction"] for one in told["fulfilments"].values())
    assert (told["verified_after"], told["refusals"]) == (False, ["VC_REVOKED"])
    asked = rewards_pb2.GetRewardBalanceRequest(customer=told["customer"])
    on_chains = demo.call(demo.rewards.GetRewardBalance, asked).balances
    assert sorted(one.balance_micro for one in on_chains) == [2_000_000, 10_000_000]
    assert story(told).rstrip().endswith("to stop it: cohortlens down")
