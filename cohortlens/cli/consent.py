"""``cohortlens demo consent``: a consent, its credential, its rewards on two chains, its CID, and its end."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar
from uuid import uuid4

import click
from google.api import httpbody_pb2

from cohortlens.cli import local
from cohortlens.cli.client import Client
from cohortlens.cli.firstrun import seed_and_probe
from cohortlens.cli.output import Fault, Output, table
from cohortlens.cli.seed_consents import demo_controller
from cohortlens.cli.session import Session, calls_api
from cohortlens.embedded import stack
from cohortlens.v1 import (
    consent_acts_pb2,
    consent_notices_pb2,
    consent_purposes_pb2,
    credentials_pb2,
    rewards_pb2,
)

FoundT = TypeVar("FoundT")

WAIT_S: Final = 90.0
_POLL_S = 0.3
_TERMS = "on-chain-1"
_PURPOSES = ("rewards", "profiling", "data_sharing")
_CHAIN_OF = {"profiling": rewards_pb2.REWARD_CHAIN_EVM, "data_sharing": rewards_pb2.REWARD_CHAIN_SOLANA}
_RATES = {"profiling": 2_000_000, "data_sharing": 10_000_000, "marketing": 1_000_000}
_MICRO = 1_000_000
_NAMES = {rewards_pb2.REWARD_CHAIN_EVM: "evm", rewards_pb2.REWARD_CHAIN_SOLANA: "solana"}


class DemoWallet:
    """The wallet of a customer, a process of its own: this one never holds its keys."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "sidecars.web3.devchain.wallet"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addresses: dict[str, str] = self._read()

    def sign(self, chain: str, message: str) -> bytes:
        """Sign a text."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"chain": chain, "message": message}) + "\n")
        self._process.stdin.flush()
        return bytes.fromhex(self._read()["signature"])

    def close(self) -> None:
        """End the process, and the keys with it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=10.0)
        self._process.stdout.close()

    def _read(self) -> dict[str, str]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise Fault("WALLET_UNAVAILABLE", "the wallet of the demonstration did not start", "make setup")
        found: dict[str, str] = json.loads(line)
        return found


def running_stack(out: Output) -> None:
    """Start the stack of this machine with the demo tenant, where none runs.

    Raises:
        Fault: This is an installation for production, which has no demo tenant; or a step failed.
        StackFailed: Something does not start.
    """
    config = local.config()
    if stack.status(config).services:
        return
    if config.environment == "production":
        told = "nothing runs here, and an installation for production has no demo tenant"
        raise Fault("DEMO_UNAVAILABLE", told, "cohortlens up, then name an account: --email, --password-file")
    out.note("nothing runs here: starting the stack")
    stack.detach(config, lambda event: out.note(f"{event.state:<9} {event.service}"))
    seed_and_probe(out)


@click.command("consent")
@calls_api("demo consent", before=running_stack)
def demo_consent(session: Session) -> None:
    """Give a consent and see what follows: credential, tokens on two chains, CID; then withdraw it.

    Starts the stack where none runs; it runs on afterwards.
    """
    tour = ConsentTour(session)
    wallet = DemoWallet()
    try:
        session.out.result(*tour.run(wallet))
    finally:
        wallet.close()


