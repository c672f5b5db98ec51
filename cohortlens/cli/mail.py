"""``cohortlens mail``: the mails that the stack of this machine kept instead of sending."""

from __future__ import annotations

import email
import re
import time
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import click

from cohortlens.cli import local
from cohortlens.cli.output import Fault, Output, table
from cohortlens.cli.session import guarded
from cohortlens.embedded.mail import mail_folder

_LINK = re.compile(r"https?://[^\s<>\"]+")
_FOLLOW_EVERY_S = 0.5


@dataclass(frozen=True)
class KeptMail:
    """A mail of the folder.

    Attributes:
        file: Where it lies.
        time: When it came, ``YYYY-MM-DDTHH:MM:SSZ``.
        to: Its recipient.
        subject: Its subject.
        text: Its plain text.
        links: Addresses in the text, in order.
    """

    file: Path
    time: str
    to: str
    subject: str
    text: str
    links: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The mail for programs."""
        return {
            "time": self.time, "to": self.to, "subject": self.subject, "links": list(self.links),
            "text": self.text, "file": str(self.file),
        }  # fmt: skip

    def as_text(self) -> str:
        """The mail for people."""
        return f"{self.time}  to {self.to}\nSubject: {self.subject}\n\n{self.text.rstrip()}"


@click.command()
@click.option("--latest", is_flag=True, help="Only the newest one, with its text.")
@click.option("--to", "recipient", default="", help="Only those to this address.")
@click.option("--follow", is_flag=True, help="Go on and show each mail as it comes; Ctrl-C ends.")
@guarded("mail")
def mail(out: Output, latest: bool, recipient: str, follow: bool) -> None:
    """Show the mails of the development stack, newest last, with their links.

    Without COHORTLENS_SMTP_URL nothing leaves this machine: the data folder keeps the newest 500 mails.
    """
    config = local.config()
    if not config.embeds_mail:
        raise Fault(
            "MAIL_NOT_KEPT",
            "mails are sent, not kept",
            "unset COHORTLENS_SMTP_URL and start the stack anew",
            cause="COHORTLENS_SMTP_URL names a mail server",
        )
    if follow and out.as_json:
        raise Fault(
            "USAGE_INVALID", "--follow has no end, so it has no JSON document", code="INVALID_ARGUMENT"
        )
    folder = mail_folder(config)
    if follow:
        _follow(out, folder, recipient)
    found = kept(folder, recipient)
    if latest:
        if not found:
            raise Fault("MAIL_NOT_FOUND", "no such mail was kept", "cohortlens mail --follow", "NOT_FOUND")
        out.result(found[-1].as_json(), found[-1].as_text())
        return
    rows = [[one.time, one.to, one.subject, " ".join(one.links)] for one in found]
    text = table(rows, ["time", "to", "subject", "links"]) if rows else "no mail was kept"
    out.result({"mails": [one.as_json() for one in found]}, text)


def kept(folder: Path, recipient: str = "") -> list[KeptMail]:
    """The mails of a folder, oldest first.

    Args:
        folder: Where they lie; may be missing.
        recipient: Only those to this address, in any case; all when empty.
    """
    mails = [one for path in sorted(folder.glob("*.eml")) if (one := _read(path)) is not None]
    return [one for one in mails if not recipient or one.to.lower() == recipient.lower()]


def _follow(out: Output, folder: Path, recipient: str) -> None:
    shown = {path.name for path in folder.glob("*.eml")}
    while True:
        for one in kept(folder, recipient):
            if one.file.name not in shown:
                out.result(one.as_json(), one.as_text() + "\n")
                shown.add(one.file.name)
        time.sleep(_FOLLOW_EVERY_S)


def _read(path: Path) -> KeptMail | None:
    try:
        message = email.message_from_bytes(path.read_bytes(), policy=default)
    except FileNotFoundError:
        # The keeper dropped it meanwhile.
        return None
    assert isinstance(message, EmailMessage)
    body = message.get_body(("plain", "html"))
    text = str(body.get_content()).replace("\r\n", "\n") if body is not None else ""
    day, clock = path.name[:8], path.name[9:15]
    return KeptMail(
        file=path,
        time=f"{day[:4]}-{day[4:6]}-{day[6:]}T{clock[:2]}:{clock[2:4]}:{clock[4:]}Z",
        to=str(message["To"] or ""),
        subject=str(message["Subject"] or ""),
        text=text,
        links=tuple(_LINK.findall(text)),
    )
