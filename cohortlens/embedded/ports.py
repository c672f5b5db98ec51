"""TCP ports on loopback: choose a free one, test one, name the program that holds one."""

from __future__ import annotations

import os
import random
import socket
from pathlib import Path

from cohortlens.embedded.faults import Fault
from cohortlens.embedded.processes import program_of

LOOPBACK = "127.0.0.1"
_LISTENING = "0A"
_PORTS = 65536
_FIRST = 20_000
_ENOUGH = 2_000
_OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")
_given: set[int] = set()


def free_port() -> int:
    """A port that was free on loopback a moment ago."""
    return free_ports(1)


def free_ports(count: int) -> int:
    """The first of ``count`` ports in a row that were free on loopback a moment ago.

    They lie below those that the kernel gives to outgoing connections, which would now and then take one
    before its server listens; a process gets none twice.
    """
    end = _first_outgoing_port()
    while True:
        first = random.randrange(_FIRST, end - count)  # noqa: S311 - nothing secret
        ports = range(first, first + count)
        if _given.isdisjoint(ports) and all(map(is_free, ports)):
            _given.update(ports)
            return first


def _first_outgoing_port() -> int:
    try:
        found = int(_OUTGOING.read_text(encoding="ascii").split()[0])
    except OSError:
        return _PORTS
    # A kernel that gives nearly all ports away leaves none that are safe.
    return found if found >= _FIRST + _ENOUGH else _PORTS


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        # As the servers do; without it a port whose last connections are in TIME_WAIT looks taken.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def accepts(port: int) -> bool:
    """Whether something accepts connections on the port."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=0.5):
            return True
    except OSError:
        return False


def holder(port: int) -> str:
    """Who listens on a port: ``pid 4711 (postgres)``, as far as this user may see."""
    inodes = _listening_inodes(port)
    for entry in os.listdir("/proc") if inodes else ():  # noqa: PTH208 - names only
        if entry.isdigit() and _holds(int(entry), inodes):
            return f"pid {entry} ({program_of(int(entry))})"
    return "a program of another user" if inodes else "an unknown program"


def port_in_use(service: str, port: int) -> Fault:
    """The fault of a service whose port another program holds."""
    return Fault(
        reason="PORT_IN_USE",
        message=f"{service} cannot listen on {LOOPBACK}:{port}",
        found=holder(port),
        cause="another program holds the port",
        next="COHORTLENS_PORT_OFFSET=100 make run",
    )


def _listening_inodes(port: int) -> set[str]:
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTENING and int(fields[1].rsplit(":", 1)[1], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    return inodes


def _holds(pid: int, inodes: set[str]) -> bool:
    folder = f"/proc/{pid}/fd"
    try:
        handles = os.listdir(folder)  # noqa: PTH208 - names only
    except OSError:
        return False
    for handle in handles:
        try:
            if os.readlink(f"{folder}/{handle}") in inodes:  # noqa: PTH115 - a Path would resolve it
                return True
        except OSError:
            continue
    return False
