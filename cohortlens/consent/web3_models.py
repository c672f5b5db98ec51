"""What the control plane and the web3 sidecar hand each other, as the domain sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from uuid import UUID


class CredentialKind(Enum):
    """What a credential is about."""

    CONSENT = "CONSENT"
    AGREEMENT = "AGREEMENT"


class Cryptosuite(Enum):
    """How a credential is secured; the sidecar's default is ``eddsa-rdfc-2022``."""

    RDFC = "eddsa-rdfc-2022"
    JCS = "eddsa-jcs-2022"


class DocumentKind(Enum):
    """What is signed with an issuer's key beside credentials."""

    RECEIPT = "RECEIPT"
    CHECKPOINT = "CHECKPOINT"
    OFFER_TERMS = "OFFER_TERMS"


class PinKind(Enum):
    """What is pinned; REPORT and ARTIFACT are always sealed, the others are public."""

    RECEIPT = "RECEIPT"
    STATUS_LIST = "STATUS_LIST"
    OFFER_TERMS = "OFFER_TERMS"
    REPORT = "REPORT"
    ARTIFACT = "ARTIFACT"


class Delivery(Enum):
    """How a reward reaches its holder."""

    MINT = "MINT"
    VOUCHER = "VOUCHER"
    EPOCH = "EPOCH"


@dataclass(frozen=True)
class CredentialOrder:
    """One credential to issue.

    Attributes:
        source_id: What it is issued for, a consent event or an agreement; the same one gives the same
            credential.
        kind: What it is about.
        claims: A closed list of members by kind; never personal data.
        subject_id: What the pairwise identifier of its subject is made from; never part of the credential.
        valid_until: End of validity; None for a year.
        holder_did: DID of the holder, where the customer bound one.
        suite: How it is secured; None for the default.
    """

    source_id: UUID
    kind: CredentialKind
    claims: Mapping[str, object]
    subject_id: UUID
    valid_until: datetime | None = None
    holder_did: str | None = None
    suite: Cryptosuite | None = None


@dataclass(frozen=True)
class IssuedCredential:
    """A credential as issued.

    Attributes:
        source_id: As in the order.
        credential_id: Its identifier; its ``id`` is ``urn:uuid:`` of it.
        credential_json: The signed bytes, UTF-8.
        sha256: Of these bytes, 32 bytes.
        issuer_did: DID of the issuer.
        suite: How it is secured.
        status_list_id: Its status list.
        status_index: Its bit there.
        valid_from: Begin of validity.
        valid_until: End of validity.
    """

    source_id: UUID
    credential_id: UUID
    credential_json: bytes
    sha256: bytes
    issuer_did: str
    suite: Cryptosuite
    status_list_id: UUID
    status_index: int
    valid_from: datetime
    valid_until: datetime


@dataclass(frozen=True)
class Refusal:
    """Why something signed is not accepted.

    Attributes:
        reason: In upper snake case, such as ``VC_REVOKED``.
        detail: One sentence for a person.
        proof_index: The proof it is about, from 0; None for the whole.
    """

    reason: str
    detail: str
    proof_index: int | None = None


@dataclass(frozen=True)
class Verification:
    """What a verification found; ``verified`` is false whenever there is a refusal."""

    verified: bool
    refusals: tuple[Refusal, ...] = ()
    issuer_did: str = ""
    types: tuple[str, ...] = ()
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    status: str = ""


@dataclass(frozen=True)
class Revocation:
    """The version of the status list that holds the bit, and when it was or will be public."""

    list_version: int
    published_at: datetime


@dataclass(frozen=True)
class SignedDocument:
    """A document with its proof, UTF-8, and the SHA-256 of these bytes."""

    signed_json: bytes
    sha256: bytes


@dataclass(frozen=True)
class IssuerKey:
    """A key of an issuer; ``state`` is ACTIVE, RETIRED or COMPROMISED."""

    kid: str
    did: str
    state: str
    not_before: datetime
    not_after: datetime | None
    public_key_multibase: str


@dataclass(frozen=True)
class Issuer:
    """The issuer of a tenant: its DID, the opaque identifier of its address, its keys, newest first."""

    did: str
    issuer_id: UUID
    keys: tuple[IssuerKey, ...] = ()


