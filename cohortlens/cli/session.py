"""Who the command line acts as: the credentials file of the local stack, or a log-in given by the caller."""

from __future__ import annotations

import functools
import hashlib
import json
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from cohortlens.cli.client import Client, Credentials, Tokens
from cohortlens.cli.errors import ApiError
from cohortlens.cli.output import Fault, Output
from cohortlens.core.errors import CohortLensError
from cohortlens.core.private import make_private, write_private

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


@dataclass(frozen=True)
class Account:
    """A tenant's owner as the credentials file keeps it.

    Attributes:
        tenant: Name of the tenant.
        email: Log-in name.
        password: Password.
    """

    tenant: str
    email: str
    password: str


class CredentialsFile:
    """``credentials.json`` in the data folder, mode 0600: the accounts that seeding made.

    Args:
        data_dir: The stack's data folder.
    """

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / "credentials.json"

    def load(self) -> list[Account]:
        """The accounts; empty when nothing was seeded."""
        try:
            stored = json.loads(self.path.read_text(encoding="utf-8"))
            return [Account(**account) for account in stored["tenants"]]
        except FileNotFoundError:
            return []
        except (ValueError, TypeError, KeyError):
            raise Fault(
                "CREDENTIALS_DAMAGED",
                f"{self.path} cannot be read",
                "restore the file, or pass --email and --password-file",
            ) from None

    def save(self, accounts: list[Account]) -> None:
        """Replace the file in one step."""
        make_private(self.path.parent)
        write_private(self.path, json.dumps({"tenants": [vars(a) for a in accounts]}, indent=2))


class FileTokenStore:
    """Keeps the access token between two commands, mode 0600, one file per target and log-in name."""

    def __init__(self, data_dir: Path, target: str, email: str) -> None:
        name = hashlib.sha256(f"{target} {email}".encode()).hexdigest()[:16]
        self._path = data_dir / "sessions" / f"{name}.json"

    def load(self) -> Tokens | None:
        """The stored token; None when absent or unreadable, which costs one log-in."""
        try:
            return Tokens(**json.loads(self._path.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def save(self, tokens: Tokens) -> None:
        """Store the token."""
        content = {"access_token": tokens.access_token, "expires_at": tokens.expires_at}
        make_private(self._path.parent)
        write_private(self._path, json.dumps(content))


@dataclass
class Session:
    """What every command that calls the API has at hand.

    Attributes:
        out: Where it prints.
        client: The connection.
    """

    out: Output
    client: Client


def json_option(function: FunctionT) -> FunctionT:
    """``--json``, for every command."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(function)


def guarded(command: str) -> Callable[[FunctionT], FunctionT]:
    """Give a command its ``Output`` and turn faults into exit codes."""

    def decorate(function: FunctionT) -> FunctionT:
        @functools.wraps(function)
        def run(as_json: bool, **options: Any) -> None:
            out = Output(command, as_json)
            try:
                function(out, **options)
            except Fault as fault:
                out.fail(fault)
            except ApiError as error:
                out.fail(Fault.from_api(error))
            except CohortLensError as error:
                out.fail(Fault.from_domain(error))
            except KeyboardInterrupt:
                out.interrupted()
            except (click.ClickException, click.exceptions.Exit, click.Abort):
                raise
            except Exception:
                if not as_json:
                    raise
                traceback.print_exc()
                out.fail(Fault("INTERNAL", "the command failed by a fault of ours", code="INTERNAL"))

        return json_option(run)  # type: ignore[return-value]

    return decorate


def calls_api(
    command: str, *, before: Callable[[Output], None] | None = None
) -> Callable[[FunctionT], FunctionT]:
    """Like ``guarded``, with a ``Session`` on the local stack or on ``--target``.

    Args:
        command: Its name.
        before: Called first where no ``--target`` is named, such as to start what is to be called.
    """

    def decorate(function: FunctionT) -> FunctionT:
        @functools.wraps(function)
        def run(
            out: Output,
            target: str,
            email: str,
            password_file: Path | None,
            totp: str,
            timeout: float,
            **options: Any,
        ) -> None:
            if before is not None and not target:
                before(out)
            with open_client(target, email, password_file, timeout, totp) as client:
                function(Session(out, client), **options)

        guarded_run = guarded(command)(run)
        for option in reversed(_API_OPTIONS):
            guarded_run = option(guarded_run)
        return guarded_run  # type: ignore[return-value]

    return decorate


_API_OPTIONS = [
    click.option("--target", default="", help="HOST:PORT of the gRPC door; the local stack by default."),
    click.option("--email", default="", help="Log-in name; the demo tenant's owner by default."),
    click.option(
        "--password-file", type=click.Path(path_type=Path), help="File that holds the password; - reads it."
    ),
    click.option("--totp", default="", help="Code of your authenticator app, or a recovery code."),
    click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        default=30.0,
        show_default=True,
        help="Seconds a call may take.",
    ),
]


def open_client(
    target: str, email: str, password_file: Path | None, timeout: float, totp: str = ""
) -> Client:
    """A client for ``target`` as ``email``, or for the local stack as the demo tenant's owner."""
    from cohortlens.cli.local import data_dir, local_target  # noqa: PLC0415 - --target needs no local stack

    where = target or local_target()
    account = _account(data_dir(), email, password_file)
    store = FileTokenStore(data_dir(), where, account.email)
    return Client(where, Credentials(account.email, account.password, totp), timeout_s=timeout, store=store)


def _account(folder: Path, email: str, password_file: Path | None) -> Account:
    if password_file is not None:
        if not email:
            raise Fault("CREDENTIALS_MISSING", "--password-file needs --email", code="INVALID_ARGUMENT")
        return Account("", email, _password(password_file))
    accounts = CredentialsFile(folder).load()
    chosen = [a for a in accounts if not email or a.email == email]
    if chosen:
        return chosen[0]
    if email:
        raise Fault(
            "CREDENTIALS_MISSING",
            f"no password is known for {email}",
            "add --password-file FILE",
            "INVALID_ARGUMENT",
        )
    raise Fault(
        "CREDENTIALS_MISSING",
        f"{CredentialsFile(folder).path} holds no account",
        "cohortlens up",
        "UNAUTHENTICATED",
    )


def _password(file: Path) -> str:
    if str(file) == "-":
        return sys.stdin.readline().rstrip("\n")
    try:
        return file.read_text(encoding="utf-8").rstrip("\n")
    except OSError as error:
        raise Fault("FILE_UNREADABLE", f"{file}: {error.strerror}", code="INVALID_ARGUMENT") from None
