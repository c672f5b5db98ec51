"""Finds what a document says and an rdfc signature does not cover.

JSON-LD drops what no term defines, and PyLD has no mode that refuses it (digitalbazaar/pyld#200,
w3c/json-ld-api#629): such content can be added to a signed document and its signature still holds. Two
guards, both before the signature is looked at: one on the shape of the JSON, one on what its terms expand to.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sidecars.web3.credentials.canonical import RdfCanonicalizer
from sidecars.web3.credentials.reading import JsonObject
from sidecars.web3.credentials.refusals import RefusedError

_VOCABULARY = "urn:undefined#"
_BASE = "https://undefined.invalid/"
# ``@direction`` is no part of RDF as RDFC-1.0 takes it: it could be added or turned after signing.
_KEYWORDS = frozenset({"@id", "@type", "@value", "@language"})
_BLANK = "_:"


def check_shape(document: JsonObject) -> None:
    """Refuse JSON that canonicalisation drops or reads as if it were not there.

    Args:
        document: The document without its proofs.

    Raises:
        RefusedError: VC_UNSIGNED_CONTENT.
    """
    rest = [value for name, value in document.items() if name != "@context"]
    _check_names(name for name in document if name != "@context")
    while rest:
        value = rest.pop()
        if isinstance(value, dict):
            _check_names(value)
            # A literal may say anything, also what looks like the label of a node.
            rest.extend(one for name, one in value.items() if not _is_literal(name, one))
        elif isinstance(value, list):
            if not value:
                raise _unsigned("an empty array")
            rest.extend(value)
        elif value is None:
            raise _unsigned("null")
        elif isinstance(value, str) and value.startswith(_BLANK):
            raise _unsigned("a label of a node without identifier (_:)")


def check_terms(document: JsonObject, canonicalizer: RdfCanonicalizer) -> None:
    """Refuse a term that nothing defines, and an identifier that depends on where the document lies.

    Every undefined term falls into a vocabulary that is put in front of the contexts, every relative
    identifier under a base that cannot exist; then either shows in the expanded form.

    Raises:
        RefusedError: VC_UNDEFINED_TERM or VC_RELATIVE_IRI, or what canonicalisation refuses.
    """
    contexts = document.get("@context")
    listed = contexts if isinstance(contexts, list) else [contexts]
    guarded = {**document, "@context": [{"@vocab": _VOCABULARY}, *listed]}
    expanded = canonicalizer.expand(guarded, _BASE)
    for text in _identifiers(expanded):
        if text.startswith(_VOCABULARY):
            term = text.removeprefix(_VOCABULARY)[:64]
            raise RefusedError("VC_UNDEFINED_TERM", f"No context of it defines the term {term!r}.")
        if text.startswith(_BASE):
            raise RefusedError(
                "VC_RELATIVE_IRI", "An identifier of it is relative, so it has no fixed meaning."
            )
        if not _is_absolute(text):
            raise RefusedError("VC_RELATIVE_IRI", "An identifier of it is no IRI.")


def _check_names(names: Iterator[str] | JsonObject) -> None:
    for name in names:
        if name.startswith(_BLANK):
            raise _unsigned("a member whose name is a label (_:)")
        if name.startswith("@") and name not in _KEYWORDS:
            raise _unsigned(f"the member {name[:32]} below the top")


def _is_literal(name: str, value: Any) -> bool:
    return name == "@value" and isinstance(value, str)


def _identifiers(value: Any) -> Iterator[str]:
    """Every IRI of an expanded document: names of properties, types of nodes and literals, identifiers."""
    rest = [value]
    while rest:
        one = rest.pop()
        if isinstance(one, list):
            rest.extend(one)
        elif isinstance(one, dict):
            for name, inner in one.items():
                if not name.startswith("@"):
                    yield name
                if name in ("@id", "@type"):
                    yield from [inner] if isinstance(inner, str) else inner
                elif name not in ("@value", "@language"):
                    rest.append(inner)


def _is_absolute(text: str) -> bool:
    """Whether RDF takes it for an IRI: a scheme, and none of the characters that N-Quads excludes."""
    scheme, colon, _ = text.partition(":")
    if text.startswith("@"):
        # ``@json`` and its like as types of literals.
        return True
    excluded = any(one <= " " or one in '<>"{}|^`\\' for one in text)
    return bool(colon and scheme) and scheme[0].isalpha() and not excluded


def _unsigned(what: str) -> RefusedError:
    return RefusedError("VC_UNSIGNED_CONTENT", f"It holds {what}, which its signature does not cover.")
