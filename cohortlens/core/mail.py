"""Mails: stored sealed with the change that causes them, rendered and handed to a server later by jobs.

A slice puts a mail into the queue inside its own transaction, by the name of a template. The templates are
functions that give a ``Letter``; the port ``Mailer`` carries the rendered ``Mail``.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias
from urllib.parse import urlencode
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cohortlens.core.errors import FailedPrecondition, InvalidArgument, Violation
from cohortlens.core.ids import uuid7
from cohortlens.core.outbox import Outbox

MAIL_REQUESTED = "mail.requested"
MAIL_PURPOSE = "mail"
"""Purpose of the sealer that keeps recipients and values unreadable at rest."""
DEFAULT_LOCALE = "en"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
# Quoted local parts are legal and nobody's; refusing them closes every road to a second header or recipient.
_ADDRESS = re.compile(
    r"[^\s\x00-\x20\x7f-\x9f<>()\[\]\\,;:\"@]{1,64}@[^\s\x00-\x20\x7f-\x9f<>()\\,;:\"@]{1,255}"
)
_NAME_CHARACTERS = 60


class MailSealer(Protocol):
    """What seals a mail's recipient and values; ``cohortlens.core.sealing.Sealer``."""

    def seal(self, plaintext: bytes, context: bytes) -> bytes:
        """Seal ``plaintext`` bound to ``context``."""

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """The plaintext of what was sealed for the same context."""


@dataclass(frozen=True)
class Mail:
    """A mail ready to be sent.

    Attributes:
        id: Identifier; the same in every attempt.
        to: Address of the one recipient.
        subject: One line.
        text: Plain text.
        html: The same as HTML.
    """

    id: UUID
    to: str
    subject: str
    text: str
    html: str


class Mailer(Protocol):
    """Carries mails away; may carry one twice, with the same Message-ID."""

    async def send(self, mail: Mail) -> None:
        """Hand the mail over.

        Raises:
            MailRefused: It will never be taken; trying again cannot help.
            Unavailable: MAIL_UNAVAILABLE: the server cannot be reached or refuses for now.
        """

    async def ping(self) -> None:
        """Raise Unavailable (MAIL_UNAVAILABLE) unless a mail could be handed over now."""


class MailRefused(FailedPrecondition):
    """The server refused the mail for good, such as an address that does not exist."""

    reason = "MAIL_REFUSED"


class Links:
    """Makes links to pages of this installation.

    Args:
        public_url: Where people reach it, such as ``https://app.example``.
    """

    def __init__(self, public_url: str) -> None:
        self._base = public_url.rstrip("/")

    def to(self, path: str, **query: str) -> str:
        """The absolute address of ``path``, which starts with a slash, with a query."""
        return f"{self._base}{path}" + (f"?{urlencode(query)}" if query else "")


@dataclass(frozen=True)
class Letter:
    """What a template says; text and HTML are made from it, so they cannot differ.

    Attributes:
        subject: One line; control characters become spaces.
        opening: Paragraphs before link and code.
        link: Address of the one thing to do, if there is one.
        link_label: Words on that link.
        code: A code to type somewhere, if there is one.
        closing: Paragraphs after link and code.
    """

    subject: str
    opening: tuple[str, ...] = ()
    link: str = ""
    link_label: str = "Open"
    code: str = ""
    closing: tuple[str, ...] = ()

    def mail(self, mail_id: UUID, to: str) -> Mail:
        """The mail to one recipient."""
        return Mail(mail_id, to, one_line(self.subject), self._text(), self._html())

    def _text(self) -> str:
        blocks = [*self.opening]
        if self.link:
            blocks.append(f"{self.link_label}:\n{self.link}")
        if self.code:
            blocks.append(f"    {self.code}")
        return "\n\n".join([*blocks, *self.closing, "CohortLens"]) + "\n"

    def _html(self) -> str:
        blocks = [_paragraph(part) for part in self.opening]
        if self.link:
            address = html.escape(self.link, quote=True)
            blocks.append(f'<p><a href="{address}">{html.escape(self.link_label)}</a></p><p>{address}</p>')
        if self.code:
            blocks.append(f'<p style="font-family:monospace;font-size:150%">{html.escape(self.code)}</p>')
        blocks += [_paragraph(part) for part in (*self.closing, "CohortLens")]
        head = (
            f'<!doctype html><html><head><meta charset="utf-8"><title>{html.escape(one_line(self.subject))}'
        )
        return f"{head}</title></head><body>{''.join(blocks)}</body></html>\n"


