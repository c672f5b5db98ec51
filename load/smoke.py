"""``make load``: ten seconds of both kinds of users against the local stack; fails on any failed call."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

from cohortlens.cli.client import Client
from cohortlens.cli.local import endpoints
from cohortlens.cli.session import open_client
from cohortlens.v1 import analytics_pb2, consent_checks_pb2, customers_pb2
from load.settings import LoadTarget, for_environment

USERS, SECONDS = 20, 10
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def local_target() -> LoadTarget:
    """The running stack of this machine, as the demo tenant's owner.

    Raises:
        SystemExit: The stack does not listen on loopback.
    """
    where = endpoints()
    if urlsplit(where.http).hostname not in _LOOPBACK:
        raise SystemExit("a load run addresses loopback only")
    with open_client("", "", None, 30.0) as client:
        names = predictable(client, 200)
        reply = client.call(client.analytics.GetFeatures, analytics_pb2.GetFeaturesRequest(customer=names[0]))
        return LoadTarget(where.http, where.grpc, client.access_token(), names, list(reply.features.values))


def predictable(client: Client, first: int) -> list[str]:
    """Those of the first customers whose consent allows predictions, by identifier."""
    page = client.call(client.customers.ListCustomers, customers_pb2.ListCustomersRequest(page_size=first))
    asked = consent_checks_pb2.BatchCheckConsentRequest(
        customers=[c.customer for c in page.customers], activities=["analytics.prediction"]
    )
    allowed = client.call(client.consent.BatchCheckConsent, asked).checks[0].allowed
    return [name for at, name in enumerate(asked.customers) if allowed[at // 8] >> at % 8 & 1]


def main() -> None:
    """Run Locust and leave with its exit code: 0 only if no call failed."""
    command = [
        sys.executable, "-m", "locust", "--locustfile", str(Path(__file__).with_name("locustfile.py")),
        "--headless", "--users", str(USERS), "--spawn-rate", str(USERS), "--run-time", f"{SECONDS}s",
        "--only-summary", "--exit-code-on-error", "1",
    ]  # fmt: skip
    raise SystemExit(subprocess.run(command, env=for_environment(local_target()), check=False).returncode)


if __name__ == "__main__":
    main()
