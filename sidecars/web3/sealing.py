"""Seal what only the sidecar may read: issuer keys, pin keys. AES-256-GCM under keys that one KEK gives.

The sidecar's KEK is its own: whoever has the control plane's opens nothing here. Two may be set while it is
changed; both open, the first one seals.
"""

from __future__ import annotations

from cohortlens.core.errors import FailedPrecondition
from cohortlens.core.key_settings import parse_kek
from cohortlens.core.sealing import Keyring, SealBroken, Sealer, key_id, sealed_under

_PURPOSE = "web3"


class KekMismatch(FailedPrecondition):
    """A sealed value opens under none of the keys; with another KEK it never will."""

    reason = "KEK_MISMATCH"

    def __init__(self) -> None:
        super().__init__(
            "A stored secret opens under none of the configured keys; put the key that sealed it into "
            "COHORTLENS_WEB3_KEK or COHORTLENS_WEB3_KEK_PREVIOUS."
        )


class Kek:
    """The sidecar's key-encryption keys.

    Args:
        current: Seals, and opens what it sealed: 32 bytes in base64 (``COHORTLENS_WEB3_KEK``).
        previous: Opens what it sealed; empty when the key was never changed.

    Attributes:
        current_id: Four bytes that name the current key and say nothing about it.

    Raises:
        ValueError: A text is not base64 of 32 bytes; the text itself is not repeated.
    """

    def __init__(self, current: str, previous: str = "") -> None:
        key = parse_kek(current, "COHORTLENS_WEB3_KEK")
        older = [parse_kek(previous, "COHORTLENS_WEB3_KEK_PREVIOUS")] if previous else []
        self.current_id = key_id(key)
        self._sealer = Sealer(Keyring(key, older), _PURPOSE)

    def seal(self, plain: bytes, aad: bytes) -> bytes:
        """Seal ``plain`` so that it opens only together with ``aad``.

        Args:
            plain: The secret.
            aad: What it belongs to, such as ``tenant_id || kid``; bound, not stored.

        Returns:
            Version (1 byte), key (4), nonce (12, random), ciphertext, tag (16).
        """
        return self._sealer.seal(plain, aad)

    def open(self, sealed: bytes, aad: bytes) -> bytes:
        """The secret.

        Raises:
            KekMismatch: It was sealed under another key or for something else, or it was altered.
        """
        try:
            return self._sealer.open(sealed, aad)
        except SealBroken:
            raise KekMismatch from None

    def is_current(self, sealed: bytes) -> bool:
        """Whether the current key sealed it; what is not may be sealed again.

        Raises:
            KekMismatch: It is no sealed value.
        """
        try:
            return sealed_under(sealed) == self.current_id
        except SealBroken:
            raise KekMismatch from None
