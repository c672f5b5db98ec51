"""Vectors of Data Integrity proofs: secured documents, what lies between them and their signature, and proofs.

Checked at the level of the suite: published examples name issuers that control no key, so issuer, dates and
status are left to the tests of the verifier.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sidecars.web3.credentials import suites
from sidecars.web3.credentials.canonical import RdfCanonicalizer
from sidecars.web3.credentials.guards import check_shape, check_terms
from sidecars.web3.credentials.multikeys import read_seed
from sidecars.web3.credentials.refusals import RefusedError
from tests.vectors.cases import Case, Format, Vector, differing
from tests.vectors.vc_sources import Sources, is_secured, is_unsigned, sources_of
from tests.vectors.vc_status import list_cases

_TEXT = re.compile(
    r"(canonDoc|proofCanon|docHash|proofHash|combinedHash|sigHex|sigBTC58)(.*)\.\w+\Z", re.IGNORECASE
)
_SIGNED = re.compile(r"signed", re.IGNORECASE)
Proof = dict[str, Any]


def _secured(vector: Vector) -> Iterator[Case]:
    sources, document = sources_of(vector.root), dict(vector.content)
    canonicalizer = sources.canonicalizer()
    proofs = suites.proofs_of(document)
    content = suites.without_proof(document)
    for at, proof in enumerate(proofs):
        name = f"proof{at}"
        yield Case(f"{name}/verifies", _refusal(content, proof, proofs, sources, canonicalizer))
        if proof["cryptosuite"] == suites.RDFC:
            yield Case(f"{name}/guards", _guarded(content, canonicalizer))
        for kind, changed, changed_proof in _tampered(content, proof):
            refused = _refusal(changed, changed_proof, [*proofs, changed_proof], sources, canonicalizer)
            yield Case(f"{name}/{kind}", () if refused else ("expected a refusal, found that it verifies",))
        yield from _signed_again(name, content, proof, proofs, sources, canonicalizer)
    yield from _texts(vector, content, proofs, canonicalizer)
    yield from list_cases(vector.content)


def _refusal(
    document: Proof, proof: Proof, proofs: list[Proof], sources: Sources, canonicalizer: RdfCanonicalizer
) -> tuple[str, ...]:
    """Nothing when a proof verifies, else why it does not."""
    try:
        key = Ed25519PublicKey.from_public_bytes(sources.key_of(proof["verificationMethod"]).raw)
        earlier = suites.chained_to(proof, [one for one in proofs if one is not proof])
        suites.check_signature(suites.without_proof(document), proof, earlier, key, canonicalizer)
    except RefusedError as refused:
        return (f"expected a proof that verifies, found {refused}",)
    return ()


def _guarded(content: Proof, canonicalizer: RdfCanonicalizer) -> tuple[str, ...]:
    try:
        check_shape(content)
        check_terms(content, canonicalizer)
    except RefusedError as refused:
        return (f"expected no refusal of a published document, found {refused}",)
    return ()


def _tampered(content: Proof, proof: Proof) -> Iterator[tuple[str, Proof, Proof]]:
    """A document and proof with one character changed, by what was changed."""
    subject = "credentialSubject" if "credentialSubject" in content else "id"
    if subject in content:
        yield "changed claim", {**content, subject: _changed(content[subject])}, proof
    for name in ("created", "proofValue"):
        if name in proof:
            yield f"changed {name}", content, {**proof, name: _changed_text(proof[name])}


def _changed(value: Any) -> Any:
    """The value with its last text changed."""
    if isinstance(value, str):
        return value[:-1] + ("a" if value[-1:] != "a" else "b")
    if isinstance(value, list) and value:
        return [*value[:-1], _changed(value[-1])]
    if isinstance(value, dict) and value:
        name = next((one for one in reversed(value) if one not in ("id", "type")), next(iter(value)))
        return {**value, name: _changed(value[name])}
    return 1 if value == 0 else 0


def _changed_text(text: str) -> str:
    """The text with its last but one character changed into another of its kind: a digit, or base58."""
    old = text[-2]
    return text[:-2] + ("1" if old != "1" else "2") + text[-1]


def _signed_again(
    name: str,
    content: Proof,
    proof: Proof,
    proofs: list[Proof],
    sources: Sources,
    canonicalizer: RdfCanonicalizer,
) -> Iterator[Case]:
    seed = sources.seeds.get(sources.key_of(proof["verificationMethod"]).multibase)
    if seed is None:
        return
    earlier = suites.chained_to(proof, [one for one in proofs if one is not proof])
    options = {member: value for member, value in proof.items() if member != "proofValue"}
    document = {**content, "proof": earlier} if earlier else content
    made = suites.sign(document, options, read_seed(seed), canonicalizer)
    yield Case(f"{name}/signed again", differing(proof["proofValue"], made["proofValue"]))


def _texts(
    vector: Vector, content: Proof, proofs: list[Proof], canonicalizer: RdfCanonicalizer
) -> Iterator[Case]:
    """The texts of the same folder with the same ending, or all where it holds one secured document."""
    folder = vector.path.parent
    sources = sources_of(vector.root)
    is_only = sum(path.parent == folder for path in sources.secured) == 1
    ending = _SIGNED.sub("", vector.path.stem).lower()
    for path in sorted(folder.iterdir()):
        found = _TEXT.match(path.name)
        if found and path.is_file() and (is_only or found[2].lower() == ending):
            yield Case(path.name, _text_faults(path, found[1].lower(), content, proofs, canonicalizer))


def _text_faults(
    path: Path, kind: str, content: Proof, proofs: list[Proof], canonicalizer: RdfCanonicalizer
) -> tuple[str, ...]:
    expected = path.read_bytes()
    if kind not in ("canondoc", "proofcanon"):
        expected = expected.strip()
    made = [_intermediate(kind, content, proof, proofs, canonicalizer) for proof in proofs]
    return () if expected in made else differing(expected, made[0])


def _intermediate(
    kind: str, content: Proof, proof: Proof, proofs: list[Proof], canonicalizer: RdfCanonicalizer
) -> bytes:
    if kind == "sigbtc58":
        return bytes(proof["proofValue"], "ascii")
    if kind == "sighex":
        return suites.signature_of(proof).hex().encode("ascii")
    earlier = suites.chained_to(proof, [one for one in proofs if one is not proof])
    options = {member: value for member, value in proof.items() if member != "proofValue"}
    made = suites.hashed({**content, "proof": earlier} if earlier else content, options, canonicalizer)
    return {
        "canondoc": made.document,
        "proofcanon": made.options,
        "dochash": made.document_hash.hex().encode("ascii"),
        "proofhash": made.options_hash.hex().encode("ascii"),
        "combinedhash": made.signed.hex().encode("ascii"),
    }[kind]


def _proof(vector: Vector) -> Iterator[Case]:
    """A proof or its options alone: they belong to the unsigned document that lies nearest."""
    sources, proof = sources_of(vector.root), dict(vector.content)
    canonicalizer = sources.canonicalizer()
    # A chained proof covers the proofs that it names; they stand in a secured document of the run.
    earlier = suites.chained_to(proof, list(_unique_proofs(sources)))
    documents = [
        {**content, "proof": earlier} if earlier else dict(content)
        for content in _nearest(vector.path, sources.unsigned)
    ]
    if not documents:
        yield Case("document", ("expected an unsigned document beside or above it, found none",))
        return
    if "proofValue" in proof:
        faults = [_refusal(one, proof, earlier, sources, canonicalizer) for one in documents]
        yield Case("verifies", () if () in faults else faults[0])
    yield from _signed_options(proof, documents, sources, canonicalizer)


def _signed_options(
    proof: Proof, documents: list[Proof], sources: Sources, canonicalizer: RdfCanonicalizer
) -> Iterator[Case]:
    options = {name: value for name, value in proof.items() if name not in ("proofValue", "@context")}
    seed = sources.seeds.get(sources.key_of(options["verificationMethod"]).multibase)
    if seed is None:
        yield Case("hashes", differing(64, len(suites.hashed(documents[0], options, canonicalizer).signed)))
        return
    made = {suites.sign(one, options, read_seed(seed), canonicalizer)["proofValue"] for one in documents}
    known = {one["proofValue"] for one in _proofs_with(options, sources)} | {proof.get("proofValue")} - {None}
    if known:
        faults = (f"expected one of {sorted(known)}, found {sorted(made)}",)
        yield Case("signed again", () if made & known else faults)


def _unique_proofs(sources: Sources) -> Iterator[Proof]:
    seen: list[Proof] = []
    for document in sources.secured.values():
        for proof in suites.proofs_of(dict(document)):
            if proof not in seen:
                seen.append(proof)
                yield proof


def _proofs_with(options: Mapping[str, Any], sources: Sources) -> Iterator[Proof]:
    """The proofs of secured documents that were made with these options."""
    for proof in _unique_proofs(sources):
        if {name: value for name, value in proof.items() if name in options} == options:
            yield proof


def _nearest(path: Path, documents: Mapping[Path, Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    for folder in path.parents:
        found = [content for at, content in documents.items() if at.parent == folder]
        if found:
            return found
    return []


def _unsigned(vector: Vector) -> Iterator[Case]:
    """An unsigned document: no guard minds it, and it is one of the secured ones without its proofs."""
    sources, document = sources_of(vector.root), dict(vector.content)
    yield Case("guards", _guarded(document, sources.canonicalizer()))
    near = [one for path, one in sources.secured.items() if vector.path.parent in path.parents]
    if near:
        same = any(suites.without_proof(dict(one)) == document for one in near)
        yield Case("secured", () if same else ("expected a secured document with this content, found none",))


SECURED = Format("secured document", is_secured, _secured)
PROOF = Format("proof", lambda content: content.get("type") == suites.PROOF_TYPE, _proof)
UNSIGNED = Format("unsigned document", is_unsigned, _unsigned)
