"""The queue of mails: sealed, sent if and only if the change commits, content gone once sent."""

from __future__ import annotations

import json

import pytest

from cohortlens.core import outbox
from cohortlens.core.errors import InvalidArgument, Unavailable
from cohortlens.core.ids import TenantId
from cohortlens.core.mail import MAIL_PURPOSE, MAIL_REQUESTED, Letter, Links, MailQueue, MailTemplates
from cohortlens.core.mail_delivery import MailDelivery, purge_mails
from cohortlens.core.sealing import SealBroken, Sealer
from tests.fakes.mailer import FakeMailer

TOKEN = "s3cret-token"


@pytest.fixture
def sealer():
    return Sealer(b"k" * 32, MAIL_PURPOSE)


@pytest.fixture
def mailer():
    return FakeMailer()


@pytest.fixture
def delivery(database, sealer, mailer):
    templates = MailTemplates(Links("https://app.example/"))
    templates.add(
        {"verify": lambda values, links: Letter("Hello", link=links.to("/verify", token=values["token"]))}
    )
    return MailDelivery(database, sealer, templates, mailer)


@pytest.fixture
def put(database, tenants, sealer):
    async def queue(to="ada@example.org", template="verify", tenant=0):
        async with database.tenant_transaction(tenants[tenant].tenant_id) as tx:
            return await MailQueue(tx, sealer).put(to, template, {"token": TOKEN})

    return queue


async def test_a_queued_mail_has_an_event_and_neither_holds_its_recipient_or_token(
    put, tenants, database, superuser
):
    mail_id = await put()
    [event] = await outbox.claim(database, "w", [outbox.Wanted(MAIL_REQUESTED, 5)])
    assert event.payload == {"mail_id": str(mail_id)}
    assert event.tenant_id == tenants[0].tenant_id
    row = dict(await superuser.fetchrow("SELECT * FROM mails"))
    assert b"ada@example.org" not in row["sealed"]
    assert TOKEN.encode() not in row["sealed"]
    assert "ada" not in json.dumps({**row, "sealed": ""}, default=str) + json.dumps(event.payload)


async def test_a_rolled_back_mail_is_never_sent(database, tenants, sealer, superuser):
    async def fail():
        async with database.tenant_transaction(tenants[0].tenant_id) as tx:
            await MailQueue(tx, sealer).put("ada@example.org", "verify", {"token": TOKEN})
            raise ValueError("halt")

    with pytest.raises(ValueError, match="halt"):
        await fail()
    assert (
        await superuser.fetchval("SELECT (SELECT count(*) FROM mails) + (SELECT count(*) FROM outbox)") == 0
    )


async def test_a_sent_mail_carries_the_link_and_its_content_is_deleted(
    put, delivery, tenants, mailer, superuser
):
    mail_id = await put()
    await delivery.send(tenants[0].tenant_id, mail_id)
    [mail] = mailer.sent
    assert (mail.id, mail.to) == (mail_id, "ada@example.org")
    assert f"https://app.example/verify?token={TOKEN}" in mail.text
    assert tuple(await superuser.fetchrow("SELECT state, sealed FROM mails")) == ("SENT", None)
    await delivery.send(tenants[0].tenant_id, mail_id)
    assert len(mailer.sent) == 1


async def test_a_mail_that_was_not_sent_stays_and_can_be_sent_later(
    put, delivery, tenants, mailer, superuser
):
    mail_id, tenant_id = await put(), tenants[0].tenant_id
    mailer.fault = Unavailable("down", reason="MAIL_UNAVAILABLE")
    with pytest.raises(Unavailable):
        await delivery.send(tenant_id, mail_id)
    await delivery.give_up(tenant_id, mail_id)
    assert await superuser.fetchval("SELECT state FROM mails") == "FAILED"
    mailer.fault = None
    await delivery.send(tenant_id, mail_id)
    assert await superuser.fetchval("SELECT state FROM mails") == "SENT"


async def test_a_mail_of_another_tenant_is_not_found(put, delivery, tenants, mailer):
    mail_id = await put()
    await delivery.send(tenants[1].tenant_id, mail_id)
    assert mailer.sent == []


async def test_a_seal_moved_to_another_row_does_not_open(put, delivery, tenants, mailer, superuser):
    first, second = await put(), await put("eve@example.org")
    await superuser.execute(
        "UPDATE mails SET sealed = (SELECT sealed FROM mails WHERE id = $1) WHERE id = $2", first, second
    )
    with pytest.raises(SealBroken):
        await delivery.send(tenants[0].tenant_id, second)
    assert mailer.sent == []


async def test_an_unknown_template_is_an_error_and_sends_nothing(put, delivery, tenants, mailer):
    mail_id = await put(template="nonsense")
    with pytest.raises(LookupError, match="nonsense"):
        await delivery.send(TenantId(tenants[0].tenant_id), mail_id)
    assert mailer.sent == []


@pytest.mark.parametrize(
    "to",
    [
        "",
        "ada",
        "ada@example.org\r\nBcc: eve@example.org",
        "a@b.c, d@e.f",
        "<a@b.c>",
        "a b@c.d",
        '"a"@b.c',
        "a@b@c",
    ],
)
async def test_an_address_that_could_add_a_header_or_a_recipient_is_refused(put, to, superuser):
    with pytest.raises(InvalidArgument) as refused:
        await put(to)
    assert refused.value.violations[0].field == "email"
    assert await superuser.fetchval("SELECT count(*) FROM mails") == 0


async def test_old_mails_are_purged_and_young_ones_stay(put, database, superuser):
    old, young = await put(), await put()
    await superuser.execute(
        "UPDATE mails SET created_at = created_at - interval '31 days' WHERE id = $1", old
    )
    assert await purge_mails(database) == 1
    assert await superuser.fetchval("SELECT id FROM mails") == young
