"""The port ``Mailer``: the same suite over SMTP against a real server, and on the fake."""

from __future__ import annotations

import asyncio
import email
import ssl
from contextlib import asynccontextmanager
from email.policy import default

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from cohortlens.adapters.email import NoMailServer, SmtpMailer, smtp_mailer
from cohortlens.core.errors import Unavailable
from cohortlens.core.ids import uuid7
from cohortlens.core.mail import Letter, Mail, MailRefused
from cohortlens.core.mail_settings import MailServer
from tests.fakes.mailer import FakeMailer
from tests.fixtures.certificates import Authority

SENDER = "Größe & Co <no-reply@shop.example>"
ANSWERS = {"gone@example.org": "550 5.1.1 no such user", "busy@example.org": "451 4.3.2 try later"}


def _mail(to="ada@example.org", subject="Confirm · bestätigen", **letter):
    letter.setdefault("opening", ("Grüße <b>&",))
    return Letter(subject, **letter).mail(uuid7(), to)


class Postbox:
    """What a real server was given."""

    def __init__(self):
        self.envelopes = []
        self.secured = []
        self.data_answer = "250 taken"

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802
        if address in ANSWERS:
            return ANSWERS[address]
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        self.envelopes.append(envelope)
        self.secured.append(session.ssl is not None)
        return self.data_answer


class Real:
    """The adapter and the server it speaks to."""

    def __init__(self, postbox, port):
        self.postbox = postbox
        self.mailer = SmtpMailer(MailServer("127.0.0.1", port, "none"), SENDER, timeout_s=2.0)

    def recipients(self):
        return [address for one in self.postbox.envelopes for address in one.rcpt_tos]


class Fake:
    def __init__(self):
        self.mailer = FakeMailer()
        self.mailer.refused = {
            "gone@example.org": MailRefused("no such user"),
            "busy@example.org": Unavailable("later", reason="MAIL_UNAVAILABLE"),
        }

    def recipients(self):
        return [mail.to for mail in self.mailer.sent]


@asynccontextmanager
async def serving(postbox, ssl_context=None, **options):
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(postbox, enable_SMTPUTF8=True, hostname="localhost", **options),
        "127.0.0.1",
        0,
        ssl=ssl_context,
    )
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


@pytest.fixture
def postbox():
    return Postbox()


@pytest.fixture(params=["smtp", "fake"])
async def carrier(request, postbox):
    if request.param == "fake":
        yield Fake()
        return
    async with serving(postbox) as port:
        yield Real(postbox, port)


@pytest.fixture
async def real(postbox):
    async with serving(postbox) as port:
        yield Real(postbox, port)


async def test_a_mail_reaches_its_one_recipient(carrier):
    await carrier.mailer.send(_mail())
    assert carrier.recipients() == ["ada@example.org"]


async def test_a_recipient_that_does_not_exist_is_refused_for_good(carrier):
    with pytest.raises(MailRefused):
        await carrier.mailer.send(_mail("gone@example.org"))
    assert carrier.recipients() == []


async def test_a_recipient_that_is_busy_is_worth_another_attempt(carrier):
    with pytest.raises(Unavailable) as later:
        await carrier.mailer.send(_mail("busy@example.org"))
    assert later.value.reason == "MAIL_UNAVAILABLE"
    assert "busy@example.org" not in str(later.value)


async def test_a_ping_sends_nothing(carrier):
    await carrier.mailer.ping()
    assert carrier.recipients() == []


def _parsed(postbox):
    return email.message_from_bytes(postbox.envelopes[-1].content, policy=default)


async def test_text_and_html_say_the_same_in_utf_8(real, postbox):
    await real.mailer.send(
        _mail(link="https://app.example/verify?a=1&b=2", link_label="Prüfen", code="123456")
    )
    message = _parsed(postbox)
    assert message["Subject"] == "Confirm · bestätigen"
    assert message["From"] == "Größe & Co <no-reply@shop.example>"
    text = message.get_body(("plain",)).get_content()
    html = message.get_body(("html",)).get_content()
    assert "Grüße <b>&" in text
    assert "https://app.example/verify?a=1&b=2" in text
    assert "123456" in text
    assert "<p>Grüße &lt;b&gt;&amp;</p>" in html
    assert 'href="https://app.example/verify?a=1&amp;b=2"' in html
    assert message["Auto-Submitted"] == "auto-generated"


async def test_a_mail_that_is_sent_twice_has_the_same_message_id_and_date(real, postbox):
    mail = _mail()
    await real.mailer.send(mail)
    await real.mailer.send(mail)
    await real.mailer.send(_mail())
    parsed = [email.message_from_bytes(one.content, policy=default) for one in postbox.envelopes]
    assert parsed[0]["Message-ID"] == parsed[1]["Message-ID"] == f"<{mail.id}@shop.example>"
    assert parsed[0]["Date"] == parsed[1]["Date"]
    assert parsed[2]["Message-ID"] != parsed[0]["Message-ID"]


@pytest.mark.parametrize(
    "subject", ["Hello\r\nBcc: eve@example.org", "Hello\nX: y", "Hello\u2028Bcc: eve@a.b"]
)
async def test_a_subject_with_a_line_break_makes_no_header(real, postbox, subject):
    await real.mailer.send(_mail(subject=subject))
    message = _parsed(postbox)
    assert message["Bcc"] is None
    assert message["X"] is None
    assert message["Subject"].startswith("Hello ")
    assert real.recipients() == ["ada@example.org"]


