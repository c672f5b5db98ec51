"""``python -m sidecars.web3``: the web3 sidecar against the configured journal and chains."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import sys

from cohortlens.core.config import SettingsInvalid, read
from cohortlens.core.errors import CohortLensError
from cohortlens.core.ops import OpsPortInUseError
from cohortlens.core.telemetry import configure_logging
from sidecars.web3.config import Web3Config

# They log each request with its URL, and a node's URL may hold a key.
_TALKATIVE = ("aiohttp", "eth_tester", "httpcore", "httpx", "httpx2", "ipfshttpclient", "urllib3", "web3")
_DEPTH = 1_000


def main() -> int:
    """Run until SIGTERM or SIGINT.

    Returns:
        Exit code: 0 after a signal, 2 when settings, journal, keys or chains do not allow to start, 3 when a
        port is taken.
    """
    # A core dump would hold keys.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        config = read(Web3Config, os.environ)
        if faults := config.faults():
            raise SettingsInvalid(faults)
    except SettingsInvalid as invalid:
        return _say(invalid.faults)
    configure_logging(config.log_level, config.log_format)
    for vendor in _TALKATIVE:
        logging.getLogger(vendor).setLevel(logging.WARNING)
    # Importing the chains' libraries takes a second; faults of settings are told before.
    from sidecars.web3.server import serve  # noqa: PLC0415

    # They raise the limit to 100,000: hostile text would overflow the stack of C instead of being refused.
    sys.setrecursionlimit(_DEPTH)
    try:
        asyncio.run(serve(config))
    except SettingsInvalid as invalid:
        return _say(invalid.faults)
    except CohortLensError as fault:
        return _say([f"{fault.reason}: {fault.message}"])
    except OpsPortInUseError as fault:
        _say([str(fault)])
        return 3
    except OSError as fault:
        _say([f"PORT_IN_USE or no file: {fault}"])
        return 3
    return 0


def _say(faults: list[str]) -> int:
    for fault in faults:
        print(fault, file=sys.stderr)  # noqa: T201 - a person or the supervisor's log reads it
    return 2


if __name__ == "__main__":
    sys.exit(main())
