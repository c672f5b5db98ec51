"""What a process does as one of several: reports to the parent, shares its metrics, logs with its slot."""

from __future__ import annotations

import asyncio
import logging
import sys
from contextlib import suppress
from typing import TextIO, cast

from cohortlens.core import telemetry
from cohortlens.core.settings import CoreConfig
from gateway.fleet.exchange import SharedSeries
from gateway.fleet.lines import ProcessFilter, WholeLines
from gateway.fleet.link import Link, Reporter
from gateway.http import metrics

STEER_S = 0.1
"""Seconds that the parent needs to send new connections elsewhere."""


class Membership:
    """A process's part in the whole; the only process has none and does nothing here.

    Args:
        link: The process's place; None for the only process.
    """

    def __init__(self, link: Link | None) -> None:
        self._link = link
        self._reporter = Reporter(link) if link is not None else None
        self._series: SharedSeries | None = None
        self._beat: asyncio.Task[None] | None = None

    def configure_logging(self, core: CoreConfig, encode: telemetry.Encode) -> None:
        """Log to stdout; among several each line is whole and tells its process."""
        if self._link is None:
            telemetry.configure_logging(core.log_level, core.log_format, encode=encode)
            return
        slot = self._link.slot
        stream = cast("TextIO", WholeLines(sys.stdout.fileno(), slot))
        telemetry.configure_logging(core.log_level, core.log_format, stream, encode)
        for handler in logging.getLogger().handlers if core.log_format == "text" else ():
            handler.addFilter(ProcessFilter(slot))

    async def join(self) -> None:
        """Begin to report, and to show the metrics of all processes."""
        if self._link is None or self._reporter is None:
            return
        self._link.follow_parent()
        metrics.name_process(self._link.slot)
        self._series = SharedSeries(self._link.shared, telemetry.metrics_text)
        await self._series.start()
        metrics.collect_with(self._series.page)
        self._beat = asyncio.create_task(self._reporter.beat(), name="beat")

    def ready(self) -> None:
        """Tell that calls are answered."""
        if self._reporter is not None:
            self._reporter.say("ready")

    async def draining(self) -> None:
        """Tell that no new connections are wanted; returns when they go elsewhere."""
        if self._reporter is not None:
            self._reporter.say("draining")
            await asyncio.sleep(STEER_S)

    async def leave(self) -> None:
        """Leave the last metrics to the parent, report no more."""
        if self._beat is not None:
            self._beat.cancel()
            with suppress(asyncio.CancelledError):
                await self._beat
        if self._series is not None:
            await self._series.stop()
