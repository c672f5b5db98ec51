"""A full disk, told the same way wherever it is met."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from cohortlens.core.errors import Unavailable


class DiskFull(Unavailable):
    """No room is left; nothing of what was to be written is kept."""

    reason = "DISK_FULL"

    def __init__(self, message: str) -> None:
        super().__init__(message, retry_delay_s=60.0)


@contextmanager
def disk_faults(message: str) -> Iterator[None]:
    """Turn the system's word for a full disk, or a used-up quota, into ``DiskFull``.

    Args:
        message: What cannot be written, and what to do.
    """
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise DiskFull(message) from error
        raise
