"""Which process gets the next connection: one listening socket each, a program in the kernel that chooses.

A connection stays with the process that took it, so the choice is made once. By itself the kernel chooses by
a hash, also a process that is dead or has no core to spare. One shared socket would be worse: whoever wakes
first takes all that wait (measured: 16 to 0, see ADR 0021).
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass

_ATTACH_REUSEPORT_CBPF = 51
_LOAD_RANDOM = (0x20, 0, 0, 0xFFFFF000 + 56)
_JUMP_IF_AT_LEAST, _RETURN = 0x35, 0x06
_SPAN = 2**32
_LEAST_FREE = 0.05


@dataclass(frozen=True)
class Burden:
    """What a process carries.

    Attributes:
        connections: Connections it has open.
        busy: CPU seconds a second.
    """

    connections: int = 0
    busy: float = 0.0


def weights(burdens: Sequence[Burden | None]) -> list[float]:
    """Share of the next connections for each process.

    Args:
        burdens: What each carries; None for one that shall get none.

    Returns:
        Shares that sum up to 1; all 0 when every burden is None.
    """
    fewest = min((one.connections for one in burdens if one is not None), default=0)
    raw = [0.0 if one is None else _appeal(one, fewest) for one in burdens]
    total = sum(raw)
    return [one / total for one in raw] if total else raw


def _appeal(burden: Burden, fewest: int) -> float:
    free = max(_LEAST_FREE, 1.0 - burden.busy)
    # In proportion: one connection more than another's none counts much, one more than its fifty hardly, so
    # that many connections at the same moment do not all go to whoever has one fewer.
    fewer = (1 + fewest) / (1 + burden.connections)
    return free * free * fewer * fewer


def program(shares: Sequence[float]) -> list[tuple[int, int, int, int]]:
    """A classic BPF program that returns the index of a socket at random by ``shares``.

    Returns:
        Instructions as (code, jump if true, jump if false, operand).

    Raises:
        ValueError: Every share is 0.
    """
    chosen = [(index, share) for index, share in enumerate(shares) if share > 0]
    if not chosen:
        raise ValueError("no socket may be chosen")
    instructions, reached = [_LOAD_RANDOM], 0.0
    for index, share in chosen[:-1]:
        reached += share
        instructions.append((_JUMP_IF_AT_LEAST, 1, 0, min(_SPAN - 1, int(reached * _SPAN))))
        instructions.append((_RETURN, 0, 0, index))
    instructions.append((_RETURN, 0, 0, chosen[-1][0]))
    return instructions


def attach(group: socket.socket, shares: Sequence[float]) -> None:
    """Let the kernel choose among the sockets of a port by ``shares``.

    Args:
        group: Any socket of the port.
        shares: One for each socket, in the order in which they began to listen.

    Raises:
        OSError: The kernel does not take the program.
    """
    instructions = program(shares)
    packed = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *one) for one in instructions))
    group.setsockopt(
        socket.SOL_SOCKET,
        _ATTACH_REUSEPORT_CBPF,
        struct.pack("@HP", len(instructions), ctypes.addressof(packed)),
    )
