"""Data Integrity proofs at the level of a suite: what is hashed, signed and verified.

Source: Data Integrity EdDSA Cryptosuites 1.0, sections 3.2 (eddsa-rdfc-2022) and 3.3 (eddsa-jcs-2022), and
Verifiable Credential Data Integrity 1.0 section 4.3 for chains of proofs. Nothing here looks at issuers,
dates or status: that is the verifier's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from sidecars.web3.credentials.canonical import RdfCanonicalizer, jcs
from sidecars.web3.credentials.multikeys import decoded, encoded
from sidecars.web3.credentials.reading import JsonObject
from sidecars.web3.credentials.refusals import RefusedError

RDFC = "eddsa-rdfc-2022"
JCS = "eddsa-jcs-2022"
SUITES = (RDFC, JCS)
PROOF_TYPE = "DataIntegrityProof"
_SIGNATURE_BYTES = 64
_MAX_PROOF_VALUE = 96


@dataclass(frozen=True)
class Hashed:
    """Everything between a document and its signature.

    Attributes:
        document: Canonical document.
        options: Canonical proof options.
    """

    document: bytes
    options: bytes

    @property
    def document_hash(self) -> bytes:
        """SHA-256 of the canonical document."""
        return hashlib.sha256(self.document).digest()

    @property
    def options_hash(self) -> bytes:
        """SHA-256 of the canonical proof options."""
        return hashlib.sha256(self.options).digest()

    @property
    def signed(self) -> bytes:
        """The 64 bytes that are signed: hash of the options, then of the document."""
        return self.options_hash + self.document_hash


def hashed(document: JsonObject, options: JsonObject, canonicalizer: RdfCanonicalizer) -> Hashed:
    """Canonicalise a document and the options of a proof over it.

    Args:
        document: The document without proofs, except those that the proof is chained to.
        options: The proof without ``proofValue``; its ``cryptosuite`` says how.
        canonicalizer: Of the contexts in use.

    Raises:
        RefusedError: VC_SIGNATURE_INVALID: the document's contexts are not those of the proof; or what
            canonicalisation refuses.
    """
    if options.get("cryptosuite") == JCS:
        return _hashed_jcs(document, options)
    own = {**options, "@context": document["@context"]} if "@context" in document else options
    return Hashed(canonicalizer.nquads(document), canonicalizer.nquads(own))


def sign(
    document: JsonObject, options: JsonObject, key: Ed25519PrivateKey, canonicalizer: RdfCanonicalizer
) -> JsonObject:
    """The proof of a document: the options and their ``proofValue``.

    A jcs proof carries the document's ``@context`` where that is a list of addresses. With an inline context
    it carries none, which a verifier takes as well (section 3.3.4 step 4 is for proofs that have
    one) and which leaves the document's own contexts under the signature: the library of Digital Bazaar
    compares entries by identity and would refuse an object that is equal.

    Raises:
        RefusedError: What canonicalisation refuses.
    """
    contexts = _listed(document.get("@context"))
    if options.get("cryptosuite") == JCS and all(isinstance(one, str) for one in contexts):
        options = {**options, "@context": document["@context"]}
    signature = key.sign(hashed(document, options, canonicalizer).signed)
    return {**options, "proofValue": encoded(signature)}


def check_signature(
    document: JsonObject,
    proof: JsonObject,
    earlier: list[JsonObject],
    key: Ed25519PublicKey,
    canonicalizer: RdfCanonicalizer,
) -> None:
    """Verify one proof.

    Args:
        document: The document without any proof.
        proof: The proof.
        earlier: The proofs that it is chained to, in the order of the document.
        key: The key of its verification method.
        canonicalizer: Of the contexts in use.

    Raises:
        RefusedError: VC_SIGNATURE_INVALID, or what canonicalisation refuses.
    """
    options = {name: value for name, value in proof.items() if name != "proofValue"}
    content = {**document, "proof": earlier} if earlier else document
    try:
        key.verify(signature_of(proof), hashed(content, options, canonicalizer).signed)
    except InvalidSignature:
        raise _unsigned() from None


def signature_of(proof: Mapping[str, Any]) -> bytes:
    """The 64 bytes of a ``proofValue``.

    Raises:
        RefusedError: VC_PROOF_MALFORMED.
    """
    try:
        signature = decoded(proof.get("proofValue"), max_chars=_MAX_PROOF_VALUE)
    except ValueError:
        signature = b""
    if len(signature) != _SIGNATURE_BYTES:
        raise RefusedError("VC_PROOF_MALFORMED", "The proofValue is no multibase base58btc of 64 bytes.")
    return signature


def proofs_of(document: JsonObject) -> list[Any]:
    """The proofs of a document, in order; empty without any."""
    proofs = document.get("proof", [])
    return proofs if isinstance(proofs, list) else [proofs]


def without_proof(document: JsonObject) -> JsonObject:
    """A document without its proofs."""
    return {name: value for name, value in document.items() if name != "proof"}


def chained_to(proof: JsonObject, proofs: list[JsonObject]) -> list[JsonObject]:
    """The proofs that one names in ``previousProof``.

    Raises:
        RefusedError: VC_PROOF_CHAIN_BROKEN: a named one is missing, or named by two.
    """
    named = proof.get("previousProof", [])
    wanted = named if isinstance(named, list) else [named]
    found = [one for one in proofs if one.get("id") in wanted]
    if sorted(str(one["id"]) for one in found) != sorted(set(map(str, wanted))):
        raise RefusedError(
            "VC_PROOF_CHAIN_BROKEN", "A proof that it is chained to is missing, or there twice."
        )
    return found


def _hashed_jcs(document: JsonObject, options: JsonObject) -> Hashed:
    """Section 3.3.4: the document may add contexts behind those of the proof; the proof's are hashed."""
    if "@context" in options:
        ours, theirs = _listed(options["@context"]), _listed(document.get("@context"))
        if theirs[: len(ours)] != ours:
            raise _unsigned()
        document = {**document, "@context": options["@context"]}
    return Hashed(jcs(document), jcs(options))


def _listed(contexts: Any) -> list[Any]:
    return contexts if isinstance(contexts, list) else [contexts]


def _unsigned() -> RefusedError:
    return RefusedError(
        "VC_SIGNATURE_INVALID", "The signature does not fit: document, proof or key was changed."
    )
