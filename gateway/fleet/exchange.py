"""How the processes of one gateway show one page of metrics: each answers on a private Unix socket.

What a process counted must not vanish with it, or the sums would fall and every rate over them jump. So
whoever asks keeps what the others answered, and the parent adds a dead process's last page to those of the
ended. A page is kept and folded under one lock: nothing is counted twice, and no sum ever falls.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from cohortlens.core.telemetry import get_logger
from gateway.fleet.series import merged

_LOG = get_logger(__name__)
_ANSWER_S = 1.0
_LOCK_S = 2.0
_TRY_S = 0.01
_ENDED = "ended"


class SharedSeries:
    """The series of this process for the others, and those of all for whoever asks this one.

    Args:
        folder: Folder that all processes of the gateway share.
        own: Writes the page of this process.
        name: Name of this process among them: its pid.
    """

    def __init__(self, folder: Path, own: Callable[[], bytes], name: str = "") -> None:
        self._folder = folder
        self._own = own
        self._name = name or str(os.getpid())
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Answer the other processes."""
        self._server = await asyncio.start_unix_server(self._answer, self._socket(self._name))

    async def stop(self) -> None:
        """Answer no more; leave the last page to the parent."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._socket(self._name).unlink(missing_ok=True)
        _write(self._folder / f"{self._name}.page", self._own().decode())

    async def page(self) -> bytes:
        """The page of all processes; of one that does not answer in time, what it last told."""
        async with asyncio.timeout(_LOCK_S):
            while (lock := _lock(self._folder)) is None:  # noqa: ASYNC110 - another process holds it
                await asyncio.sleep(_TRY_S)
        try:
            return await self._collected()
        finally:
            os.close(lock)

    async def _collected(self) -> bytes:
        others = [one.stem for one in self._folder.glob("*.sock") if one.stem != self._name]
        answers = await asyncio.gather(*(self._ask(one) for one in others))
        pages = {self._name: self._own().decode()}
        pages |= {name: text for name, text in zip(others, answers, strict=True) if text}
        # In a thread: the texts are long, and calls under way must not wait for them.
        return await asyncio.to_thread(self._keep_and_merge, pages)

    def _keep_and_merge(self, pages: dict[str, str]) -> bytes:
        for name, text in pages.items():
            _write(self._folder / f"{name}.page", text)
        kept = [one for one in self._folder.glob("*.page") if one.stem not in pages]
        return merged(pages.values(), map(_read, [self._folder / _ENDED, *kept])).encode()

    def _socket(self, name: str) -> Path:
        return self._folder / f"{name}.sock"

    async def _ask(self, name: str) -> str:
        try:
            async with asyncio.timeout(_ANSWER_S):
                reader, writer = await asyncio.open_unix_connection(self._socket(name))
                try:
                    return (await reader.read()).decode()
                finally:
                    writer.close()
        except (OSError, TimeoutError) as error:
            _LOG.warning("series_missing", process_id=name, error=repr(error))
            return ""

    async def _answer(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            writer.write(self._own())
            await writer.drain()
        writer.close()


def fold(folder: Path, name: str) -> bool:
    """Add the last page of a process that ended to those of the ended.

    Returns:
        False when a process collects pages at this moment: try again.
    """
    lock = _lock(folder)
    if lock is None:
        return False
    try:
        page, ended = folder / f"{name}.page", folder / _ENDED
        if page.exists():
            _write(ended, merged((), (_read(ended), _read(page))))
        page.unlink(missing_ok=True)
        (folder / f"{name}.sock").unlink(missing_ok=True)
        return True
    finally:
        os.close(lock)


def _lock(folder: Path) -> int | None:
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle


def _write(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
