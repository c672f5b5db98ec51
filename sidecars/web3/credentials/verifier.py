"""Verifies credentials: nine steps in a fixed order, the answer is one flag and every reason against it.

Steps 1 to 7 (reading, form, proofs, key, control, guards, signature) stop at the first refusal, since what
follows would speak about something unproven; dates and status are told together.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sidecars.web3.credentials.canonical import RdfCanonicalizer
from sidecars.web3.credentials.contexts import Contexts
from sidecars.web3.credentials.did import split_method
from sidecars.web3.credentials.forms import Form, check_contexts, check_form, check_proofs
from sidecars.web3.credentials.guards import check_shape, check_terms
from sidecars.web3.credentials.multikeys import PublicKey
from sidecars.web3.credentials.reading import (
    MAX_CREDENTIAL_BYTES,
    JsonObject,
    read_object,
)
from sidecars.web3.credentials.refusals import Refusal, RefusedError
from sidecars.web3.credentials.suites import RDFC, chained_to, check_signature, without_proof
from sidecars.web3.credentials.times import parse_stamp

_CLOCKS_APART = timedelta(seconds=60)
ACTIVE, REVOKED, SUSPENDED, NONE, UNKNOWN = "active", "revoked", "suspended", "none", "unknown"


class Methods(Protocol):
    """Finds the key of a verification method."""

    async def key_of(self, did: str, method: str, created: datetime | None) -> PublicKey:
        """The Ed25519 key that ``method`` of ``did`` names.

        Raises:
            RefusedError: DID_*, VC_VERIFICATION_METHOD_UNKNOWN or VC_KEY_REVOKED.
        """
        ...


class Statuses(Protocol):
    """Reads status lists."""

    async def check(self, form: Form, now: datetime) -> list[Refusal]:
        """What the status entries of a credential say against it; empty when they say nothing."""
        ...


@dataclass(frozen=True)
class Verification:
    """What a verification found.

    Attributes:
        refusals: Every reason against it.
        document: What was read, as far as it came.
        form: What the credential says of itself, as far as it was read.
        status: ``active``, ``revoked``, ``suspended``, ``none`` or ``unknown``.
    """

    refusals: tuple[Refusal, ...]
    document: JsonObject | None = None
    form: Form | None = None
    status: str = UNKNOWN

    @property
    def is_verified(self) -> bool:
        """Whether it is accepted."""
        return not self.refusals


@dataclass(frozen=True)
class Verifier:
    """Verifies what anybody sends.

    Attributes:
        contexts: The closed set of contexts.
        canonicalizer: Over these contexts.
        methods: Finds keys.
        pool: Threads for canonicalisation of RDF, so that the loop goes on serving.
    """

    contexts: Contexts
    canonicalizer: RdfCanonicalizer
    methods: Methods
    pool: Executor

    async def verify(
        self,
        text: bytes,
        now: datetime,
        statuses: Statuses | None,
        *,
        max_bytes: int = MAX_CREDENTIAL_BYTES,
    ) -> Verification:
        """Verify one credential.

        Args:
            text: As received.
            now: The time to verify at.
            statuses: Reads its status; None leaves the status out.
            max_bytes: Longest text.
        """
        document: JsonObject | None = None
        form: Form | None = None
        try:
            document = read_object(text, max_bytes=max_bytes)
            form = check_form(document, self.contexts)
            await self.check_proofs(document, now, form.issuer)
        except RefusedError as refused:
            return Verification((refused.refusal,), document, form)
        refusals = _check_dates(form, now)
        if statuses is None:
            return Verification(tuple(refusals), document, form)
        found = await statuses.check(form, now)
        return Verification((*refusals, *found), document, form, _status(form, found))

    async def check_proofs(self, document: JsonObject, now: datetime, issuer: str | None) -> str:
        """Check the proofs of a credential or of another signed document: steps 3 to 7.

        Args:
            document: The document with its proofs.
            now: The time to verify at.
            issuer: Who must control every key; None where the document names nobody.

        Returns:
            The DID that controls the key of the first proof.

        Raises:
            RefusedError: The first refusal.
        """
        proofs = check_proofs(document, now)
        dids: list[str] = []
        keys: list[PublicKey] = []
        for at, proof in enumerate(proofs):
            try:
                did, key = await self._key(proof)
            except RefusedError as refused:
                raise refused.at(at) from None
            dids.append(did)
            keys.append(key)
        for at, did in enumerate(dids):
            if issuer is not None and did != issuer:
                raise RefusedError("VC_ISSUER_MISMATCH", "The key of the proof is not its issuer's.", at)
        work = _Work(document, proofs, keys, self.canonicalizer)
        if any(proof["cryptosuite"] == RDFC for proof in proofs):
            # A document that is no credential comes here unread: no context of a stranger is worked on.
            check_contexts(document, self.contexts)
            await asyncio.get_running_loop().run_in_executor(self.pool, work.run)
        else:
            work.run()
        return dids[0]

    async def _key(self, proof: JsonObject) -> tuple[str, PublicKey]:
        method = proof["verificationMethod"]
        did, _ = split_method(method)
        return did, await self.methods.key_of(did, method, parse_stamp(proof.get("created")))


@dataclass(frozen=True)
class _Work:
    """Steps 6 and 7 of one document: pure computation."""

    document: JsonObject
    proofs: list[JsonObject]
    keys: list[PublicKey]
    canonicalizer: RdfCanonicalizer

    def run(self) -> None:
        content = without_proof(self.document)
        if any(proof["cryptosuite"] == RDFC for proof in self.proofs):
            check_shape(content)
            check_terms(content, self.canonicalizer)
        for at, (proof, key) in enumerate(zip(self.proofs, self.keys, strict=True)):
            earlier = chained_to(proof, self.proofs)
            try:
                public = Ed25519PublicKey.from_public_bytes(key.raw)
                check_signature(content, proof, earlier, public, self.canonicalizer)
            except RefusedError as refused:
                raise refused.at(at) from None


def _check_dates(form: Form, now: datetime) -> list[Refusal]:
    refusals = []
    if form.valid_from is not None and form.valid_from > now + _CLOCKS_APART:
        refusals.append(Refusal("VC_NOT_YET_VALID", "Its validity has not begun."))
    if form.valid_until is not None and now > form.valid_until + _CLOCKS_APART:
        refusals.append(Refusal("VC_EXPIRED", "Its validity has ended."))
    return refusals


def _status(form: Form, refusals: list[Refusal]) -> str:
    reasons = {one.reason for one in refusals}
    if "VC_REVOKED" in reasons:
        return REVOKED
    if "VC_SUSPENDED" in reasons:
        return SUSPENDED
    if reasons:
        return UNKNOWN
    return ACTIVE if form.statuses else NONE
