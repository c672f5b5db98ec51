"""Secrets of one data folder: made at random on first start, kept in ``secrets.json`` with mode 0600."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from cohortlens.core.config import Secret
from cohortlens.core.private import create_private, write_private
from cohortlens.embedded.faults import Fault, StackFailed

FILE_NAME = "secrets.json"


@dataclass(frozen=True)
class StackSecrets:
    """What only this installation knows.

    Attributes:
        postgres_superuser: Password of the cluster's superuser.
        postgres_owner: Password of the role that owns the tables.
        postgres_runtime: Password of the role that serves requests.
        postgres_jobs: Password of the role of durable work.
        postgres_web3: Password of the role of the web3 sidecar.
        redis: Password of the Valkey server.
        kek: 32 random bytes in base64: seals the stored secrets.
        web3_kek: The same for the secrets of the web3 sidecar, which opens no others.
        web3_token: What gateway and jobs show the web3 sidecar.
        stripe_key: Key of the local stand-in for Stripe.
        stripe_webhook: Secret that its webhooks are signed with.
        kek_previous: Keys that open what they sealed before ``kek`` took their place.
    """

    postgres_superuser: Secret
    postgres_owner: Secret
    postgres_runtime: Secret
    postgres_jobs: Secret
    postgres_web3: Secret
    redis: Secret
    kek: Secret
    web3_kek: Secret
    web3_token: Secret
    stripe_key: Secret
    stripe_webhook: Secret
    kek_previous: Secret = Secret("")

    @classmethod
    def generate(cls) -> StackSecrets:
        """Fresh random secrets; passwords hold only characters that a URL needs no escape for."""
        return cls(
            postgres_superuser=_password(),
            postgres_owner=_password(),
            postgres_runtime=_password(),
            postgres_jobs=_password(),
            postgres_web3=_password(),
            redis=_password(),
            kek=_kek(),
            web3_kek=_kek(),
            web3_token=_password(),
            stripe_key=_stripe_key(),
            stripe_webhook=_stripe_webhook(),
        )


def load_or_create(data_dir: Path) -> StackSecrets:
    """Read the folder's secrets, or make them when the folder has none.

    Raises:
        StackFailed: ``SECRETS_UNREADABLE``: the file is damaged, or open to other users.
    """
    path = data_dir / FILE_NAME
    if not path.exists():
        create_private(path, _written(StackSecrets.generate()))
    try:
        if path.stat().st_mode & 0o077:
            raise StackFailed(_unreadable(path, "other users may read it", f"chmod 600 {path}"))
        values = json.loads(path.read_text(encoding="utf-8"))
        lacking = {name: make().reveal() for name, make in _added().items() if name not in values}
        values |= lacking
        # A folder of an earlier release never changed its key.
        values.setdefault("kek_previous", "")
        made = StackSecrets(**{name: Secret(values[name]) for name in StackSecrets.__dataclass_fields__})
        if lacking:
            write_private(path, _written(made))
        return made
    except (OSError, ValueError, KeyError, TypeError) as error:
        kind = type(error).__name__
        raise StackFailed(_unreadable(path, f"the file is damaged ({kind})", f"restore {path}")) from None


def change_kek(data_dir: Path) -> StackSecrets:
    """Give the folder a new key; the old one still opens what it sealed. Nothing may run on the folder."""
    before = load_or_create(data_dir)
    previous = f"{before.kek.reveal()} {before.kek_previous.reveal()}".strip()
    after = replace(before, kek=_kek(), kek_previous=Secret(previous))
    write_private(data_dir / FILE_NAME, _written(after))
    return after


def forget_previous_keks(data_dir: Path) -> None:
    """Delete the folder's previous keys; what is still sealed under them never opens again."""
    write_private(data_dir / FILE_NAME, _written(replace(load_or_create(data_dir), kek_previous=Secret(""))))


def exists(data_dir: Path) -> bool:
    """Whether the folder has secrets."""
    return (data_dir / FILE_NAME).exists()


def _written(values: StackSecrets) -> str:
    names = StackSecrets.__dataclass_fields__
    return json.dumps({name: getattr(values, name).reveal() for name in names}, indent=2)


def _kek() -> Secret:
    return Secret(base64.b64encode(secrets.token_bytes(32)).decode("ascii"))


def _password() -> Secret:
    return Secret(secrets.token_urlsafe(24))


def _stripe_key() -> Secret:
    return Secret(f"sk_test_{secrets.token_hex(24)}")


def _stripe_webhook() -> Secret:
    return Secret(f"whsec_{secrets.token_hex(24)}")


def _added() -> dict[str, Callable[[], Secret]]:
    """What folders made by earlier releases may lack."""
    return {
        "postgres_jobs": _password,
        "postgres_web3": _password,
        "web3_kek": _kek,
        "web3_token": _password,
        "stripe_key": _stripe_key,
        "stripe_webhook": _stripe_webhook,
    }


def _unreadable(path: Path, cause: str, next_step: str) -> Fault:
    return Fault(
        reason="SECRETS_UNREADABLE",
        message="the stack's secrets cannot be used",
        found=str(path),
        cause=cause,
        next=next_step,
    )
