"""Tenants that pay at the stand-in for Stripe of the stack, and a look at what they may do."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default
from functools import cached_property
from typing import Any
from uuid import uuid4

import httpx
import pytest

from cohortlens.cli.client import Client
from tests.fixtures.fake_stripe import FakeStripe
from tests.fixtures.waiting import eventually_blocking

WITHIN_S = 15.0
"""How long a test waits for what has no bound of its own; what has one says so."""


@dataclass
class Tenant:
    """A tenant with its owner at the API, and its customer at the payment provider.

    Attributes:
        http: Calls the API as the owner.
        email: The owner.
        provider: The payment provider.
        stack: The stack.
    """

    http: httpx.Client
    email: str
    provider: FakeStripe
    stack: Any

    def get(self, path: str) -> dict[str, Any]:
        answer = self.http.get(path)
        while answer.status_code == 429:
            # The free plan reads five times a second; a test that waits asks more often.
            time.sleep(int(answer.headers["retry-after"]))
            answer = self.http.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        answer = self.http.post(path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    @property
    def entitlement(self) -> dict[str, Any]:
        return self.get("/entitlement")["entitlement"]

    @property
    def subscription(self) -> dict[str, Any]:
        return self.get("/subscription")["subscription"]

    def subscribe(self, plan: str, card: str) -> None:
        """Pay for a plan on the hosted page, and wait until it holds."""
        page = self.post("/subscription:checkout", plan=plan)["url"]
        answer = self.provider.pay(page, card)
        assert answer.status_code == 303, answer.text
        assert self.customer
        self.until(plan=plan, access="FULL")

    def until(
        self, *, within_s: float = WITHIN_S, access: str = "", plan: str = "", status: str = ""
    ) -> None:
        """Wait until plan, access and status of the subscription are as said."""

        def is_so() -> bool:
            now, paid = self.entitlement, self.subscription
            return (
                (now["access"] == f"PLAN_ACCESS_{access}" if access else True)
                and now["plan"] == (plan or now["plan"])
                and paid["status"].endswith(f"_{status}" if status else "")
            )

        try:
            eventually_blocking(is_so, within_s)
        except AssertionError:
            wanted = f"{plan} {access} {status}"
            raise AssertionError(f"not {wanted}: {self.entitlement} {self.subscription}") from None

    @cached_property
    def customer(self) -> str:
        """The customer at the provider; lists leave out whoever has a time of their own, so it is kept."""
        found = self.provider.v1.customers.list(params={"email": self.email}).data
        assert len(found) == 1
        return found[0].id

    @property
    def paid_for(self) -> Any:
        """The newest subscription at the provider."""
        return self.provider.v1.subscriptions.list(params={"customer": self.customer, "status": "all"}).data[
            0
        ]

    def pass_to(self, moment: str | int, more_s: int = 3700) -> None:
        """Let the provider's time for this customer pass to a moment and an hour."""
        if isinstance(moment, str):
            moment = int(datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp())
        self.provider.knob("clock", customer=self.customer, to=moment + more_s)

    def use_card(self, method: str) -> None:
        """Let another card pay from now on."""
        attached = self.provider.v1.payment_methods.attach(method, params={"customer": self.customer})
        settings = {"default_payment_method": attached.id}
        self.provider.v1.customers.update(self.customer, params={"invoice_settings": settings})
        self.provider.v1.subscriptions.update(
            self.paid_for.id, params={"default_payment_method": attached.id}
        )

    def may_write(self) -> str:
        """``yes``, or the reason why a call that runs a model is refused."""
        answer = self.http.post("/predict", json={"task": "PREDICTION_TASK_SPEND", "customers": []})
        details = answer.json().get("details", [{}])
        reason = details[0].get("reason", "")
        return reason if reason in {"SUBSCRIPTION_INACTIVE", "TENANT_SUSPENDED"} else "yes"

    def mails(self, words: str) -> list[str]:
        """Subjects of the mails to the owner that hold some words, oldest first."""
        found = []
        for file in sorted((self.stack.data_dir / "mail").glob("*.eml")):
            mail = message_from_bytes(file.read_bytes(), policy=default)
            if mail["To"] == self.email and words.lower() in mail["Subject"].lower():
                found.append(mail["Subject"])
        return found


@pytest.fixture(scope="session")
def provider(stack):
    """The stand-in for Stripe that the stack runs, with its knobs."""
    key = json.loads((stack.data_dir / "secrets.json").read_text())["stripe_key"]
    return FakeStripe(f"http://127.0.0.1:{stack.environ['COHORTLENS_STRIPE_PORT']}", key)


@pytest.fixture
def tenant(stack, provider):
    """A tenant of its own on the free plan."""
    email = f"owner-{uuid4().hex[:12]}@shop.example"
    with stack.new_tenant(email, "basic") as client:
        yield from as_tenant(stack, provider, client, email)


def as_tenant(stack: Any, provider: FakeStripe, client: Client, email: str):
    """A tenant whose owner is logged in."""
    headers = {"Authorization": f"Bearer {client.access_token()}"}
    with httpx.Client(base_url=f"{stack.http}/api/v1", headers=headers, timeout=30) as http:
        yield Tenant(http, email, provider, stack)
