"""Integers in base 128, as protobuf writes lengths and tags; for the few messages that are written by hand.

Source: Protocol Buffers, Encoding, "Base 128 Varints".
"""

from __future__ import annotations


def varint(value: int) -> bytes:
    """A non-negative integer in base 128, low groups first."""
    made = bytearray()
    while value >= 0x80:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)
