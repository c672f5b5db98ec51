"""Page sizes, and page tokens that only the caller who got them can use, for the same list."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from cohortlens.core import clock
from cohortlens.core.errors import InvalidArgument, Violation
from cohortlens.core.sealing import SealBroken, Sealer, SealingKeys

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000
TOKEN_LIFE_S = 24 * 3600
_MAX_TOKEN_CHARACTERS = 2048


def page_size(requested: int) -> int:
    """Rows of a page: 50 when unset, at most 1,000.

    Raises:
        InvalidArgument: FIELD_INVALID for a negative size.
    """
    if requested < 0:
        fault = "must not be negative"
        raise InvalidArgument(f"page_size: {fault}", violations=(Violation("page_size", fault),))
    return min(requested or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


class PageTokens:
    """Makes and reads page tokens: a sealed cursor bound to tenant, method and filter, good for 24 hours.

    Args:
        kek: The installation's keys.
        clock: Current time.
    """

    def __init__(self, kek: SealingKeys, now: clock.Clock = clock.now) -> None:
        self._sealer = Sealer(kek, "page-token")
        self._now = now

    def encode_token(self, tenant_id: UUID, method: str, filters: Mapping[str, Any], cursor: Any) -> str:
        """A token for the page that starts after ``cursor``.

        Args:
            tenant_id: Tenant of the caller.
            method: Name of the list, such as ``ListCustomers``.
            filters: What the list was narrowed by; JSON values.
            cursor: Where the next page starts; a JSON value of at most about 1 KiB.
        """
        body = json.dumps({"t": int(self._now().timestamp()), "c": cursor}, separators=(",", ":"))
        sealed = self._sealer.seal(body.encode(), _context(tenant_id, method, filters))
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode("ascii")

    def decode_token(self, tenant_id: UUID, method: str, filters: Mapping[str, Any], token: str) -> Any:
        """The cursor of a token that ``encode_token`` gave for the same tenant, method and filters.

        Raises:
            InvalidArgument: PAGE_TOKEN_INVALID when it is altered, older than 24 hours or of another list.
        """
        try:
            if len(token) > _MAX_TOKEN_CHARACTERS:
                raise ValueError
            sealed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
            body = json.loads(self._sealer.open(sealed, _context(tenant_id, method, filters)))
        except (binascii.Error, ValueError, SealBroken):
            raise _invalid() from None
        if self._now().timestamp() - body["t"] > TOKEN_LIFE_S:
            raise _invalid()
        return body["c"]


def _context(tenant_id: UUID, method: str, filters: Mapping[str, Any]) -> bytes:
    canonical = json.dumps(filters, sort_keys=True, separators=(",", ":"), default=str)
    return tenant_id.bytes + hashlib.sha256(f"{method}\0{canonical}".encode()).digest()


def _invalid() -> InvalidArgument:
    fault = "is altered, over 24 hours old or from a list with another filter; start again without it"
    return InvalidArgument(
        f"page_token: {fault}", reason="PAGE_TOKEN_INVALID", violations=(Violation("page_token", fault),)
    )
