"""The last good copy of public documents, for the time in which the sidecar does not answer."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable

from cohortlens.consent.web3_models import PublishedDocument
from cohortlens.core import clock
from cohortlens.core.errors import Unavailable

_KEPT = 1_000


class Documents:
    """Reads public documents and keeps the last copy of each.

    A verifier who asks for a status list must not be told that nothing is known because a process restarts;
    a copy is given until its own ``validUntil``, never longer.

    Args:
        now: The clock.
    """

    def __init__(self, now: clock.Clock = clock.now) -> None:
        self._now = now
        self._kept: OrderedDict[str, PublishedDocument] = OrderedDict()

    async def read(self, key: str, ask: Callable[[], Awaitable[PublishedDocument]]) -> PublishedDocument:
        """A document, asked for; the kept copy where nobody answers.

        Raises:
            NotFound: There is no such document.
            Unavailable: Nobody answers, and no copy is kept that may still be given.
        """
        try:
            found = await ask()
        except Unavailable:
            kept = self._kept.get(key)
            if kept is None or (kept.valid_until is not None and kept.valid_until <= self._now()):
                raise
            return kept
        self._kept[key] = found
        self._kept.move_to_end(key)
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return found
