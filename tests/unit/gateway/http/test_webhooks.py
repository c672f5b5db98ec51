"""The endpoint of the payment provider: what is hostile stores nothing, and says as little."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from cohortlens.adapters.stripe_webhooks import StripeWebhooks
from cohortlens.billing.payments import receiving as receiving_module
from cohortlens.billing.payments.receiving import Receiving
from cohortlens.core.errors import Unavailable
from gateway.http.app import HttpDoors
from gateway.http.routes import RouteTable
from gateway.http.transcoding import HttpDoor
from gateway.http.webhooks import AT_ONCE, MAX_BYTES, PATH, READING, WebhookDoor, webhook_door
from tests.fixtures.hostile_webhooks import (
    ELSEWHERE,
    FOREIGN,
    GOOD,
    HOSTILE,
    NO_EVENTS,
    OLD_SECRET,
    SECRET,
    event,
    hostile,
    signed,
)


class Inbox:
    """Stands where PostgreSQL is."""

    def __init__(self, monkeypatch) -> None:
        self.rows: dict[str, tuple] = {}
        self.is_down = False
        self.gate = None
        inbox = self

        class Rows:
            def __init__(self, tx) -> None:
                pass

            async def store(self, one, *, ignored=False):
                if inbox.gate is not None:
                    await inbox.gate.wait()
                is_new = one.id not in inbox.rows
                inbox.rows.setdefault(one.id, (one, ignored))
                return is_new

        monkeypatch.setattr(receiving_module, "InboxRows", Rows)

    def transaction(self):
        return self

    async def __aenter__(self):
        if self.is_down:
            raise Unavailable("the database cannot be reached", reason="DATABASE_UNAVAILABLE")

    async def __aexit__(self, *_):
        return None


@pytest.fixture
def inbox(monkeypatch):
    return Inbox(monkeypatch)


@pytest.fixture
def door(inbox):
    verifier = StripeWebhooks([SECRET, OLD_SECRET, "", " "], livemode=False, account="acct_1")
    return WebhookDoor(Receiving(inbox, verifier))


async def post(door, body: bytes, signature: str | None = None, verb="POST", pieces=1, headers=()):
    """Status and body of the answer."""
    sent, size = [], max(1, -(-len(body) // pieces))
    parts = [body[at : at + size] for at in range(0, len(body), size)] or [b""]

    async def receive():
        part = parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    async def send(message):
        sent.append(message)

    given = [(b"stripe-signature", signature.encode())] if signature is not None else []
    scope = {
        "type": "http",
        "method": verb,
        "path": PATH,
        "raw_path": PATH.encode(),
        "query_string": b"",
        "headers": [*given, *headers],
        "client": ("192.0.2.1", 1),
        "http_version": "1.1",
    }
    await door(scope, receive, send)
    answered = b"".join(one.get("body", b"") for one in sent[1:])
    reason = json.loads(answered)["details"][0]["reason"] if sent[0]["status"] >= 400 else ""
    return sent[0]["status"], reason


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_request_stores_nothing(door, inbox, name):
    status, reason = await post(door, *hostile()[name])
    assert (status, inbox.rows) == (400, {})
    if name in ELSEWHERE:
        assert reason == "WEBHOOK_ENVIRONMENT_MISMATCH"
    else:
        assert reason == ("FIELD_INVALID" if name in NO_EVENTS else "WEBHOOK_SIGNATURE_INVALID")


@pytest.mark.parametrize("secret", [SECRET, OLD_SECRET])
@pytest.mark.parametrize("off_s", [-290, 0, 290])
async def test_a_genuine_event_is_stored_with_either_secret_and_within_300_s(door, inbox, secret, off_s):
    assert await post(door, GOOD, signed(GOOD, secret, time.time() + off_s), pieces=7) == (200, "")
    stored, ignored = inbox.rows["evt_1"]
    assert (stored.type, stored.customer_id, stored.object_id, ignored) == (
        "invoice.paid",
        "cus_1",
        "in_1",
        False,
    )


async def test_a_duplicate_is_answered_like_the_first_and_stored_once(door, inbox):
    answers = [await post(door, GOOD, signed(GOOD)) for _ in range(3)]
    assert answers == [(200, "")] * 3
    assert len(inbox.rows) == 1


async def test_an_unknown_type_and_a_thin_event_are_answered_200_and_ignored(door, inbox):
    unknown = event(id="evt_u", type="issuing_card.created")
    thin = event(id="evt_t", object="v2.core.event", type="v1.billing.meter.error_report_triggered", data=None,
                 created="2026-11-23T10:00:00.000Z", api_version=None, related_object={"id": "mtr_1"})  # fmt: skip
    for body in (unknown, thin):
        assert await post(door, body, signed(body)) == (200, "")
    assert {name: ignored for name, (_, ignored) in inbox.rows.items()} == {"evt_u": True, "evt_t": True}


async def test_an_event_of_an_older_version_is_taken_for_its_identifiers(door, inbox):
    body = event(
        api_version="2024-06-20",
        type="customer.subscription.updated",
        data={
            "object": {"id": "sub_1", "object": "subscription", "customer": "cus_1", "current_period_end": 1}
        },
    )
    assert await post(door, body, signed(body)) == (200, "")
    assert inbox.rows["evt_1"][0].object_id == "sub_1"


async def test_the_account_of_the_configuration_may_be_named(door, inbox):
    body = event(account="acct_1")
    assert await post(door, body, signed(body)) == (200, "")


async def test_a_body_over_1_mib_is_refused_by_its_length_and_by_its_bytes(door, inbox):
    large = event(padding="x" * MAX_BYTES)
    declared = ((b"content-length", str(len(large)).encode()),)
    for headers in ((), declared):
        assert await post(door, large, signed(large), pieces=9, headers=headers) == (413, "BODY_TOO_LARGE")
    assert inbox.rows == {}


async def test_without_postgresql_the_provider_is_told_to_come_back(door, inbox):
    inbox.is_down = True
    assert await post(door, GOOD, signed(GOOD)) == (503, "INBOX_UNAVAILABLE")


async def test_the_seventeenth_request_at_once_is_told_to_come_back_and_later_ones_are_taken(door, inbox):
    inbox.gate = asyncio.Event()
    bodies = [event(id=f"evt_{number}") for number in range(AT_ONCE)]
    waiting = [asyncio.create_task(post(door, body, signed(body))) for body in bodies]
    await asyncio.sleep(0.05)
    assert await post(door, GOOD, signed(GOOD)) == (503, "OVERLOADED")
    inbox.gate.set()
    assert await asyncio.gather(*waiting) == [(200, "")] * AT_ONCE
    assert await post(door, GOOD, signed(GOOD)) == (200, "")
    assert len(inbox.rows) == AT_ONCE  # evt_1 was among them


class Dripping:
    """A client that sends the head and then nothing more, as one does that means harm."""

    def __init__(self, door, address="198.51.100.7"):
        self.sent, self._gone = [], asyncio.Event()
        scope = {
            "type": "http", "method": "POST", "path": PATH, "raw_path": PATH.encode(), "query_string": b"",
            "headers": [(b"stripe-signature", signed(GOOD).encode())], "client": (address, 1),
            "http_version": "1.1",
        }  # fmt: skip
        self.task = asyncio.create_task(door(scope, self._receive, self._send))

    async def _receive(self):
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message):
        self.sent.append(message)

    async def leave(self):
        self._gone.set()
        await self.task


@pytest.mark.parametrize("addresses", [1, 500])
async def test_clients_that_never_send_their_body_keep_no_genuine_event_out(door, inbox, addresses):
    """Nobody must be known to open the connection, so slow bodies must not use up what genuine events need."""
    slow = [Dripping(door, f"198.51.{n % addresses // 250}.{n % 250}") for n in range(500)]
    await asyncio.sleep(0.05)
    assert await post(door, GOOD, signed(GOOD), pieces=3) == (200, "")
    told = [one.sent[0]["status"] for one in slow if one.sent]
    assert set(told) == {503}
    assert len(slow) - len(told) <= READING
    for one in slow:
        await one.leave()
    assert await post(door, GOOD, signed(GOOD)) == (200, "")


@pytest.mark.parametrize("verb", ["GET", "PUT", "DELETE", "PATCH"])
async def test_other_verbs_are_refused(door, inbox, verb):
    assert await post(door, GOOD, signed(GOOD), verb=verb) == (405, "METHOD_NOT_ALLOWED")
    assert inbox.rows == {}


async def test_without_a_secret_the_path_is_as_unknown_as_any_other():
    assert webhook_door(None) is None
    reached = []

    async def ours(scope, receive, send):
        reached.append(scope["path"])

    doors = HttpDoors(ours, None, None, None, None, None)
    await doors({"path": PATH}, None, None)
    assert reached == [PATH]
    absent = await post(HttpDoor(None, RouteTable(), {}), GOOD, signed(GOOD))
    assert absent == (404, "ROUTE_NOT_FOUND")


async def test_no_log_holds_a_secret_or_a_signature(door, inbox, capsys, caplog):
    caplog.set_level("DEBUG")
    for body, signature in ((GOOD, signed(GOOD)), (GOOD, signed(GOOD, FOREIGN)), (event(livemode=True), "")):
        await post(door, body, signature)
    written = caplog.text + "".join(capsys.readouterr())
    assert SECRET not in written
    assert FOREIGN not in written
    assert signed(GOOD).partition("v1=")[2][:16] not in written
