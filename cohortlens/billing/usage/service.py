"""Quota and usage of one process, wired: what the gateway and jobs take from ``Services.billing.usage``."""

from __future__ import annotations

import os
import socket
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from cohortlens.billing.usage.charges import WorkCharges
from cohortlens.billing.usage.events import UsageEvents
from cohortlens.billing.usage.quota import KnownEntitlements, MonthlyQuota
from cohortlens.billing.usage.reading import UsageReading
from cohortlens.billing.usage.upkeep import UsageUpkeep
from cohortlens.core.db import Database
from cohortlens.core.ids import uuid7
from cohortlens.core.mail import MailSealer

CONNECTIONS = 2
FOLDER = "usage"
"""Folder of the spools, in the data folder."""


@dataclass(frozen=True)
class UsageSettings:
    """What quota and usage must know of the installation.

    Attributes:
        database_url: PostgreSQL.
        pooled: Whether that is a transaction pooler.
        data_dir: Folder for spools.
        processes: Upper bound of processes that spend quota.
        fail_open_s: Seconds for which calls are admitted without PostgreSQL, and charged later.
    """

    database_url: str
    pooled: bool
    data_dir: Path
    processes: int
    fail_open_s: float


@dataclass(frozen=True)
class Usage:
    """Use cases of quota and usage.

    Attributes:
        quota: Takes units of the month's quota.
        events: Stores who used them.
        reading: Tells what was used.
        charges: Charges durable work.
        upkeep: What jobs do by the clock.
    """

    quota: MonthlyQuota
    events: UsageEvents
    reading: UsageReading
    charges: WorkCharges
    upkeep: UsageUpkeep

    @classmethod
    def open(
        cls,
        opened: AsyncExitStack,
        db: Database,
        entitlements: KnownEntitlements,
        sealer: MailSealer,
        settings: UsageSettings,
    ) -> Usage:
        """Wire and start; ``opened`` gives leases back and stores events before it closes the connections."""
        # Connections of their own: grants must not wait behind the work they are for.
        own = Database(settings.database_url, CONNECTIONS, pooled=settings.pooled)
        opened.push_async_callback(own.close)
        process_id = f"{socket.gethostname()}.{os.getpid()}.{str(uuid7())[-12:]}"
        events = UsageEvents(own, settings.data_dir / FOLDER)
        opened.push_async_callback(events.close)
        events.start()
        quota = MonthlyQuota(
            own,
            entitlements,
            process_id=process_id,
            processes=settings.processes,
            fail_open_s=settings.fail_open_s,
        )
        opened.push_async_callback(quota.close)
        quota.start()
        return cls(quota, events, UsageReading(db), WorkCharges(db, process_id), UsageUpkeep(db, sealer))
