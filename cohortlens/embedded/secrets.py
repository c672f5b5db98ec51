"""Secrets of one data folder: made at random on first start, kept in ``secrets.json`` with mode 0600."""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from cohortlens.core.config import Secret
from cohortlens.core.private import create_private
from cohortlens.embedded.faults import Fault, StackFailed

FILE_NAME = "secrets.json"


@dataclass(frozen=True)
class StackSecrets:
    """What only this installation knows.

    Attributes:
        postgres_superuser: Password of the cluster's superuser.
        postgres_owner: Password of the role that owns the tables.
        postgres_runtime: Password of the role that serves requests.
        redis: Password of the Valkey server.
        kek: 32 random bytes in base64: seals signing keys and paging tokens.
    """

    postgres_superuser: Secret
    postgres_owner: Secret
    postgres_runtime: Secret
    redis: Secret
    kek: Secret

    @classmethod
    def generate(cls) -> StackSecrets:
        """Fresh random secrets; passwords hold only characters that a URL needs no escape for."""
        return cls(
            postgres_superuser=_password(),
            postgres_owner=_password(),
            postgres_runtime=_password(),
            redis=_password(),
            kek=Secret(base64.b64encode(secrets.token_bytes(32)).decode("ascii")),
        )


def load_or_create(data_dir: Path) -> StackSecrets:
    """Read the folder's secrets, or make them when the folder has none.

    Raises:
        StackFailed: ``SECRETS_UNREADABLE``: the file is damaged, or open to other users.
    """
    path = data_dir / FILE_NAME
    if not path.exists():
        made = StackSecrets.generate()
        names = StackSecrets.__dataclass_fields__
        create_private(path, json.dumps({name: getattr(made, name).reveal() for name in names}, indent=2))
    try:
        if path.stat().st_mode & 0o077:
            raise StackFailed(_unreadable(path, "other users may read it", f"chmod 600 {path}"))
        values = json.loads(path.read_text(encoding="utf-8"))
        return StackSecrets(**{name: Secret(values[name]) for name in StackSecrets.__dataclass_fields__})
    except (OSError, ValueError, KeyError, TypeError) as error:
        kind = type(error).__name__
        raise StackFailed(_unreadable(path, f"the file is damaged ({kind})", f"restore {path}")) from None


def exists(data_dir: Path) -> bool:
    """Whether the folder has secrets."""
    return (data_dir / FILE_NAME).exists()


def _password() -> Secret:
    return Secret(secrets.token_urlsafe(24))


def _unreadable(path: Path, cause: str, next_step: str) -> Fault:
    return Fault(
        reason="SECRETS_UNREADABLE",
        message="the stack's secrets cannot be used",
        found=str(path),
        cause=cause,
        next=next_step,
    )
