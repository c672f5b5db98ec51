"""Mails of identity: in every language the same mails, each with what its reader needs."""

from __future__ import annotations

from uuid import UUID

import pytest

from cohortlens.core.mail import Links, MailTemplates
from cohortlens.identity import mails

VALUES = {"name": "Corner Shop", "token": "t" * 43, "code": "042137", "state": "on"}
NAMES = sorted(mails._ENGLISH)


@pytest.fixture
def templates():
    made = MailTemplates(Links("https://app.example/"))
    mails.add_mails(made)
    return made


def _mail(templates, template, locale="en", **changed):
    return templates.render(template, locale, VALUES | changed).mail(UUID(int=1), "ada@shop.example")


def test_every_mail_is_there_in_every_language_and_differs():
    templates_of = {name: (mails._ENGLISH[name], mails._SPANISH[name]) for name in NAMES}
    assert set(mails._SPANISH) == set(NAMES)
    assert all(english is not spanish for english, spanish in templates_of.values())


@pytest.mark.parametrize("locale", ["en", "es"])
@pytest.mark.parametrize(
    ("name", "path"),
    [
        (mails.VERIFY_EMAIL, mails.VERIFY_PATH),
        (mails.ACCOUNT_EXISTS, mails.RESET_PATH),
        (mails.RESET_PASSWORD, mails.RESET_PATH),
    ],
)
def test_links_lead_to_this_installation_with_the_token_in_text_and_html(templates, locale, name, path):
    mail = _mail(templates, name, locale)
    link = f"https://app.example{path}?token={VALUES['token']}"
    assert link in mail.text
    assert f'href="{link}"' in mail.html


@pytest.mark.parametrize("locale", ["en", "es"])
def test_the_code_stands_in_the_text_and_not_in_the_subject(templates, locale):
    mail = _mail(templates, mails.SIGN_IN_CODE, locale)
    assert "042137" in mail.text
    assert "042137" in mail.html
    assert "042137" not in mail.subject


@pytest.mark.parametrize("locale", ["en", "es"])
def test_a_name_somebody_chose_becomes_neither_a_link_nor_markup_nor_a_long_message(templates, locale):
    lure = "<b>Win</b> at https://evil.example/prize\r\nBcc: a@b.example " + "x" * 150
    mail = _mail(templates, mails.VERIFY_EMAIL, locale, name=lure)
    assert "https://evil" not in mail.text
    assert "<b>" not in mail.html
    assert "\r" not in mail.text
    assert "x" * 61 not in mail.text


@pytest.mark.parametrize("locale", ["en", "es"])
def test_a_warning_carries_no_token(templates, locale):
    for name in (mails.REFRESH_REUSED, mails.PASSWORD_CHANGED, mails.SECOND_FACTOR_CHANGED):
        assert "token=" not in _mail(templates, name, locale).text
