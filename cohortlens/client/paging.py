"""Lists of many pages as one stream of rows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeVar

import betterproto2

from cohortlens.client.methods import Metadata


class Page(Protocol):
    """A reply with rows and the token of the page behind it."""

    next_page_token: str


RequestT = TypeVar("RequestT", bound=betterproto2.Message)
PageT = TypeVar("PageT", bound=Page)
RowT = TypeVar("RowT")


async def iterate(
    fetch: Callable[..., Coroutine[Any, Any, PageT]],
    request: RequestT,
    rows: Callable[[PageT], Sequence[RowT]],
    timeout_s: float | None,
    metadata: Metadata,
) -> AsyncIterator[RowT]:
    """Every row from the page of ``request`` on; the next page is fetched when its first row is asked for.

    Args:
        fetch: Gives a page.
        request: The first page; its ``page_size`` holds for all of them.
        rows: The rows of a page.
        timeout_s: Deadline of each page.
        metadata: Sent with each page.

    Raises:
        ApiError: A page could not be had.
    """
    while True:
        page = await fetch(request, timeout_s=timeout_s, metadata=metadata)
        for row in rows(page):
            yield row
        if not page.next_page_token:
            return
        request = request.__copy__()
        request.page_token = page.next_page_token  # type: ignore[attr-defined]