Template: TypeAlias = Callable[[Mapping[str, str], Links], Letter]


class MailTemplates:
    """Templates by name and locale.

    Args:
        links: Given to each template.
    """

    def __init__(self, links: Links) -> None:
        self._links = links
        self._templates: dict[tuple[str, str], Template] = {}

    def add(self, templates: Mapping[str, Template], locale: str = DEFAULT_LOCALE) -> None:
        """Register templates by name.

        Raises:
            ValueError: A name is taken in this locale.
        """
        for name, template in templates.items():
            if (name, locale) in self._templates:
                raise ValueError(f"the mail template {name} is registered twice for {locale}")
            self._templates[name, locale] = template

    def render(self, name: str, locale: str, values: Mapping[str, str]) -> Letter:
        """The letter in the locale, else in its language, else in English.

        Raises:
            LookupError: No such template.
        """
        for candidate in (locale, locale.partition("-")[0], DEFAULT_LOCALE):
            if (template := self._templates.get((name, candidate))) is not None:
                return template(values, self._links)
        raise LookupError(f"no mail template is called {name}")


class MailQueue:
    """Puts mails into the queue inside the caller's tenant transaction.

    Args:
        tx: A connection inside ``Database.tenant_transaction``; of the platform for mails to somebody
            who belongs to no tenant.
        sealer: Seals recipient and values; purpose ``MAIL_PURPOSE``.
    """

    def __init__(self, tx: AsyncConnection, sealer: MailSealer) -> None:
        self._tx = tx
        self._sealer = sealer

    async def put(
        self, to: str, template: str, values: Mapping[str, str], locale: str = DEFAULT_LOCALE
    ) -> UUID:
        """Store a mail; it is sent if and only if the transaction commits.

        Args:
            to: Address of the one recipient.
            template: Name of a registered template.
            values: What the template needs, tokens included; deleted once the mail is sent.
            locale: Language of the recipient, such as ``en``.

        Returns:
            The mail's id.

        Raises:
            InvalidArgument: ``to`` is not one address.
        """
        address, mail_id = checked_address(to), uuid7()
        tenant_id = UUID(int=(await self._tx.scalar(text("SELECT app.tid()"))).int)
        content = json.dumps({"to": address, "values": dict(values)}).encode()
        await self._tx.execute(
            text(
                "INSERT INTO mails (id, template, locale, sealed) VALUES (:id, :template, :locale, :sealed)"
            ),
            {
                "id": mail_id,
                "template": template,
                "locale": locale,
                "sealed": self._sealer.seal(content, seal_context(tenant_id, mail_id)),
            },
        )
        # A key of its own: a mail that cannot be sent must not hold up another.
        await Outbox(self._tx).record(MAIL_REQUESTED, f"mail:{mail_id}", {"mail_id": str(mail_id)})
        return mail_id


def seal_context(tenant_id: UUID, mail_id: UUID) -> bytes:
    """What a mail's seal is bound to, so that it opens in no other row."""
    return b"mails.sealed" + tenant_id.bytes + mail_id.bytes


def checked_address(to: str) -> str:
    """``to`` if it is one plain address.

    Raises:
        InvalidArgument: It is not, such as one with a line break or a second recipient.
    """
    if _ADDRESS.fullmatch(to) is None:
        fault = Violation("email", "expected one address such as ada@example.org")
        raise InvalidArgument("the e-mail address cannot be used", violations=(fault,))
    return to


def one_line(value: str) -> str:
    """``value`` without control characters and line breaks, as a header may hold it."""
    return _CONTROL.sub(" ", value).strip()


def shown_name(value: str) -> str:
    """A name somebody chose, as a letter may hold it: one short line that no mail program makes a link of."""
    short = one_line(value)[:_NAME_CHARACTERS]
    return re.sub(r"([.:/@])(?=\S)", "\\1\u200c", short)


def _paragraph(part: str) -> str:
    return f"<p>{html.escape(part)}</p>"
