"""Keys of Redis that name a person, such as the rate of the calls they make by a link of theirs.

Redis holds no data of persons, only counters and signals; a key may carry an identifier in its name.
"""

from __future__ import annotations

from cohortlens.core.ids import TenantId
from cohortlens.core.personal_data import Rows, Subject
from cohortlens.core.redis import PREFIX, RedisClient, translated

_SCAN = 1000


class RedisStore:
    """The keys of this installation.

    Args:
        redis: The client.
    """

    name = "redis"
    tables: tuple[str, ...] = ()
    is_provided = False

    def __init__(self, redis: RedisClient) -> None:
        self._redis = redis

    async def count(self, tenant_id: TenantId, subject: Subject) -> int:  # noqa: ARG002 - as every store
        """Keys whose names carry an identifier of the person."""
        return len(await self._keys(subject))

    async def export(self, tenant_id: TenantId, subject: Subject) -> dict[str, Rows]:  # noqa: ARG002
        """Nothing: counters of calls say nothing about the person."""
        return {}

    async def erase(self, tenant_id: TenantId, subject: Subject) -> None:  # noqa: ARG002 - as every store
        """Delete those keys."""
        keys = await self._keys(subject)
        if keys:
            with translated():
                await self._redis.delete(*keys)

    async def _keys(self, subject: Subject) -> list[bytes]:
        found: list[bytes] = []
        ids = [one for one in (subject.identity_id, subject.customer_id) if one is not None]
        with translated():
            for one in ids:
                keys = self._redis.scan_iter(match=f"{PREFIX}*{one}*", count=_SCAN)
                found.extend([key async for key in keys])
        return found