@dataclass(frozen=True)
class RotatedKey:
    """A new key, and the credentials that were revoked with the old one: they are to be issued again."""

    kid: str
    did: str
    revoked: tuple[UUID, ...] = ()


@dataclass(frozen=True)
class PublishedDocument:
    """A public document; its entity tag is quoted, copies may go out until ``valid_until`` (None: no end)."""

    body: bytes
    version: int
    etag: str
    valid_until: datetime | None


@dataclass(frozen=True)
class RewardOrder:
    """A reward to hand over.

    Attributes:
        reward_id: 32 bytes, SHA-256 over tenant, kind and source.
        chain: ``evm`` or ``solana``.
        to: Address of the holder.
        amount_micro: Micro-tokens, at least 1.
        delivery: How it is delivered.
    """

    reward_id: bytes
    chain: str
    to: str
    amount_micro: int
    delivery: Delivery


@dataclass(frozen=True)
class RewardStatus:
    """State of a reward at the sidecar.

    Attributes:
        reward_id: 32 bytes.
        state: OWED, SIGNED, SENT, MINED, FINAL, CLAIMABLE, CLAIMED, CANCELLED or FAILED; empty when it is
            not known.
        tx_ref: Transaction hash or signature; empty before it was signed.
        block_height: Height of its block or slot; 0 before it was mined.
        finalized_at: When it became final.
        reason: Why it failed or waits.
    """

    reward_id: bytes
    state: str
    tx_ref: str = ""
    block_height: int = 0
    finalized_at: datetime | None = None
    reason: str = ""


@dataclass(frozen=True)
class Balance:
    """Balance of an address, in micro-tokens, as the chain said at ``as_of``."""

    balance_micro: int
    block_height: int
    as_of: datetime
    is_stale: bool = False


@dataclass(frozen=True)
class Voucher:
    """EIP-712 typed data as JSON, its signature (65 bytes), and the contract that takes it."""

    typed_data_json: bytes
    signature: bytes
    contract: str
    chain_id: int


@dataclass(frozen=True)
class EpochProof:
    """The Merkle proof with which one reward of an epoch is claimed."""

    epoch: int
    leaf: bytes
    proof: tuple[bytes, ...]
    contract: str
    chain_id: int


@dataclass(frozen=True)
class PublishedEpoch:
    """A Merkle root as published: its number, 32 bytes, and the transaction."""

    epoch: int
    root: bytes
    tx_ref: str


@dataclass(frozen=True)
class ChainStatus:
    """A chain in use: see ``internal.v1.Chain``; ``status`` is ok, degraded or down."""

    chain: str
    mode: str
    status: str
    detail: str
    chain_id: int
    genesis: str
    token: str
    head_height: int
    final_height: int
    signer: str
    signer_balance: str
    lag_s: float
    total_supply_micro: int


@dataclass(frozen=True)
class PartStatus:
    """How a part of the sidecar beside its chains is.

    Attributes:
        part: ``credentials`` or ``pins``.
        mode: What it stands on.
        status: ``ok`` or ``degraded``.
        detail: One sentence for a person.
        waiting: What waits or failed, by ``service:state``.
    """

    part: str
    mode: str
    status: str
    detail: str
    waiting: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Chains:
    """The chains in use, the one on which rewards are paid, and the parts beside them."""

    reward_chain: str
    chains: tuple[ChainStatus, ...] = field(default=())
    parts: tuple[PartStatus, ...] = field(default=())


@dataclass(frozen=True)
class PinState:
    """State of a pin at one service: PENDING, PINNED, FAILED or REMOVED."""

    backend: str
    state: str
    reason: str = ""


@dataclass(frozen=True)
class Pin:
    """Content kept under its CID.

    Attributes:
        pin_id: Identifier that its caller chose.
        cid: Version 1.
        size_bytes: As stored, sealing included.
        is_sealed: Whether the content is sealed.
        backends: Its state at each service.
    """

    pin_id: UUID
    cid: str
    size_bytes: int
    is_sealed: bool
    backends: tuple[PinState, ...] = ()