async def test_a_header_that_still_holds_a_line_break_is_an_error_and_nothing_is_sent(real, postbox):
    with pytest.raises(ValueError, match=r"linefeed|newline|line"):
        await real.mailer.send(Mail(uuid7(), "ada@example.org", "a\r\nBcc: eve@example.org", "t", "h"))
    assert postbox.envelopes == []


async def test_a_line_with_a_single_dot_does_not_end_the_mail(real, postbox):
    await real.mailer.send(_mail(opening=(".", "after the dot\r\n.\r\nMAIL FROM:<eve@a.b>")))
    assert len(postbox.envelopes) == 1
    assert "after the dot" in _parsed(postbox).get_body(("plain",)).get_content()


async def test_content_the_server_rejects_is_refused_and_a_full_server_is_not(real, postbox):
    postbox.data_answer = "554 5.7.1 looks like spam"
    with pytest.raises(MailRefused):
        await real.mailer.send(_mail())
    postbox.data_answer = "452 4.3.1 disk full"
    with pytest.raises(Unavailable):
        await real.mailer.send(_mail())


async def test_a_server_that_is_away_hangs_or_hangs_up_is_unavailable_within_the_bound(unused_tcp_port):
    async def hang(reader, writer):
        await reader.read()
        writer.close()

    async def hang_up(reader, writer):
        writer.close()

    away = MailServer("127.0.0.1", unused_tcp_port, "none")
    for serve in (None, hang, hang_up):
        server = await asyncio.start_server(serve, "127.0.0.1", unused_tcp_port) if serve else None
        with pytest.raises(Unavailable):
            await asyncio.wait_for(SmtpMailer(away, SENDER, timeout_s=0.3).send(_mail()), 5)
        if server is not None:
            server.close()


async def test_a_farewell_that_fails_does_not_make_the_mail_be_sent_again(postbox):
    class Rude(Postbox):
        async def handle_QUIT(self, server, session, envelope):  # noqa: N802
            server.transport.abort()
            return "221 bye"

    rude = Rude()
    async with serving(rude) as port:
        await SmtpMailer(MailServer("127.0.0.1", port, "none"), SENDER, timeout_s=2.0).send(_mail())
    assert len(rude.envelopes) == 1


@pytest.fixture
def secured(tmp_path):
    """Contexts of a server and of a client that trusts it."""
    authority = Authority(tmp_path, "authority")
    issued = authority.issue("localhost")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(issued.certificate, issued.key)
    return server, ssl.create_default_context(cafile=str(authority.path))


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_tls_is_spoken_and_the_certificate_is_checked(postbox, secured, security):
    server, client = secured
    at_once = security == "tls"
    options = {} if at_once else {"tls_context": server, "require_starttls": True}
    async with serving(postbox, ssl_context=server if at_once else None, **options) as port:
        address = MailServer("localhost", port, security)
        await SmtpMailer(address, SENDER, tls=client, timeout_s=3.0).send(_mail())
        with pytest.raises(Unavailable):
            await SmtpMailer(address, SENDER, timeout_s=3.0).send(_mail())
    assert len(postbox.envelopes) == 1
    assert postbox.secured == [True] or at_once


async def test_a_server_without_starttls_gets_neither_mail_nor_password(postbox):
    asked = []

    def authenticate(server, session, envelope, mechanism, data):
        asked.append(data)
        return AuthResult(success=True)

    options = {"authenticator": authenticate, "auth_require_tls": False}
    async with serving(postbox, **options) as port:
        mailer = SmtpMailer(
            MailServer("127.0.0.1", port, "starttls", "user", "secret"), SENDER, timeout_s=2.0
        )
        with pytest.raises(Unavailable):
            await mailer.send(_mail())
    assert (asked, postbox.envelopes) == ([], [])


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
async def test_a_wrong_password_keeps_the_mail_for_later_and_stays_out_of_the_error(postbox):
    asked = []

    def authenticate(server, session, envelope, mechanism, data):
        assert isinstance(data, LoginPassword)
        asked.append(data.password)
        return (
            AuthResult(success=True)
            if data.password == b"right"
            else AuthResult(success=False, handled=False)
        )

    options = {"authenticator": authenticate, "auth_require_tls": False, "auth_required": True}
    async with serving(postbox, **options) as port:
        for password in ("wr0ng", "right"):
            mailer = SmtpMailer(
                MailServer("127.0.0.1", port, "none", "user", password), SENDER, timeout_s=2.0
            )
            if password == "right":
                await mailer.send(_mail())
                continue
            with pytest.raises(Unavailable) as refused:
                await mailer.send(_mail())
            assert password not in str(refused.value)
            with pytest.raises(Unavailable):
                await mailer.ping()
    assert (set(asked[:-1]), asked[-1]) == ({b"wr0ng"}, b"right")
    assert len(postbox.envelopes) == 1


async def test_without_a_server_mails_wait_and_the_setting_is_named():
    mailer = smtp_mailer("", SENDER)
    assert isinstance(mailer, NoMailServer)
    with pytest.raises(Unavailable, match="COHORTLENS_SMTP_URL"):
        await mailer.send(_mail())
