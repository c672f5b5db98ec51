"""The stand-in for a mail server: ``python -m cohortlens.embedded.mail`` keeps what it is sent as files.

Listens on loopback only, sends nothing on. One file per mail, ``<time>-<id>.eml``, the newest 500 are kept;
``cohortlens mail`` shows them.
"""

from __future__ import annotations

import asyncio
import logging
import re
import signal
import sys
from email.parser import BytesHeaderParser
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

from cohortlens.core import clock
from cohortlens.core.ids import uuid7
from cohortlens.core.private import make_private, write_private
from cohortlens.core.telemetry import configure_logging, get_logger
from cohortlens.embedded.ports import LOOPBACK
from cohortlens.embedded.settings import StackConfig, from_environment

KEPT = 500
MOST_BYTES = 4 * 2**20
_ID = re.compile(r"<([0-9A-Za-z-]{1,64})@")
_LOG = get_logger(__name__)


class Keeper:
    """Writes each mail into a folder and drops the oldest.

    Args:
        folder: Where; made when missing, mode 0700.
        kept: Most mails that stay.
    """

    def __init__(self, folder: Path, kept: int = KEPT) -> None:
        self._folder = folder
        self._kept = kept
        self._writing = asyncio.Lock()

    async def handle_DATA(  # noqa: N802 - the name the server calls
        self,
        server: SMTP,  # noqa: ARG002 - the server's signature
        session: Session,  # noqa: ARG002
        envelope: Envelope,
    ) -> str:
        """Keep a mail; the sender is told that it was taken only when it lies in the folder."""
        content = envelope.content
        raw = content if isinstance(content, bytes) else str(content or "").encode()
        try:
            async with self._writing:
                name = await asyncio.to_thread(self.keep, raw)
        except OSError as error:
            _LOG.error("mail_not_kept", error=error.strerror or "")
            return "451 4.3.0 the mail cannot be stored now"
        _LOG.info("mail_kept", file=name)
        return "250 2.0.0 kept"

    def keep(self, raw: bytes) -> str:
        """Write a mail, whole or not at all, then drop the oldest; answers the file's name."""
        make_private(self._folder)
        found = _ID.search(str(BytesHeaderParser().parsebytes(raw)["Message-ID"] or ""))
        stamp = clock.now().strftime("%Y%m%dT%H%M%S.%fZ")
        path = self._folder / f"{stamp}-{found[1] if found else uuid7()}.eml"
        write_private(path, raw)
        for old in sorted(self._folder.glob("*.eml"))[: -self._kept]:
            old.unlink(missing_ok=True)
        return path.name


def mail_folder(config: StackConfig) -> Path:
    """Folder of the kept mails."""
    return config.folder / "mail"


async def serve(config: StackConfig, stop: asyncio.Event) -> None:
    """Take mails on loopback until ``stop`` is set."""
    loop = asyncio.get_running_loop()
    keeper = Keeper(mail_folder(config))
    server = await loop.create_server(
        lambda: SMTP(
            keeper, data_size_limit=MOST_BYTES, enable_SMTPUTF8=True, hostname="localhost", loop=loop
        ),
        LOOPBACK,
        config.port("smtp"),
    )
    _LOG.info("ready", port=server.sockets[0].getsockname()[1])
    async with server:
        await stop.wait()


async def _run(config: StackConfig) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await serve(config, stop)


def main() -> int:
    """Run until SIGTERM or SIGINT; answers the exit status."""
    config = from_environment()
    configure_logging(config.log_level, config.log_format)
    # The library tells of every command of every session.
    logging.getLogger("mail.log").setLevel(logging.ERROR)
    asyncio.run(_run(config))
    return 0


if __name__ == "__main__":
    sys.exit(main())
