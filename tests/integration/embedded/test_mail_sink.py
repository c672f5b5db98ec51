"""The stand-in for a mail server: whole files, the newest only, for nobody but this machine and its owner."""

from __future__ import annotations

import asyncio
import os
import smtplib
import stat
import subprocess
import sys

import pytest

from cohortlens.adapters.email import smtp_mailer
from cohortlens.cli.mail import kept
from cohortlens.core.ids import uuid7
from cohortlens.core.mail import Letter
from cohortlens.embedded.mail import Keeper
from cohortlens.embedded.ports import accepts, free_port
from tests.fixtures.waiting import eventually_blocking

SENDER = "CohortLens <no-reply@cohortlens.local>"


@pytest.fixture
def sink(tmp_path):
    port = free_port()
    environ = {k: v for k, v in os.environ.items() if not k.startswith("COHORTLENS_")}
    environ |= {"COHORTLENS_DATA_DIR": str(tmp_path / "data"), "COHORTLENS_SMTP_PORT": str(port)}
    process = subprocess.Popen([sys.executable, "-m", "cohortlens.embedded.mail"], env=environ)
    try:
        eventually_blocking(lambda: accepts(port), 20.0)
        yield port, tmp_path / "data" / "mail"
    finally:
        process.terminate()
        assert process.wait(10) == 0


async def test_a_mail_lies_in_the_folder_once_the_sender_is_told_so_with_its_links(sink):
    port, folder = sink
    mail_id = uuid7()
    letter = Letter("Grüße", ("Hallo",), "https://app.example/verify?token=a-b_c", "Weiter")
    await smtp_mailer(f"smtp://127.0.0.1:{port}", SENDER).send(letter.mail(mail_id, "Ada@example.org"))
    [mail] = kept(folder)
    assert (mail.subject, mail.to) == ("Grüße", "Ada@example.org")
    assert mail.links == ("https://app.example/verify?token=a-b_c",)
    assert mail.file.name.endswith(f"-{mail_id}.eml")
    assert kept(folder, "ada@EXAMPLE.org") == [mail]
    assert kept(folder, "eve@example.org") == []
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(mail.file.stat().st_mode) == 0o600


async def test_a_hostile_message_id_stays_inside_the_folder(sink):
    port, folder = sink

    def send():
        with smtplib.SMTP("127.0.0.1", port) as client:
            client.sendmail("a@b.c", ["d@e.f"], "Message-ID: <../../../evil@x>\r\nSubject: s\r\n\r\nbody\r\n")

    await asyncio.to_thread(send)
    [mail] = kept(folder)
    assert mail.file.parent == folder
    assert ".." not in mail.file.name
    assert not list(folder.parent.rglob("evil*"))


def test_only_the_newest_stay(tmp_path):
    keeper = Keeper(tmp_path / "mail", kept=3)
    names = [keeper.keep(f"Subject: {number}\r\n\r\n".encode()) for number in range(5)]
    assert [mail.file.name for mail in kept(tmp_path / "mail")] == names[2:]
    assert [path.name for path in (tmp_path / "mail").iterdir() if path.suffix != ".eml"] == []


async def test_a_folder_that_cannot_be_written_tells_the_sender_to_try_later(tmp_path):
    (tmp_path / "mail").write_text("in the way")

    class Envelope:
        content = b"Subject: s\r\n\r\n"

    answer = await Keeper(tmp_path / "mail").handle_DATA(None, None, Envelope())
    assert answer.startswith("451")
