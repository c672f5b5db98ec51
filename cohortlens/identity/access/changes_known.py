"""The changes of access that a living token can still run into, as a process keeps them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from cohortlens.identity.access.changes import Change, UserChange

_FORGET_EVERY_S = 30.0


@dataclass(slots=True)
class UserVersions:
    """What of a user's rights in a tenant changed.

    Attributes:
        ver: Tokens with an older version are refused.
        revoked_ver: Those with an older one than this need a new log-in.
        kept: Session that needs a refresh only.
        forget_at: Monotonic time after which no token can run into it.
    """

    ver: int = 0
    revoked_ver: int = 0
    kept: UUID | None = None
    forget_at: float = 0.0


class KnownChanges:
    """Ended subjects, and versions of users and tenants.

    Attributes:
        ended: Monotonic time to forget it, by session, API key, service account or token.
    """

    def __init__(self) -> None:
        self.ended: dict[UUID, float] = {}
        self._users: dict[tuple[UUID, UUID], UserVersions] = {}
        self._tenants: dict[UUID, tuple[int, float]] = {}
        self._forget_next = 0.0

    def tver(self, tenant_id: UUID) -> int:
        """Tokens with an older version of the tenant's state are refused; 0 when it did not change."""
        found = self._tenants.get(tenant_id)
        return 0 if found is None else found[0]

    def of_user(self, tenant_id: UUID, user_id: UUID) -> UserVersions | None:
        """What changed of a user in a tenant."""
        return self._users.get((tenant_id, user_id))

    def learn(self, changes: Iterable[Change], now: float, window_s: float) -> bool:
        """Take in changes, in any order and any number of times, and forget what is over.

        Args:
            changes: What was read.
            now: Monotonic time of the reading.
            window_s: Seconds for which a change matters.

        Returns:
            Whether there was any.
        """
        is_any = False
        for change in changes:
            is_any = True
            forget_at = now + window_s - change.age_s
            if change.kind == "ENDED":
                self.ended[change.subject] = forget_at
            elif change.kind == "TENANT":
                before = self._tenants.get(change.subject, (0, 0.0))
                self._tenants[change.subject] = max(before, (change.ver, forget_at))
            else:
                self._learn_user(change, forget_at)
        if now >= self._forget_next:
            self._forget(now)
        return is_any

    def _learn_user(self, change: Change, forget_at: float) -> None:
        versions = self._users.setdefault((change.tenant_id, change.subject), UserVersions())
        versions.ver = max(versions.ver, change.ver)
        versions.forget_at = max(versions.forget_at, forget_at)
        if change.cause != UserChange.ROLE and change.ver > versions.revoked_ver:
            versions.revoked_ver, versions.kept = change.ver, change.kept

    def _forget(self, now: float) -> None:
        self._forget_next = now + _FORGET_EVERY_S
        self.ended = {subject: at for subject, at in self.ended.items() if at > now}
        self._tenants = {tenant: known for tenant, known in self._tenants.items() if known[1] > now}
        self._users = {user: known for user, known in self._users.items() if known.forget_at > now}
