"""The product's own gateway with authentication only: no metrics, no log line, no shedding, no fair share.

What those cost is its distance to the product in the same table. It takes the settings of the running gateway
from its environment, and reaches the same workers.
"""

import os
import sys
from typing import Any

from cohortlens.core.config import read
from cohortlens.core.settings import CoreConfig
from gateway import composition
from gateway.__main__ import serve
from gateway.config import GatewayConfig


class Nothing:
    """A step that does nothing."""

    def __init__(self, *_settings: Any) -> None: ...

    async def __call__(self, call: Any, proceed: Any) -> None:
        """Run the rest."""
        await proceed(call)


if __name__ == "__main__":
    composition.ObserveStep = composition.ShedStep = composition.ShareStep = Nothing  # type: ignore[misc, assignment]
    core, config = read(CoreConfig, os.environ), read(GatewayConfig, os.environ)
    sys.exit(serve(core, config, composition.compose, [sys.executable, *sys.argv]))
