"""Settings of a worker side that spans several hosts; with none of them set it stays on one, on loopback."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from cohortlens.core.config import Secret, setting
from cohortlens.core.settings import SharedConfig

TOKEN_CHARACTERS = 32
"""Fewest characters of the secret that the hosts show one another."""

_HOST_PORT = re.compile(r"(\S+):(\d{1,5})")


@dataclass(frozen=True)
class ClusterConfig(SharedConfig):
    """How the hosts of one worker side find one another."""

    ray_head: str = setting(
        "RAY_HEAD", "", "host:port of the first host's Ray, which this host joins; unset on the first one"
    )
    ray_port: int = setting(
        "RAY_PORT", 0, "port on which the first of several hosts takes others in; 0 when there is only one"
    )
    ray_token: Secret = setting(
        "RAY_TOKEN",
        Secret(""),
        "secret that the hosts show one another; made anew at each start for one host",
    )

    @property
    def spans_hosts(self) -> bool:
        """Whether other hosts belong to the worker side."""
        return bool(self.ray_head or self.ray_port)

    def cluster_faults(self, bind: str) -> list[str]:
        """What cannot work, one sentence each.

        Args:
            bind: Address of this host in the workers' network.
        """
        if not self.spans_hosts:
            return []
        found = []
        if self.ray_head and self.ray_port:
            found.append(f"COHORTLENS_RAY_PORT={self.ray_port}: expected 0 beside COHORTLENS_RAY_HEAD")
        if self.ray_head and not _HOST_PORT.fullmatch(self.ray_head):
            found.append(f"COHORTLENS_RAY_HEAD={self.ray_head}: expected host:port")
        if not 0 <= self.ray_port <= 65535:
            found.append(f"COHORTLENS_RAY_PORT={self.ray_port}: expected a port from 0 to 65535")
        if len(self.ray_token) < TOKEN_CHARACTERS:
            shown = "COHORTLENS_RAY_TOKEN=****"
            found.append(f"{shown}: expected {TOKEN_CHARACTERS} or more characters, the same on every host")
        if self.artifact_dir is None:
            found.append("COHORTLENS_ARTIFACT_DIR='': expected a folder that every host sees")
        return found + _reachable(bind)


def _reachable(bind: str) -> list[str]:
    try:
        address = ipaddress.ip_address(bind)
    except ValueError:
        return []
    named = f"COHORTLENS_WORKER_BIND={bind}"
    if not address.is_private:
        return [f"{named}: expected an address of a private network, since Ray's ports are open there"]
    # Ray takes these two for "any address of this host" and would listen where nobody asked it to.
    if bind in ("127.0.0.1", "::1"):
        return [f"{named}: expected the address under which the other hosts reach this one"]
    return []
