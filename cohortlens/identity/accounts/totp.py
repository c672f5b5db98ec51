"""Codes of an authenticator app (RFC 6238) and recovery codes: how they are made and told apart."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets

import pyotp

from cohortlens.core.sealing import Sealer, SealingKeys
from cohortlens.identity.accounts.credentials import Credentials, UserCredentials
from cohortlens.identity.models import InvalidCredentials

STEP_S = 30
WINDOW = 1
"""Steps before and after the present one that count, for clocks that differ."""
RECOVERY_CODES = 10
_RECOVERY_BYTES = 10
_TOTP_CODE = re.compile(r"\d{6}")
_RECOVERY_CODE = re.compile(r"[a-z2-7]{16}")
_ISSUER = "CohortLens"


class TotpSecrets:
    """Makes and seals the secrets of authenticator apps.

    Args:
        keys: The installation's keys.
    """

    def __init__(self, keys: SealingKeys) -> None:
        self._sealer = Sealer(keys, "totp")

    def make(self, user: UserCredentials) -> tuple[bytes, str, str]:
        """A new secret: sealed, in base32 for typing, and as the ``otpauth`` address of a QR code."""
        secret = pyotp.random_base32(32)
        uri = pyotp.TOTP(secret).provisioning_uri(name=user.email, issuer_name=_ISSUER)
        return self._sealer.seal(secret.encode("ascii"), user.user_id.bytes), secret, uri

    def step_of(self, user: UserCredentials, sealed: bytes, code: str, at: float) -> int | None:
        """The time step whose code was typed; None when it is none of the window.

        Args:
            user: Whose secret it is.
            sealed: The sealed secret.
            code: As typed, spaces left out.
            at: Unix seconds.
        """
        if not _TOTP_CODE.fullmatch(code):
            return None
        app = pyotp.TOTP(self._sealer.open(sealed, user.user_id.bytes).decode("ascii"))
        now = int(at) // STEP_S
        found = None
        for step in range(now - WINDOW, now + WINDOW + 1):
            if hmac.compare_digest(app.generate_otp(step).encode(), code.encode()):
                found = step
        return found


class SecondFactor:
    """Tests the code of a person who has an authenticator app.

    Args:
        secrets_of: Opens the secrets.
        clock: Unix seconds.
    """

    def __init__(self, secrets_of: TotpSecrets) -> None:
        self._secrets = secrets_of

    async def use(self, credentials: Credentials, user: UserCredentials, code: str, at: float) -> str:
        """Use up a code of the app or a recovery code; answers ``totp`` or ``recovery_code``.

        Args:
            credentials: In the transaction of what the code allows.
            user: Who typed it; has an authenticator app.
            code: As typed.
            at: Unix seconds.

        Raises:
            InvalidCredentials: It is wrong, too old, or used already.
        """
        typed = normal_code(code)
        if user.totp_enc is not None:
            step = self._secrets.step_of(user, user.totp_enc, typed, at)
            if step is not None and await credentials.use_totp_step(user.user_id, step):
                return "totp"
            digest = recovery_digest(typed)
            if digest is not None and await credentials.use_recovery_code(user.user_id, digest):
                return "recovery_code"
        raise code_refused()


def normal_code(code: str) -> str:
    """A code without the spaces and hyphens people type, in lower case."""
    return re.sub(r"[\s-]", "", code).lower()


def new_recovery_codes() -> tuple[str, ...]:
    """Ten codes of 80 random bits, such as ``abcd-efgh-ijkl-mnop``."""
    return tuple(_grouped(secrets.token_bytes(_RECOVERY_BYTES)) for _ in range(RECOVERY_CODES))


def recovery_digest(code: str) -> bytes | None:
    """What is stored of a recovery code; None for a text that is none. 80 bits need no slow hash."""
    normal = normal_code(code)
    return hashlib.sha256(normal.encode("ascii")).digest() if _RECOVERY_CODE.fullmatch(normal) else None


def code_refused() -> InvalidCredentials:
    """The answer to any code that is not right."""
    return InvalidCredentials("the code is wrong, too old, or was used already")


def _grouped(raw: bytes) -> str:
    letters = base64.b32encode(raw).decode("ascii").lower()
    return "-".join(letters[at : at + 4] for at in range(0, len(letters), 4))
