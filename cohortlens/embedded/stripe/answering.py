"""One request to the API: key, idempotency, faults on purpose, the deed in a transaction, the envelope."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from cohortlens.core.telemetry import get_logger
from cohortlens.embedded.stripe import forms, listing
from cohortlens.embedded.stripe.api import INCLUDED, ROUTES
from cohortlens.embedded.stripe.faults import Refusal
from cohortlens.embedded.stripe.provider import API_VERSION, Origin, Provider, random_text
from cohortlens.embedded.stripe.routing import Call
from cohortlens.embedded.stripe.rules import REQUEST_EFFECTS, Rule, Rules

IDEMPOTENCY_LIFE_S = 86_400.0
_LONGEST_KEY = 255
_STORED = frozenset({200, 402, 500})
_LOG = get_logger(__name__)


class ConnectionCut(Exception):
    """The connection ends without an answer, on purpose."""


@dataclass(frozen=True)
class Request:
    """A request as it came.

    Attributes:
        method: HTTP method.
        path: Path without query.
        query: Text after the question mark.
        headers: By lower-case name.
        body: Its bytes.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """What goes back.

    Attributes:
        status: HTTP status.
        body: JSON.
        headers: Further headers.
    """

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


class Api:
    """Answers requests under ``/v1``.

    Args:
        provider: The provider.
        key: The secret key that opens it.
    """

    def __init__(self, provider: Provider, key: str) -> None:
        self._provider = provider
        self._key = key
        self.rules = Rules(provider.store, "request_rules", REQUEST_EFFECTS)

    async def answer(self, request: Request) -> Answer:
        """Answer a request.

        Raises:
            ConnectionCut: A rule wants it.
        """
        request_id = f"req_{random_text(14)}"
        rule: Rule = {}
        try:
            self.check_key(request)
            rule = self.rules.take(request.path, request.method) or {}
            made = await self._ruled(request, request_id, rule)
        except Refusal as refusal:
            made = _refused(refusal, request_id)
        version = request.headers.get("stripe-version") or API_VERSION
        return Answer(
            made.status, made.body, {**made.headers, "request-id": request_id, "stripe-version": version}
        )

    def check_key(self, request: Request) -> None:
        """Refuse whoever has another key.

        Raises:
            Refusal: 401.
        """
        given = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
        if not hmac.compare_digest(given.encode(), self._key.encode()):
            shown = f"{given[:8]}****" if given else ""
            raise Refusal(f"Invalid API Key provided: {shown}", status=401)

    async def _ruled(self, request: Request, request_id: str, rule: Rule) -> Answer:
        """Answer as a rule says: late, with an error before or after the deed, or not at all."""
        if rule.get("wait"):
            await asyncio.sleep(rule["wait"])
        if rule.get("cut") and not rule.get("after"):
            raise ConnectionCut
        if "status" in rule and not rule.get("after"):
            return self._failed(request, request_id, rule["status"])
        made = self.keyed(request, request_id)
        if rule.get("cut"):
            raise ConnectionCut
        if "status" in rule:
            made = _refused(_fault_of(rule["status"]), request_id)
            self._remember(request, made)
        return made

    def keyed(self, request: Request, request_id: str) -> Answer:
        """Answer a request; one whose idempotency key is known gets the answer of the first."""
        key = request.headers.get("idempotency-key", "")
        if request.method != "POST" or not key:
            return self._done(request, request_id)
        if len(key) > _LONGEST_KEY:
            raise Refusal("Idempotency keys have 255 characters at most.", kind="idempotency_error")
        known = self._known(request, key)
        return known or self._done(request, request_id)

    def _failed(self, request: Request, request_id: str, status: int) -> Answer:
        """An error before the deed; a 500 is kept for its key, as Stripe does."""
        key = request.headers.get("idempotency-key", "")
        if key and request.method == "POST" and (known := self._known(request, key)) is not None:
            return known
        made = _refused(_fault_of(status), request_id)
        self._remember(request, made)
        return made

    def _done(self, request: Request, request_id: str) -> Answer:
        store = self._provider.store
        self._provider.origin = Origin(request_id, request.headers.get("idempotency-key"))
        try:
            with store.transaction():
                try:
                    made = self._run(request)
                except Refusal as refusal:
                    if not refusal.keeps:
                        raise
                    made = _refused(refusal, request_id)
                self._remember(request, made)
            return made
        except Refusal as refusal:
            made = _refused(refusal, request_id)
        except Exception:
            _LOG.exception("request_failed", path=request.path)
            made = _refused(_fault_of(500), request_id)
        self._remember(request, made)
        return made

    def _run(self, request: Request) -> Answer:
        found = ROUTES.find(request.method, request.path)
        if found is None:
            raise Refusal(
                f"Unrecognized request URL ({request.method}: {request.path}).",
                status=404,
            )
        route, ids = found
        params = forms.decoded(_text(request.body) if request.method == "POST" else request.query)
        if request.method == "DELETE" and request.body:
            params |= forms.decoded(_text(request.body))
        made = route.run(Call(self._provider, request.path, ids, params))
        paths = forms.rows(params, "expand")
        shown = orjson.loads(orjson.dumps(made))
        return Answer(
            200,
            orjson.dumps(listing.expand(self._provider, shown, paths, INCLUDED), option=orjson.OPT_INDENT_2),
        )

    def _known(self, request: Request, key: str) -> Answer | None:
        row = self._provider.store.db.execute(
            "SELECT fingerprint, status, body FROM answers WHERE key = ? AND at > ?",
            (key, time.time() - IDEMPOTENCY_LIFE_S),
        ).fetchone()
        if row is None:
            return None
        if row[0] != _fingerprint(request):
            raise Refusal(
                "Keys for idempotent requests can only be used with the same parameters they were first"
                f" used with. Try using a key other than '{key}' to execute a different request.",
                kind="idempotency_error",
            )
        return Answer(row[1], row[2], {"idempotent-replayed": "true"})

    def _remember(self, request: Request, made: Answer) -> None:
        key = request.headers.get("idempotency-key", "")
        if key and request.method == "POST" and made.status in _STORED:
            self._provider.store.db.execute(
                "INSERT OR REPLACE INTO answers (key, fingerprint, status, body, at) VALUES (?, ?, ?, ?, ?)",
                (key, _fingerprint(request), made.status, made.body, time.time()),
            )


def _fingerprint(request: Request) -> str:
    return hashlib.sha256(b"\0".join((request.path.encode(), request.body))).hexdigest()


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise Refusal("Invalid request: the body is not UTF-8.") from None


def _fault_of(status: int) -> Refusal:
    if status == 429:
        return Refusal(
            "Too many requests hit the API too quickly. Wait longer after each of them.",
            status=429,
            code="rate_limit",
        )
    return Refusal("An unknown error occurred", status=status, kind="api_error")


def _refused(refusal: Refusal, request_id: str) -> Answer:
    envelope: dict[str, Any] = {"error": {**refusal.envelope, "request_log_url": f"local:{request_id}"}}
    return Answer(refusal.status, orjson.dumps(envelope, option=orjson.OPT_INDENT_2))
