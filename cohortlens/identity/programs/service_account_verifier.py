"""Proves that a program is the service account it claims to be: by an assertion or by its certificate."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from cohortlens.core.clock import Clock, now
from cohortlens.core.context import Principal, PrincipalKind
from cohortlens.core.db import Database
from cohortlens.core.errors import Unauthenticated
from cohortlens.core.ids import SessionId, TenantId
from cohortlens.identity.access.revocations import Revocations
from cohortlens.identity.programs import client_assertions
from cohortlens.identity.programs.certificates import certificate
from cohortlens.identity.programs.client_assertions import Assertion
from cohortlens.identity.programs.service_account_rows import AccountState, ServiceAccountRows, account_state
from cohortlens.identity.programs.use import ProgramUse, Refusal

CACHED_S = 30.0
_CACHE_ENTRIES = 5_000


@dataclass(frozen=True)
class ServiceAccount:
    """A service account that has proven itself.

    Attributes:
        tenant_id: Its tenant.
        account_id: The account.
        scopes: What it may do, sorted.
        audiences: Values of ``aud`` it may ask for in tokens.
        tver: Version of its tenant's state, for its tokens.
    """

    tenant_id: TenantId
    account_id: UUID
    scopes: tuple[str, ...]
    audiences: tuple[str, ...]
    tver: int


@dataclass(slots=True)
class _Held:
    state: AccountState | None
    until: float
    edition: int


class ServiceAccountVerifier:
    """Proves service accounts.

    Args:
        db: Database as the runtime role.
        revocations: What was deleted, suspended or changed.
        use: Told who calls and who is refused.
        clock: Current time.
    """

    def __init__(self, db: Database, revocations: Revocations, use: ProgramUse, clock: Clock = now) -> None:
        self._db = db
        self._revocations = revocations
        self._use = use
        self._clock = clock
        self._by_names: OrderedDict[tuple[str, ...], _Held] = OrderedDict()

    async def authenticate(
        self, assertion: str, audience: str | Collection[str], address: str = ""
    ) -> ServiceAccount:
        """The account that signed an assertion (RFC 7523), which then works no more.

        Args:
            assertion: A JWT: ``iss`` and ``sub`` the account, ``aud`` one audience, ``exp`` at most 5 min
                ahead, ``jti``, ``kid`` in the header.
            audience: What ``aud`` may be: issuer, or address of the token endpoint.
            address: Network address of the caller, for the audit log.

        Raises:
            ClientInvalid: It is none, whatever the reason.
        """
        audiences = {audience} if isinstance(audience, str) else set(audience)
        parsed = client_assertions.parsed(assertion)
        async with self._db.transaction() as tx:
            state = await account_state(tx, account_id=parsed.account_id)
        if state is None:
            raise client_assertions.invalid()
        fault = client_assertions.proven(
            parsed, state.keys.get(parsed.kid), audiences, self._clock().timestamp()
        )
        if not fault and not state.active:
            fault = "TENANT_INACTIVE"
        if not fault and not await self._used_first(state, parsed):
            fault = "USED_BEFORE"
        if fault:
            raise self._refused(state, fault, address)
        self._use.note(state.account_id, time.monotonic())
        return _account(state)

    async def authenticate_certificate(self, names: str | Sequence[str], address: str = "") -> ServiceAccount:
        """The account that a proven client certificate names (RFC 8705).

        Args:
            names: Subject alternative names of the certificate, whose chain the TLS stack has proven.
            address: Network address of the caller, for the audit log.

        Raises:
            ClientInvalid: They name no account, or more than one.
        """
        state = await self._named((names,) if isinstance(names, str) else tuple(names), address)
        self._use.note(state.account_id, time.monotonic())
        return _account(state)

    async def principal(self, pem: str, address: str) -> Principal:
        """Whoever calls over a connection with a client certificate that the TLS stack has proven.

        Raises:
            ClientInvalid: The certificate has ended meanwhile, or names no account, or more than one.
        """
        try:
            shown = certificate(pem)
        except ValueError:
            raise client_assertions.invalid() from None
        if shown.ends <= self._clock():
            raise client_assertions.invalid()
        state = await self._named(shown.names, address)
        self._use.note(state.account_id, time.monotonic())
        return Principal(
            state.tenant_id,
            state.account_id,
            SessionId(state.account_id),
            "service",
            state.scopes,
            PrincipalKind.SERVICE_ACCOUNT,
            amr=("tls_client",),
            client_id=str(state.account_id),
        )

    async def _named(self, names: tuple[str, ...], address: str) -> AccountState:
        await self._revocations.refreshed(time.monotonic())
        edition, held = self._revocations.edition, self._by_names.get(names)
        if held is None or held.until <= time.monotonic() or not self._holds(held):
            held = await self._read(names, edition)
        if held.state is None:
            raise client_assertions.invalid()
        if not held.state.active:
            raise self._refused(held.state, "TENANT_INACTIVE", address)
        return held.state

    def _holds(self, held: _Held) -> bool:
        """Whether nothing became known that touches a remembered row."""
        if held.state is None or held.edition == self._revocations.edition:
            return held.edition == self._revocations.edition
        try:
            self._revocations.check(held.state.grant)
        except Unauthenticated:
            return False
        held.edition = self._revocations.edition
        return True

    async def _read(self, names: tuple[str, ...], edition: int) -> _Held:
        at = time.monotonic()
        async with self._db.transaction() as tx:
            state = await account_state(tx, names=names) if names else None
        held = _Held(state, at + CACHED_S, edition)
        self._by_names[names] = held
        self._by_names.move_to_end(names)
        if len(self._by_names) > _CACHE_ENTRIES:
            self._by_names.popitem(last=False)
        return held

    async def _used_first(self, state: AccountState, assertion: Assertion) -> bool:
        over = datetime.fromtimestamp(client_assertions.ends(assertion), UTC)
        async with self._db.tenant_transaction(state.tenant_id) as tx:
            rows = ServiceAccountRows(tx, state.tenant_id)
            return await rows.use_assertion(state.account_id, client_assertions.fingerprint(assertion), over)

    def _refused(self, state: AccountState, reason: str, address: str) -> Exception:
        self._use.refuse(
            Refusal(state.tenant_id, PrincipalKind.SERVICE_ACCOUNT, state.account_id, reason, address)
        )
        return client_assertions.invalid()


def _account(state: AccountState) -> ServiceAccount:
    scopes = tuple(sorted(state.scopes))
    return ServiceAccount(state.tenant_id, state.account_id, scopes, state.audiences, state.grant.tver)
