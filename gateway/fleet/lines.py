"""Log lines of several processes on one stream: whole lines, each with its process."""

from __future__ import annotations

import io
import logging
import os
import stat

_PIPE_ATOMIC = 4096
_UNBOUNDED = 2**30


class WholeLines(io.TextIOBase):
    """A stream that never mixes a line with another process's, and adds the process to lines of JSON.

    Each write goes to the kernel as it is: in one piece to a file, in pieces of whole lines to a pipe, which
    takes up to 4,096 bytes at once. A longer line may be mixed in a pipe.

    Args:
        handle: File descriptor to write to.
        process: Slot of this process.
    """

    def __init__(self, handle: int, process: int) -> None:
        super().__init__()
        self._handle = handle
        self._opening = f'\n{{"process":{process},'
        self._most = _UNBOUNDED if stat.S_ISREG(os.fstat(handle).st_mode) else _PIPE_ATOMIC

    def write(self, text: str) -> int:
        """Write whole lines; returns the number of characters given."""
        # Control characters in a line are escaped, so a bracket after a line's end opens an object.
        data = f"\n{text}".replace("\n{", self._opening)[1:].encode()
        while data:
            data = data[os.write(self._handle, data[: self._piece(data)]) :]
        return len(text)

    def _piece(self, data: bytes) -> int:
        if len(data) <= self._most:
            return len(data)
        whole = data.rfind(b"\n", 0, self._most) + 1 or data.find(b"\n") + 1
        return whole or len(data)


class ProcessFilter(logging.Filter):
    """Adds the process to every record, for lines that are not JSON.

    Args:
        process: Slot of this process.
    """

    def __init__(self, process: int) -> None:
        super().__init__()
        self._process = process

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the record, with its process."""
        record.fields = {"process": self._process, **getattr(record, "fields", {})}
        return True
