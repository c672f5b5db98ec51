"""What the settings of the installation's keys say, and what in them cannot work; standard library only."""

from __future__ import annotations

import base64
import binascii
import itertools

KEY_BYTES = 32
# Of 32 random bytes about 30 differ; fewer than 16 is a typed or a counted-out key.
_FEWEST_DIFFERENT = 16
_FORM = "32 bytes in base64, for example from: openssl rand -base64 32"


def parse_kek(text: str, setting: str = "COHORTLENS_KEK") -> bytes:
    """A key out of a setting.

    Args:
        text: Base64 of 32 bytes.
        setting: Name of the setting, for the fault.

    Raises:
        ValueError: The text is not base64 of 32 bytes; the text itself is not repeated.
    """
    try:
        kek = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        kek = b""
    if len(kek) != KEY_BYTES:
        raise ValueError(f"{setting} must be {_FORM}")
    return kek


def parse_previous(text: str) -> list[bytes]:
    """The keys of ``COHORTLENS_KEK_PREVIOUS``, separated by commas or white space.

    Raises:
        ValueError: One is not base64 of 32 bytes; the text itself is not repeated.
    """
    return [parse_kek(one, "each key of COHORTLENS_KEK_PREVIOUS") for one in text.replace(",", " ").split()]


def key_faults(current: str, previous: str, *, is_production: bool) -> list[str]:
    """What cannot work, one sentence each; empty when all is well.

    Args:
        current: Value of ``COHORTLENS_KEK``; empty when the embedded stack makes one.
        previous: Value of ``COHORTLENS_KEK_PREVIOUS``.
        is_production: Whether a key that was not drawn at random is refused.
    """
    try:
        kek = parse_kek(current) if current else b""
        parse_previous(previous)
    except ValueError as fault:
        return [str(fault)]
    if is_production and not kek:
        return [f"COHORTLENS_KEK is not set: stored secrets could not be sealed; it must be {_FORM}"]
    if is_production and (len(set(kek)) < _FEWEST_DIFFERENT or _is_counted(kek)):
        return ["COHORTLENS_KEK is not random; take one from: openssl rand -base64 32"]
    return []


def _is_counted(kek: bytes) -> bool:
    """Whether every byte is as far from the one before, as in 0, 1, 2, ..."""
    return len({(after - before) % 256 for before, after in itertools.pairwise(kek)}) == 1
