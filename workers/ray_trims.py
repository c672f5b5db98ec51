"""What a local Ray does not need here: fewer processes, and the state of those that stay.

Ray starts an autoscaler, a log tailer and a dashboard head in each local cluster and offers no setting
against it. They cost 180 MB and five seconds of the start, and we use none of them (our own metrics and logs
replace them). Names of Ray 2.54 that are not public stay in this file; the pin in the lock file holds them.
"""

from __future__ import annotations

from typing import Any

from ray._private import worker
from ray._private.node import Node

_SKIPPED = ("start_monitor", "start_log_monitor")


def trim() -> None:
    """Start fewer processes from now on; further calls change nothing.

    Raises:
        AttributeError: This Ray has other names; the pin was changed without this file.
    """
    node: Any = Node
    for name in (*_SKIPPED, "start_api_server"):
        getattr(node, name)
    for name in _SKIPPED:
        setattr(node, name, _nothing)
    node.start_api_server = _no_dashboard


def dead_processes() -> list[str]:
    """Names of those of Ray's own processes that died; empty when all live."""
    node: Any = worker._global_node
    if node is None:
        return ["node"]
    return [str(name) for name, _ in node.dead_processes()]


def _nothing(_node: Any) -> None:
    return


def _no_dashboard(node: Any, **_options: Any) -> None:
    node._webui_url = ""
