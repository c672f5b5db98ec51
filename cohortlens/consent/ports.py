"""What consent needs from the web3 sidecar: credentials, rewards on chains, content on IPFS.

Every mutating call carries an ``operation_id`` that the caller makes from its step and source: the same call
again has the effect once and answers the same. A refusal is a ``CohortLensError`` with its reason; a
sidecar, chain or service that does not answer is ``Unavailable``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from cohortlens.consent.web3_models import (
    Balance,
    Chains,
    CredentialOrder,
    DocumentKind,
    EpochProof,
    IssuedCredential,
    Issuer,
    Pin,
    PinKind,
    PublishedDocument,
    PublishedEpoch,
    Revocation,
    RewardOrder,
    RewardStatus,
    RotatedKey,
    SignedDocument,
    Verification,
    Voucher,
)
from cohortlens.core.ids import TenantId


class CredentialIssuer(Protocol):
    """Issues, revokes and verifies credentials; the keys never leave the sidecar."""

    async def issue(
        self, tenant_id: TenantId, operation_id: UUID, orders: Sequence[CredentialOrder]
    ) -> list[IssuedCredential]:
        """Issue up to 500 credentials at once, in the order given."""
        ...

    async def revoke(
        self, tenant_id: TenantId, operation_id: UUID, credential_id: UUID, reason_code: str
    ) -> Revocation:
        """Set a credential's status bit; one that is revoked already is a success."""
        ...

    async def verify(self, credential_json: bytes, *, skip_status: bool = False) -> Verification:
        """Verify any credential; a bad one is an answer, not an error."""
        ...

    async def sign_document(
        self, tenant_id: TenantId, operation_id: UUID, kind: DocumentKind, document: Mapping[str, object]
    ) -> SignedDocument:
        """Sign a document whose members are a closed list by kind."""
        ...

    async def verify_document(self, signed_json: bytes) -> Verification:
        """Verify the proof of a signed document that is no credential."""
        ...

    async def issuer(self, tenant_id: TenantId) -> Issuer:
        """The issuer of a tenant; the first call makes its first key."""
        ...

    async def rotate_key(self, tenant_id: TenantId, operation_id: UUID, *, compromised: bool) -> RotatedKey:
        """Replace the issuer's active key."""
        ...

    async def did_document(self, issuer_id: UUID | None) -> PublishedDocument:
        """The DID document of an issuer, or of the deployment.

        Raises:
            NotFound: There is no such issuer.
        """
        ...

    async def status_list(self, status_list_id: UUID) -> PublishedDocument:
        """The newest published version of a status list.

        Raises:
            NotFound: There is no such list.
        """
        ...


class RewardLedger(Protocol):
    """Mints rewards, each at most once."""

    async def submit(
        self, tenant_id: TenantId, operation_id: UUID, orders: Sequence[RewardOrder]
    ) -> list[RewardStatus]:
        """Hand over up to 200 rewards, answered in the order given.

        Raises:
            AlreadyExists: REWARD_CONFLICT: one is known with another chain, recipient or amount.
        """
        ...

    async def states(self, tenant_id: TenantId, reward_ids: Sequence[bytes]) -> list[RewardStatus]:
        """States of up to 200 rewards, in the order given."""
        ...

    async def cancel(self, tenant_id: TenantId, operation_id: UUID, reward_id: bytes) -> RewardStatus:
        """Cancel a reward that was not signed yet, or that is claimable.

        Raises:
            FailedPrecondition: REWARD_ALREADY_SENT.
        """
        ...

    async def voucher(self, tenant_id: TenantId, reward_id: bytes, deadline: datetime) -> Voucher:
        """What a holder claims a reward with, until ``deadline``, at most 7 days ahead."""
        ...

    async def publish_epoch(
        self, tenant_id: TenantId, operation_id: UUID, reward_ids: Sequence[bytes]
    ) -> PublishedEpoch:
        """Publish the Merkle root of up to 100,000 rewards of delivery EPOCH."""
        ...

    async def epoch_proof(self, tenant_id: TenantId, reward_id: bytes) -> EpochProof:
        """The proof with which one reward of an epoch is claimed."""
        ...

    async def balance(self, chain: str, address: str) -> Balance:
        """Balance of an address, read from the chain."""
        ...

    async def verify_wallet(self, chain: str, address: str, message: str, signature: bytes) -> str:
        """The address in the chain's own spelling, if it signed the message.

        Raises:
            InvalidArgument: WALLET_ADDRESS_INVALID or WALLET_PROOF_INVALID.
        """
        ...

    async def chains(self) -> Chains:
        """The chains in use and their health."""
        ...

    async def resync(self, chain: str) -> tuple[int, int]:
        """Bring a halted chain in step; answers how many open rewards were adopted, and how many go again."""
        ...


class Pinner(Protocol):
    """Keeps content on IPFS."""

    async def pin(self, tenant_id: TenantId, pin_id: UUID, kind: PinKind, content: bytes) -> Pin:
        """Pin up to 64 MiB; the same identifier with the same content answers the same pin."""
        ...

    def content(
        self, tenant_id: TenantId, *, pin_id: UUID | None = None, cid: str | None = None
    ) -> AsyncIterator[bytes]:
        """The content of a pin, or of a CID, in pieces; what is sealed opens for its own tenant only."""
        ...

    async def pin_of(self, tenant_id: TenantId, pin_id: UUID) -> Pin:
        """A pin.

        Raises:
            NotFound: The tenant has no such pin.
        """
        ...

    async def unpin(self, tenant_id: TenantId, pin_id: UUID) -> None:
        """Let go of a pin; without one it is a success."""
        ...
