"""Which host this is: the same for all its processes until it starts anew, another one elsewhere."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

_MACHINE = Path("/etc/machine-id")
_BOOT = Path("/proc/sys/kernel/random/boot_id")


@lru_cache(maxsize=1)
def host_identity() -> str:
    """32 hex digits from the machine's identifier and that of its present boot; empty when neither is known.

    Machines copied from one image share the first, containers of one host the second; a socket's path and
    owner must fit as well before anybody uses it.
    """
    known = "\n".join(_text(path) for path in (_MACHINE, _BOOT))
    return hashlib.sha256(known.encode()).hexdigest()[:32] if known.strip() else ""


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
