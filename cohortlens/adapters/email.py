"""The port ``Mailer`` over SMTP: a connection per mail, bounded in time, and lasting faults told apart."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime, parseaddr
from uuid import UUID

import aiosmtplib

from cohortlens.core.errors import Unavailable
from cohortlens.core.mail import Mail, Mailer, MailRefused
from cohortlens.core.mail_settings import MailServer, mail_server

TIMEOUT_S = 15.0
PING_TIMEOUT_S = 3.0
_MAIL_FAULTS = (
    aiosmtplib.SMTPRecipientRefused,
    aiosmtplib.SMTPRecipientsRefused,
    aiosmtplib.SMTPDataError,
)
_AUTHENTICATION_NEEDED = frozenset({530, 534, 535, 538})
_LEAST_PERMANENT = 500


class SmtpMailer:
    """Sends mails through one server.

    Args:
        server: Where and how.
        sender: ``Name <address>`` of the header From; the address is the envelope's sender too.
        tls: Checks the server's certificate; the system's authorities when omitted.
        timeout_s: Bound of the connection and of every answer.
    """

    def __init__(
        self,
        server: MailServer,
        sender: str,
        *,
        tls: ssl.SSLContext | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._server = server
        name, self._address = parseaddr(sender)
        self._from = Address(name, addr_spec=self._address)
        self._tls = tls
        self._timeout_s = timeout_s

    async def send(self, mail: Mail) -> None:
        """Hand the mail over; see ``Mailer.send``."""
        message = self.message(mail)
        try:
            async with self._connected(self._timeout_s) as client:
                await client.send_message(message, sender=self._address, recipients=[mail.to])
        except aiosmtplib.SMTPNotSupported as error:
            raise MailRefused("the mail server cannot carry an address beyond ASCII") from error
        except _MAIL_FAULTS as error:
            if _is_permanent(error):
                raise MailRefused(f"the mail server refused the mail: {_codes(error)}") from error
            raise _unavailable(error) from error
        except (aiosmtplib.SMTPException, OSError) as error:
            raise _unavailable(error) from error

    async def ping(self) -> None:
        """Raise Unavailable unless the server greets, speaks TLS and takes the password."""
        try:
            async with self._connected(PING_TIMEOUT_S):
                pass
        except (aiosmtplib.SMTPException, OSError) as error:
            raise _unavailable(error) from error

    def message(self, mail: Mail) -> EmailMessage:
        """The message of a mail, the same each time but for its MIME boundary.

        Raises:
            ValueError: A header would hold a line break.
        """
        message = EmailMessage(policy=SMTP_POLICY)
        message["From"] = self._from
        message["To"] = mail.to
        message["Subject"] = mail.subject
        message["Date"] = format_datetime(_made_at(mail.id))
        # One id per mail: a reader's program shows a mail that was sent twice once.
        message["Message-ID"] = f"<{mail.id}@{self._from.domain}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(mail.text, cte="quoted-printable")
        message.add_alternative(mail.html, subtype="html", cte="quoted-printable")
        return message

    @contextlib.asynccontextmanager
    async def _connected(self, timeout_s: float) -> AsyncIterator[aiosmtplib.SMTP]:
        server = self._server
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.username or None,
            password=server.password or None,
            # Its own default asks DNS, which may hang.
            local_hostname=socket.gethostname(),
            timeout=timeout_s,
            use_tls=server.security == "tls",
            start_tls=server.security == "starttls",
            tls_context=self._tls if server.security != "none" else None,
        )
        await client.connect()
        try:
            yield client
            # The mail is taken by now; a farewell that fails must not make it be sent again.
            with contextlib.suppress(aiosmtplib.SMTPException, OSError):
                await client.quit()
        finally:
            client.close()


class NoMailServer:
    """The port where no server is given: says so, so that the mails wait and the operator learns of it."""

    async def send(self, mail: Mail) -> None:  # noqa: ARG002 - the port's signature
        """Raise Unavailable."""
        await self.ping()

    async def ping(self) -> None:
        """Raise Unavailable."""
        raise Unavailable("no mail server is set: COHORTLENS_SMTP_URL", reason="MAIL_UNAVAILABLE")


def smtp_mailer(url: str, sender: str) -> Mailer:
    """The mailer that the settings ask for.

    Args:
        url: ``COHORTLENS_SMTP_URL``; may be empty.
        sender: ``COHORTLENS_MAIL_FROM``.

    Raises:
        ValueError: The URL cannot be used.
    """
    return SmtpMailer(mail_server(url), sender) if url else NoMailServer()


def _made_at(mail_id: UUID) -> datetime:
    """The time inside a UUIDv7, so that a repeated mail keeps its date."""
    return datetime.fromtimestamp(int.from_bytes(mail_id.bytes[:6], "big") / 1000, UTC)


def _is_permanent(error: aiosmtplib.SMTPException) -> bool:
    # A missing or wrong password is a fault of the settings: the mail waits until somebody mends them.
    codes = _replies(error)
    return bool(codes) and all(c >= _LEAST_PERMANENT and c not in _AUTHENTICATION_NEEDED for c in codes)


def _replies(error: BaseException) -> list[int]:
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        return [one.code for one in error.recipients]
    return [error.code] if isinstance(error, aiosmtplib.SMTPResponseException) else []


def _codes(error: BaseException) -> str:
    return ", ".join(map(str, _replies(error))) or type(error).__name__


def _unavailable(error: BaseException) -> Unavailable:
    # The server's own words may hold the recipient's address, which must not reach logs and tables.
    return Unavailable(
        f"the mail server does not take mail now ({_codes(error)})",
        reason="MAIL_UNAVAILABLE",
        retry_delay_s=30.0,
    )
