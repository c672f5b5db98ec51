"""What letters, templates and links become, and which addresses and settings are taken."""

from __future__ import annotations

import pytest

from cohortlens.core.errors import InvalidArgument
from cohortlens.core.ids import uuid7
from cohortlens.core.mail import Letter, Links, MailTemplates, checked_address, one_line, shown_name
from cohortlens.core.mail_settings import MailServer, mail_faults, mail_server


def test_text_and_html_hold_the_same_paragraphs_and_html_is_escaped():
    mail = Letter("S", ("a < b",), "https://x.example/?a=1&b=2", "Go <on>", "12", ("end",)).mail(
        uuid7(), "a@b.c"
    )
    assert mail.text == "a < b\n\nGo <on>:\nhttps://x.example/?a=1&b=2\n\n    12\n\nend\n\nCohortLens\n"
    assert "<p>a &lt; b</p>" in mail.html
    assert '<a href="https://x.example/?a=1&amp;b=2">Go &lt;on&gt;</a>' in mail.html
    assert "<on>" not in mail.html


def test_links_are_absolute_and_their_query_is_encoded():
    links = Links("https://app.example/")
    assert links.to("/verify", token="a b&c") == "https://app.example/verify?token=a+b%26c"
    assert links.to("/log-in") == "https://app.example/log-in"


def test_a_template_is_found_by_locale_then_language_then_english():
    templates = MailTemplates(Links("https://x.example"))
    templates.add({"hello": lambda values, links: Letter(f"Hello {values['name']}")})
    templates.add({"hello": lambda values, links: Letter("Hola")}, "es")
    subjects = [
        templates.render("hello", one, {"name": "Ada"}).subject for one in ("en", "es-MX", "de", "es")
    ]
    assert subjects == ["Hello Ada", "Hola", "Hello Ada", "Hola"]
    with pytest.raises(LookupError, match="bye"):
        templates.render("bye", "en", {})
    with pytest.raises(ValueError, match="hello"):
        templates.add({"hello": lambda values, links: Letter("again")})


def test_a_chosen_name_is_one_short_line_without_anything_to_click():
    assert one_line("a\r\nBcc: b\u2028c") == "a Bcc: b c"
    name = shown_name("Win at http://evil.example/x\n" + "!" * 100)
    assert "http://" not in name
    assert "evil.example" not in name
    assert len(name.replace("\u200c", "")) == 60


@pytest.mark.parametrize("address", ["ada@example.org", "a.b+c@ex-ample.org", "jürgen@münchen.example"])
def test_plain_addresses_are_taken(address):
    assert checked_address(address) == address


@pytest.mark.parametrize(
    "address", ["a@b\n", "a@b\r\nX: y", "a@b,c@d", "a b@c", "@b", "a@", "x" * 65 + "@b.c"]
)
def test_what_is_not_one_plain_address_is_refused(address):
    with pytest.raises(InvalidArgument):
        checked_address(address)


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example.org", MailServer("mail.example.org", 587, "starttls")),
        ("smtp://u:p%40ss@h:25", MailServer("h", 25, "starttls", "u", "p@ss")),
        ("smtps://u:p@h", MailServer("h", 465, "tls", "u", "p")),
        ("smtp://127.0.0.1:11025", MailServer("127.0.0.1", 11025, "none")),
        ("smtp://relay.internal:25?tls=off", MailServer("relay.internal", 25, "none")),
    ],
)
def test_the_url_says_how_the_server_is_spoken_to(url, server):
    assert mail_server(url) == server
    assert "p@ss" not in repr(server)


def test_production_names_each_missing_setting_and_development_none():
    given = ("", "CohortLens <no-reply@cohortlens.local>", "")
    assert mail_faults(*given, is_production=False) == []
    faults = mail_faults(*given, is_production=True)
    assert [fault.split()[0].rstrip(":") for fault in faults] == [
        "COHORTLENS_SMTP_URL",
        "COHORTLENS_MAIL_FROM",
        "COHORTLENS_PUBLIC_URL",
    ]


@pytest.mark.parametrize("sender", ["", "nobody", "A <a@b>\r\nBcc: c@d", "a@b, c@d"])
def test_a_sender_that_is_not_one_address_is_a_fault(sender):
    [fault] = mail_faults("", sender, "", is_production=False)
    assert fault.startswith("COHORTLENS_MAIL_FROM")
