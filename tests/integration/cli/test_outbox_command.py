"""``cohortlens outbox`` and ``cohortlens mail`` as an operator types them."""

from __future__ import annotations

import asyncio
import json

import pytest
from click.testing import CliRunner

from cohortlens.cli.main import main
from cohortlens.core import outbox
from cohortlens.core.ids import uuid7
from cohortlens.core.outbox import Outbox, Wanted
from cohortlens.embedded.mail import Keeper


@pytest.fixture
def run(postgres_urls, monkeypatch, tmp_path):
    """Run a command in a thread, as it makes an event loop of its own; answers exit code and output."""
    monkeypatch.setenv("COHORTLENS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COHORTLENS_DATABASE_URL", postgres_urls.runtime)
    monkeypatch.setenv("COHORTLENS_JOBS_DATABASE_URL", postgres_urls.jobs)

    async def invoke(*arguments):
        done = await asyncio.to_thread(CliRunner().invoke, main, list(arguments))
        return done.exit_code, done.stdout

    return invoke


@pytest.fixture
async def dead(database, tenants):
    async with database.tenant_transaction(tenants[0].tenant_id) as tx:
        event_id = await Outbox(tx).record("a.happened", "a", {"n": "7"})
    [event] = await outbox.claim(database, "w", [Wanted("a.happened", 1)])
    await outbox.fail(database, event, "cannot be done", final=True)
    return event_id


async def test_a_dead_event_is_listed_shown_retried_and_gone(run, dead):
    code, text = await run("outbox", "list")
    assert code == 0
    assert str(dead) in text
    assert "cannot be done" in text
    code, text = await run("outbox", "show", str(dead), "--json")
    shown = json.loads(text)["data"]
    assert (shown["state"], shown["payload"], shown["attempts"]) == ("DEAD", {"n": "7"}, 1)
    code, text = await run("outbox", "retry", "--all", "--json")
    assert json.loads(text)["data"]["retried"] == [str(dead)]
    code, text = await run("outbox", "list", "--json")
    assert json.loads(text)["data"]["events"] == []


async def test_a_discard_is_asked_about_and_done_once_and_audited(run, dead, superuser):
    code, _ = await run("outbox", "discard", str(dead))
    assert code == 1
    code, text = await run("outbox", "discard", str(dead), "--yes")
    assert (code, text.strip()) == (0, "discarded 1")
    code, _ = await run("outbox", "discard", str(dead), "--yes")
    assert code == 3
    rows = await superuser.fetch("SELECT convert_from(canonical, 'UTF8') AS body FROM audit_log")
    [body] = [row["body"] for row in rows if "core.event.discarded" in row["body"]]
    assert str(dead) in body
    assert "system" in body


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("outbox", "show", "nonsense"), 2),
        (("outbox", "show", str(uuid7())), 3),
        (("outbox", "retry"), 2),
        (("outbox", "retry", "--all", "--topic", "x"), 2),
    ],
)
async def test_wrong_use_has_the_exit_code_of_its_kind(run, arguments, expected):
    code, _ = await run(*arguments)
    assert code == expected


async def test_kept_mails_are_shown_with_their_links(run, tmp_path):
    keeper = Keeper(tmp_path / "data" / "mail")
    for number, to in enumerate(("ada@example.org", "eve@example.org")):
        keeper.keep(
            f"To: {to}\r\nSubject: S{number}\r\n\r\nGo to https://x.example/?token={number}\r\n".encode()
        )
    code, text = await run("mail")
    assert code == 0
    assert [line.split()[-1] for line in text.splitlines()[1:]] == [
        "https://x.example/?token=0",
        "https://x.example/?token=1",
    ]
    code, text = await run("mail", "--latest", "--to", "ADA@example.org", "--json")
    assert json.loads(text)["data"]["links"] == ["https://x.example/?token=0"]
    code, _ = await run("mail", "--latest", "--to", "nobody@example.org")
    assert code == 3


async def test_with_a_mail_server_of_its_own_the_command_says_where_mails_go(run, monkeypatch):
    monkeypatch.setenv("COHORTLENS_SMTP_URL", "smtps://user:secret@mail.example.org")
    code, text = await run("mail", "--json")
    assert code == 5
    assert json.loads(text)["error"]["reason"] == "MAIL_NOT_KEPT"
    assert "secret" not in text
