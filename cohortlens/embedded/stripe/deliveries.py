"""Webhooks: signed, sent one after the other, sent again with back-off until somebody answers 2xx."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import http.client
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import orjson

from cohortlens.core.telemetry import get_logger
from cohortlens.embedded.stripe import events
from cohortlens.embedded.stripe.blanks import Object
from cohortlens.embedded.stripe.provider import Provider, new_id
from cohortlens.embedded.stripe.rules import WEBHOOK_EFFECTS, Rule, Rules
from cohortlens.embedded.stripe.store import Store

RETRY = {"first": 1.0, "longest": 3600.0, "give_up": 3 * 86_400.0}
"""Seconds until the second try, doubling up to the longest; after how many seconds to give up. A knob."""

_TIMEOUT_S = 10.0
_LOOK_EVERY_S = 0.5
_OLD_VERSION = "2024-06-20"
_LOG = get_logger(__name__)


class Deliveries:
    """Sends events to their endpoints.

    Args:
        provider: The provider whose events are sent.
        clock: Seconds since 1970; for tests.
    """

    def __init__(self, provider: Provider, clock: Callable[[], float] = time.time) -> None:
        self._provider = provider
        self._store: Store = provider.store
        self._clock = clock
        self._wake = asyncio.Event()
        self.rules = Rules(provider.store, "webhook_rules", WEBHOOK_EFFECTS)
        provider.on_event = self.enqueue

    def enqueue(self, event: Object) -> None:
        """Plan the deliveries of an event, as its rule says; inside the transaction that made it."""
        endpoints = events.endpoints_for(self._provider, event)
        if not endpoints:
            return
        rule = self.rules.take(event["type"]) or {}
        if rule.get("drop"):
            return
        event["pending_webhooks"] = len(endpoints)
        self._store.put(event)
        body = orjson.dumps(_altered(event, rule), option=orjson.OPT_INDENT_2)
        for endpoint in endpoints:
            for _ in range(1 + rule.get("duplicate", 0)):
                self.add(event["id"], endpoint, body, rule)
        self._wake.set()

    def add(self, event: str, endpoint: Object, body: bytes, rule: Rule) -> None:
        """Plan one delivery."""
        signing = {name: rule[name] for name in ("wrong_secret", "time_offset", "tampered") if name in rule}
        self._store.db.execute(
            "INSERT INTO deliveries (event, endpoint, body, signing, due_at, state)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (
                event,
                endpoint["id"],
                body,
                orjson.dumps(signing).decode(),
                self._clock() + rule.get("delay", 0),
                "held" if rule.get("hold") else "pending",
            ),
        )
        self._wake.set()

    def again(self, event: Object, rule: Rule) -> None:
        """Send an event once more."""
        body = orjson.dumps(_altered(event, rule), option=orjson.OPT_INDENT_2)
        for endpoint in events.endpoints_for(self._provider, event):
            self.add(event["id"], endpoint, body, rule)

    def thin(self, kind: str, related: str) -> str:
        """Send an event of the second API, which holds no object; answers its identifier."""
        identifier = new_id("event").replace("evt_", "evt_test_")
        event = {
            "id": identifier,
            "object": "v2.core.event",
            "type": kind,
            "livemode": False,
            "created": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(self._clock())),
            "related_object": {
                "id": related,
                "type": "billing.meter",
                "url": f"/v1/billing/meters/{related}",
            },
        }
        for endpoint in self._provider.store.newest("webhook_endpoint"):
            self.add(identifier, endpoint, orjson.dumps(event, option=orjson.OPT_INDENT_2), {})
        return identifier

    def release(self, order: list[str] | None = None) -> int:
        """Send what is held: in the order of the given events, else the newest first.

        Returns:
            How many deliveries.
        """
        rows = self._store.db.execute(
            "SELECT id, event FROM deliveries WHERE state = 'held' ORDER BY id DESC"
        ).fetchall()
        if order is not None:
            rows = sorted(
                (row for row in rows if row[1] in order), key=lambda row: (order.index(row[1]), row[0])
            )
        for place, (identifier, _) in enumerate(rows):
            # The order of sending is the order of these times.
            self._store.db.execute(
                "UPDATE deliveries SET state = 'pending', due_at = ? WHERE id = ?",
                (self._clock() - 1 + place / 1e5, identifier),
            )
        self._wake.set()
        return len(rows)

    def hurry(self) -> None:
        """Let every retry come now."""
        self._store.db.execute("UPDATE deliveries SET due_at = ? WHERE state = 'pending'", (self._clock(),))
        self._wake.set()

    def counts(self) -> dict[str, int]:
        """Deliveries by state."""
        rows = self._store.db.execute("SELECT state, COUNT(*) FROM deliveries GROUP BY state").fetchall()
        return {"pending": 0, "held": 0, "delivered": 0, "failed": 0} | dict(rows)

    async def run(self) -> None:
        """Send what is due until cancelled."""
        while True:
            while await self._send_next():
                pass
            self._wake.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), _LOOK_EVERY_S)

    async def _send_next(self) -> bool:
        row = self._store.db.execute(
            "SELECT id, event, endpoint, body, signing, tries FROM deliveries"
            " WHERE state = 'pending' AND due_at <= ? ORDER BY due_at, id LIMIT 1",
            (self._clock(),),
        ).fetchone()
        if row is None:
            return False
        identifier, event, endpoint, body, signing, tries = row
        # Its address may have changed since.
        taker, secret = (
            self._store.get("webhook_endpoint", endpoint),
            self._store.hidden(endpoint).get("secret"),
        )
        if taker is None or secret is None:
            self._settle(identifier, "failed", "the endpoint is gone", tries)
            return True
        header, sent = signed(body, secret, orjson.loads(signing), self._clock())
        status, answer = await asyncio.to_thread(_post, taker["url"], sent, header)
        is_done = 200 <= status < 300
        _LOG.info("webhook_sent", event_id=event, status=status, tries=tries + 1)
        if is_done:
            self._settle(identifier, "delivered", answer, tries + 1)
        else:
            self._try_later(identifier, answer, tries + 1)
        return True

    def _settle(self, identifier: int, state: str, answer: str, tries: int) -> None:
        self._store.db.execute(
            "UPDATE deliveries SET state = ?, answer = ?, tries = ? WHERE id = ?",
            (state, answer, tries, identifier),
        )

    def _try_later(self, identifier: int, answer: str, tries: int) -> None:
        knob = RETRY | (self._store.note("retry") or {})
        wait = min(knob["first"] * 2 ** (tries - 1), knob["longest"])
        if knob["first"] * 2**tries > knob["give_up"]:
            self._settle(identifier, "failed", answer, tries)
            return
        self._store.db.execute(
            "UPDATE deliveries SET due_at = ?, answer = ?, tries = ? WHERE id = ?",
            (self._clock() + wait, answer, tries, identifier),
        )


def signed(body: bytes, secret: str, signing: dict[str, Any], now: float) -> tuple[str, bytes]:
    """The signature's header of a body, and the body that is sent."""
    at = int(now) + signing.get("time_offset", 0)
    key = "whsec_of_somebody_else" if signing.get("wrong_secret") else secret
    mac = hmac.new(key.encode(), b"%d." % at + body, hashlib.sha256).hexdigest()
    sent = body.replace(b"{", b"{ ", 1) if signing.get("tampered") else body
    return f"t={at},v1={mac}", sent


def _post(url: str, body: bytes, signature: str) -> tuple[int, str]:
    parts = urlsplit(url)
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": "Stripe/1.0 (local stand-in)",
        "Stripe-Signature": signature,
    }
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port or 80, timeout=_TIMEOUT_S)
    try:
        connection.request("POST", parts.path or "/", body, headers)
        answer = connection.getresponse()
        return answer.status, f"{answer.status} {answer.read(500).decode(errors='replace')}"
    except (OSError, http.client.HTTPException) as error:
        return 0, type(error).__name__
    finally:
        connection.close()


def _altered(event: Object, rule: Rule) -> Object:
    """An event as a rule wants it sent."""
    sent = dict(event)
    for name in ("livemode", "account", "api_version"):
        if name in rule:
            sent[name] = rule[name]
    if not rule.get("old_shape"):
        return sent
    thing = dict(sent["data"]["object"])
    if thing["object"] == "subscription":
        item = thing["items"]["data"][0]
        thing |= {name: item[name] for name in ("current_period_start", "current_period_end")}
    elif thing["object"] == "invoice":
        thing["subscription"] = thing["parent"]["subscription_details"]["subscription"]
    return {**sent, "api_version": _OLD_VERSION, "data": {**sent["data"], "object": thing}}
