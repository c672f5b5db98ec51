"""Lists of one servicer after another: read a token, cut one row too many off, make the next token."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from cohortlens.core.context import RequestContext
from cohortlens.core.paging import PageTokens, page_size

RowT = TypeVar("RowT")


async def read_page(
    tokens: PageTokens,
    ctx: RequestContext,
    method: str,
    filters: Mapping[str, Any],
    request: Any,
    read: Callable[[Any, int], Awaitable[list[RowT]]],
    cursor_of: Callable[[RowT], Any],
) -> tuple[list[RowT], str]:
    """One page and the token of the next, empty on the last page.

    Args:
        tokens: Seals cursors.
        ctx: The request; its tenant is part of the seal.
        method: Name of the list.
        filters: What the list was narrowed by.
        request: Message with ``page_size`` and ``page_token``.
        read: Reads rows behind a cursor (None for the first page), at most so many.
        cursor_of: The cursor behind a row; a JSON value.

    Raises:
        InvalidArgument: PAGE_TOKEN_INVALID.
    """
    limit, cursor = page_size(request.page_size), None
    if request.page_token:
        cursor = tokens.decode_token(ctx.tenant_id, method, filters, request.page_token)
    rows = await read(cursor, limit + 1)
    following = ""
    if len(rows) > limit:
        rows = rows[:limit]
        following = tokens.encode_token(ctx.tenant_id, method, filters, cursor_of(rows[-1]))
    return rows, following
