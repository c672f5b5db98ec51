"""The web3 sidecar in memory: issues, pays and pins as the real one promises to, and counts what it did."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from cohortlens.consent.web3_models import (
    Balance,
    Chains,
    CredentialOrder,
    Cryptosuite,
    Delivery,
    DocumentKind,
    IssuedCredential,
    Issuer,
    Pin,
    PinKind,
    Revocation,
    RewardOrder,
    RewardStatus,
    SignedDocument,
)
from cohortlens.core.errors import (
    AlreadyExists,
    CohortLensError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Unavailable,
)
from cohortlens.core.ids import TenantId

DID = "did:key:z6MkFake"


@dataclass
class FakeWeb3:
    """One sidecar: credentials, rewards and pins.

    Attributes:
        calls: How often each method was called.
        issued: Credential by source.
        revoked: Reason by credential.
        paid: Orders by reward.
        states: State of each reward.
        pins: Content by pin.
        faults: What the next call of a method raises, one for each call.
        during: Called in the middle of a method, after its effect and before its answer.
        signable_after: Rewards stay OWED until this is True.
    """

    calls: Counter[str] = field(default_factory=Counter)
    issued: dict[UUID, IssuedCredential] = field(default_factory=dict)
    revoked: dict[UUID, str] = field(default_factory=dict)
    paid: dict[bytes, RewardOrder] = field(default_factory=dict)
    states: dict[bytes, str] = field(default_factory=dict)
    pins: dict[UUID, bytes] = field(default_factory=dict)
    faults: dict[str, list[CohortLensError]] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)
    during: dict[str, object] = field(default_factory=dict)

    async def _called(self, method: str) -> None:
        self.calls[method] += 1
        if waiting := self.faults.get(method):
            raise waiting.pop(0)

    async def _done(self, method: str) -> None:
        if act := self.during.pop(method, None):
            await act()  # type: ignore[operator]
        if self.lost.get(method, 0) > 0:
            self.lost[method] -= 1
            raise Unavailable("the answer was lost", reason="WEB3_UNAVAILABLE")

    async def issue(
        self, tenant_id: TenantId, operation_id: UUID, orders: Sequence[CredentialOrder]
    ) -> list[IssuedCredential]:
        """Issue, once a source."""
        await self._called("issue")
        for order in orders:
            if "name" in order.claims:
                raise InvalidArgument("claims", reason="CLAIMS_INVALID")
            if order.source_id not in self.issued:
                body = json.dumps({"id": str(uuid4()), "claims": dict(order.claims)}).encode()
                now = datetime.now(UTC)
                self.issued[order.source_id] = IssuedCredential(
                    order.source_id,
                    uuid4(),
                    body,
                    hashlib.sha256(body).digest(),
                    DID,
                    Cryptosuite.RDFC,
                    UUID(int=7),
                    len(self.issued),
                    now,
                    order.valid_until or now + timedelta(days=365),
                )
        await self._done("issue")
        return [self.issued[order.source_id] for order in orders]

    async def revoke(
        self, tenant_id: TenantId, operation_id: UUID, credential_id: UUID, reason_code: str
    ) -> Revocation:
        """Revoke; once more is a success."""
        await self._called("revoke")
        self.revoked.setdefault(credential_id, reason_code)
        await self._done("revoke")
        return Revocation(len(self.revoked), datetime.now(UTC))

    async def issuer(self, tenant_id: TenantId) -> Issuer:
        """The issuer."""
        await self._called("issuer")
        return Issuer(DID, UUID(int=9))

    async def sign_document(
        self, tenant_id: TenantId, operation_id: UUID, kind: DocumentKind, document: Mapping[str, object]
    ) -> SignedDocument:
        """Sign."""
        await self._called("sign_document")
        body = json.dumps({**document, "proof": {"proofValue": "z"}}, sort_keys=True).encode()
        return SignedDocument(body, hashlib.sha256(body).digest())

    async def chains(self) -> Chains:
        """The chains."""
        await self._called("chains")
        return Chains("evm")

    async def submit(
        self, tenant_id: TenantId, operation_id: UUID, orders: Sequence[RewardOrder]
    ) -> list[RewardStatus]:
        """Take over, once a reward."""
        await self._called("submit")
        for order in orders:
            if self.paid.setdefault(order.reward_id, order) != order:
                raise AlreadyExists("another body", reason="REWARD_CONFLICT")
            first = "OWED" if order.delivery is Delivery.MINT else "CLAIMABLE"
            self.states.setdefault(order.reward_id, first)
        await self._done("submit")
        return [self._status(order.reward_id) for order in orders]

    async def states_of(self, reward_ids: Sequence[bytes]) -> list[RewardStatus]:
        """States."""
        return [self._status(one) for one in reward_ids]

    async def cancel(self, tenant_id: TenantId, operation_id: UUID, reward_id: bytes) -> RewardStatus:
        """Cancel what was not signed yet."""
        await self._called("cancel")
        state = self.states.get(reward_id)
        if state is None:
            raise NotFound("no such reward")
        if state not in {"OWED", "CLAIMABLE", "CANCELLED"}:
            raise FailedPrecondition("too late", reason="REWARD_ALREADY_SENT")
        self.states[reward_id] = "CANCELLED"
        await self._done("cancel")
        return self._status(reward_id)

    async def balance(self, chain: str, address: str) -> Balance:
        """What was minted to an address."""
        total = sum(
            order.amount_micro
            for key, order in self.paid.items()
            if order.chain == chain and order.to == address and self.states[key] in {"MINED", "FINAL"}
        )
        return Balance(total, 1, datetime.now(UTC))

    def settle(self, state: str = "FINAL") -> None:
        """Let the chain go on: what is owed gets ``state``."""
        self.states = {
            key: state if now in {"OWED", "SIGNED", "SENT", "MINED"} else now
            for key, now in self.states.items()
        }

    def _status(self, reward_id: bytes) -> RewardStatus:
        state = self.states.get(reward_id, "")
        status = RewardStatus(reward_id, state)
        if state in {"MINED", "FINAL"}:
            return replace(status, tx_ref="0x" + reward_id.hex(), block_height=5)
        return status

    async def pin(self, tenant_id: TenantId, pin_id: UUID, kind: PinKind, content: bytes) -> Pin:
        """Pin; the same content again is the same pin."""
        await self._called("pin")
        if self.pins.setdefault(pin_id, content) != content:
            raise AlreadyExists("another content", reason="IDEMPOTENCY_KEY_REUSED")
        await self._done("pin")
        return Pin(pin_id, "bafk" + hashlib.sha256(content).hexdigest(), len(content), is_sealed=False)

    async def unpin(self, tenant_id: TenantId, pin_id: UUID) -> None:
        """Let go of a pin; without one it is a success."""
        await self._called("unpin")
        self.pins.pop(pin_id, None)
        await self._done("unpin")

    async def content(
        self, tenant_id: TenantId, *, pin_id: UUID | None = None, cid: str | None = None
    ) -> AsyncIterator[bytes]:
        """The content of a pin."""
        for content in self.pins.values():
            if cid == "bafk" + hashlib.sha256(content).hexdigest():
                yield content
                return
        raise NotFound("no such pin")


class FakeLedger:
    """The reward ledger of a fake sidecar, whose method ``states`` collides with its own table of them.

    Args:
        web3: The sidecar.
    """

    def __init__(self, web3: FakeWeb3) -> None:
        self._web3 = web3

    def __getattr__(self, name: str) -> object:
        return getattr(self._web3, name)

    async def states(self, tenant_id: TenantId, reward_ids: Sequence[bytes]) -> list[RewardStatus]:
        """States of rewards."""
        return await self._web3.states_of(reward_ids)