class ConsentTour:
    """The steps of the demonstration.

    Args:
        session: Who calls, and where results go.
    """

    def __init__(self, session: Session) -> None:
        self._client: Client = session.client
        self._customer = f"external:demo-{uuid4().hex[:10]}"

    def run(self, wallet: DemoWallet) -> tuple[dict[str, Any], str]:
        """All of it; the result as data and as text."""
        self._switch_tokens_on()
        notice = self._notice()
        given = self._grant(notice)
        wallets = self._bind(wallet)
        events = {one.purpose: one.consent_event for one in given if one.purpose in _CHAIN_OF}
        done = {purpose: self._until_paid(event) for purpose, event in events.items()}
        credential = self._credential(events["data_sharing"])
        before = self._verify(credential)
        balances = self._balances()
        pin = self._client.call(
            self._client.consent.VerifyReceiptPin,
            credentials_pb2.VerifyReceiptPinRequest(cid=done["data_sharing"].pin.id),
        )
        self._withdraw()
        started = time.monotonic()
        after = self._until_revoked(credential)
        seconds = round(time.monotonic() - started, 1)
        data = {
            "customer": self._customer,
            "credential": json.loads(credential),
            "verified_before": before.verified,
            "balances": balances,
            "wallets": wallets,
            "cid": done["data_sharing"].pin.id,
            "pin_verified": pin.verified,
            "fulfilments": {purpose: _steps(one) for purpose, one in done.items()},
            "verified_after": after.verified,
            "refusals": [one.reason for one in after.refusals],
            "refused_after_s": seconds,
        }
        return data, story(data)

    def _switch_tokens_on(self) -> None:
        now = self._client.call(self._client.rewards.GetRewardTariff, rewards_pb2.GetRewardTariffRequest())
        tariff = rewards_pb2.RewardTariff(
            enabled=True,
            terms_version=_TERMS,
            delivery="MINT",
            monthly_budget_micro=now.tariff.monthly_budget_micro or 100_000 * _MICRO,
            etag=now.tariff.etag,
        )
        for purpose, amount in _RATES.items():
            chain = _CHAIN_OF.get(purpose, rewards_pb2.REWARD_CHAIN_UNSPECIFIED)
            tariff.rates.add(purpose=purpose, amount_micro=amount, chain=chain)
        self._client.call(
            self._client.rewards.SetRewardTariff, rewards_pb2.SetRewardTariffRequest(tariff=tariff)
        )

    def _notice(self) -> str:
        listed = self._client.call(
            self._client.consent.ListPurposes, consent_purposes_pb2.ListPurposesRequest()
        )
        versions = {one.purpose: one.version for one in listed.purposes}
        request = consent_notices_pb2.PublishNoticeRequest(
            name="demo",
            locale="en",
            content="We group customers by how they buy, share figures about groups, and pay tokens for it.",
            controller=demo_controller(),
        )
        for purpose in _PURPOSES:
            request.purposes.add(purpose=purpose, version=versions[purpose])
        return str(self._client.call(self._client.consent.PublishNotice, request).notice.notice)

    def _grant(self, notice: str) -> list[consent_acts_pb2.CustomerConsent]:
        request = consent_acts_pb2.GrantConsentRequest(
            customer=self._customer, notice=notice, method=consent_acts_pb2.COLLECTION_METHOD_FORM
        )
        for purpose in _PURPOSES:
            request.purposes.add(purpose=purpose)
        return list(self._client.call(self._client.consent.GrantConsent, request).consents)

    def _bind(self, wallet: DemoWallet) -> dict[str, str]:
        for number, chain in _NAMES.items():
            challenge = self._client.call(
                self._client.rewards.CreateWalletChallenge,
                rewards_pb2.CreateWalletChallengeRequest(
                    customer=self._customer, chain=number, address=wallet.addresses[chain]
                ),
            )
            signature = wallet.sign(chain, challenge.message)
            self._client.call(
                self._client.rewards.BindWallet,
                rewards_pb2.BindWalletRequest(challenge=challenge.challenge, signature=signature),
            )
        return dict(wallet.addresses)

    def _until_paid(self, event: str) -> credentials_pb2.GetFulfilmentResponse:
        request = credentials_pb2.GetFulfilmentRequest(event=event)

        def look() -> credentials_pb2.GetFulfilmentResponse | None:
            try:
                found: credentials_pb2.GetFulfilmentResponse = self._client.call(
                    self._client.consent.GetFulfilment, request
                )
            except Exception as error:
                if getattr(error, "code", "") != "NOT_FOUND":
                    raise
                return None
            done = found.reward.state == "FINAL" and found.pin.state == "PINNED"
            return found if done else None

        return _waited(look, "the reward is not final and its receipt is not pinned")

    def _credential(self, event: str) -> bytes:
        found = self._client.call(
            self._client.consent.DownloadCredential,
            credentials_pb2.DownloadCredentialRequest(credential=event),
        )
        return bytes(found.data)

    def _verify(self, credential: bytes) -> credentials_pb2.VerifyCredentialResponse:
        body = httpbody_pb2.HttpBody(content_type="application/vc", data=credential)
        request = credentials_pb2.VerifyCredentialRequest(credential=body)
        found: credentials_pb2.VerifyCredentialResponse = self._client.call(
            self._client.consent.VerifyCredential, request
        )
        return found

    def _balances(self) -> dict[str, str]:
        found = self._client.call(
            self._client.rewards.GetRewardBalance,
            rewards_pb2.GetRewardBalanceRequest(customer=self._customer),
        )
        return {_NAMES[one.wallet.chain]: f"{one.balance_micro / _MICRO:.6f}" for one in found.balances}

    def _withdraw(self) -> None:
        self._client.call(
            self._client.consent.WithdrawConsent,
            consent_acts_pb2.WithdrawConsentRequest(customer=self._customer),
        )

    def _until_revoked(self, credential: bytes) -> credentials_pb2.VerifyCredentialResponse:
        def look() -> credentials_pb2.VerifyCredentialResponse | None:
            found = self._verify(credential)
            return None if found.verified else found

        return _waited(look, "the credential of the withdrawn consent still verifies")


def _waited(look: Callable[[], FoundT | None], otherwise: str) -> FoundT:
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        found = look()
        if found is not None:
            return found
        time.sleep(_POLL_S)
    raise Fault("WAITED_TOO_LONG", otherwise, "cohortlens web3 status, then cohortlens outbox list")


def _steps(one: credentials_pb2.GetFulfilmentResponse) -> dict[str, str]:
    return {
        "credential": one.credential.state,
        "reward": one.reward.state,
        "pin": one.pin.state,
        "transaction": one.transaction,
    }


def story(data: dict[str, Any]) -> str:
    """What the demonstration shows a person, of its result as data."""
    credential = data["credential"]
    rows = [
        [chain, data["wallets"][chain], f"{balance} CLR"]
        for chain, balance in sorted(data["balances"].items())
    ]
    return "\n".join(
        [
            f"customer     {data['customer']}",
            f"credential   {credential['id']}",
            f"  issuer     {credential['issuer']}",
            f"  claims     {json.dumps(credential['credentialSubject'])}",
            f"  verified   {'yes' if data['verified_before'] else 'no'}",
            "",
            table(rows, ["chain", "wallet", "balance"]),
            "",
            f"receipt CID  {data['cid']} (verified: {'yes' if data['pin_verified'] else 'no'})",
            "",
            "consent withdrawn",
            f"  verified   {'yes' if data['verified_after'] else 'no'}: {', '.join(data['refusals'])}"
            f" (after {data['refused_after_s']} s)",
            "",
            "the stack runs on; to stop it: cohortlens down",
        ]
    )
