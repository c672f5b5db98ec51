"""A process that follows the inbox with a provider in memory and dies at a point, as if by ``kill -9``.

Arguments: address of PostgreSQL as the role of jobs, name of the point (empty for none), when the bill was made.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import datetime

from cohortlens.billing.payments.following import Following, Rules
from cohortlens.core.db import Database
from cohortlens.core.failpoints import arm
from cohortlens.core.mail import MAIL_PURPOSE
from cohortlens.core.sealing import Keyring, Sealer
from cohortlens.jobs.payments import InboxRunner
from tests.fakes.scripted_provider import ScriptedProvider, State, unpaid_from

KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
LEASE_S = 1.0


async def main(url: str, point: str, billed: str) -> None:
    arm(point, "test")
    db = Database(url, 2)
    following = Following(
        db,
        ScriptedProvider(State((unpaid_from(datetime.fromisoformat(billed)),))),
        Sealer(Keyring.parse(KEY, ""), MAIL_PURPOSE),
        f"worker-{point or 'healthy'}",
        rules=Rules(lease_s=LEASE_S),
    )
    await InboxRunner(following, idle_s=0.05).run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
