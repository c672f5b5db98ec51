"""Watches what needs an operator: dead and late events, a mail server that takes no mail."""

from __future__ import annotations

from typing import Any

from cohortlens.core import findings, outbox_operation
from cohortlens.core.counting import Gauge
from cohortlens.core.errors import CohortLensError
from cohortlens.core.mail_delivery import MailDelivery
from cohortlens.core.redis import RedisClient
from cohortlens.core.telemetry import REGISTRY, get_logger
from cohortlens.jobs.handlers import Services

LATE_S = 600.0
"""Age of an open event from which it is late: back-off and an hour of training aside, something is stuck."""

_OPEN = Gauge("outbox_open", "Events that wait or run", ("topic",), registry=REGISTRY)
_DEAD = Gauge("outbox_dead", "Events given up and not discarded", ("topic",), registry=REGISTRY)
_OLDEST = Gauge("outbox_oldest_seconds", "Age of the oldest open event", ("topic",), registry=REGISTRY)
_MAIL = Gauge("mail_server_up", "1 while the mail server takes mail", (), registry=REGISTRY)
_LOG = get_logger(__name__)


class OutboxWatch:
    """Takes the figures of the outbox and raises the alarm when they get worse."""

    def __init__(self) -> None:
        self._topics: set[str] = set()

    async def run(self, services: Services) -> int:
        """Set the metrics, tell the gateway, log an error when events died or got late; answers the open."""
        found = await outbox_operation.figures(services.db)
        for topic in self._topics - {one.topic for one in found}:
            found.append(outbox_operation.Figures(topic, 0, 0, 0.0))
        for one in found:
            self._topics.add(one.topic)
            _OPEN.labels(one.topic).set(one.open)
            _DEAD.labels(one.topic).set(one.dead)
            _OLDEST.labels(one.topic).set(one.oldest_s)
        now: dict[str, Any] = {
            "open": sum(one.open for one in found),
            "dead": sum(one.dead for one in found),
            "late": sorted(one.topic for one in found if one.oldest_s > LATE_S),
        }
        before = await findings.publish(services.redis, "outbox", now)
        if now["dead"] > before.get("dead", 0):
            dead = {one.topic: one.dead for one in found if one.dead}
            _LOG.error("outbox_dead", topics=dead, next="cohortlens outbox list")
        if set(now["late"]) - set(before.get("late", ())):
            _LOG.error("outbox_late", topics=now["late"], next="cohortlens outbox list --open")
        return int(now["open"])


async def watch_mail(mail: MailDelivery, redis: RedisClient) -> int:
    """Ask the mail server whether it takes mail and tell the gateway; answers 1 when it does."""
    reason = ""
    try:
        await mail.ping()
    except CohortLensError as error:
        reason = str(error)
    _MAIL.labels().set(0.0 if reason else 1.0)
    before = await findings.publish(redis, "smtp", {"up": not reason})
    if reason and before.get("up", True):
        _LOG.error("mail_server_down", error=reason)
    return 0 if reason else 1
