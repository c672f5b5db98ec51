"""The two canonical forms that proofs are made over: RFC 8785 (JCS) and RDF Dataset Canonicalization.

PyLD names its algorithm ``URDNA2015``; its output equals RDFC-1.0 on the vectors of vc-di-eddsa. Contexts
come from a closed set; each thread has a resolver of its own, because PyLD's cache is not made for threads.
"""

from __future__ import annotations

import hashlib
import json
import math
import threading
from typing import Any

import rfc8785
from pyld import jsonld
from pyld.canon import URDNA2015
from pyld.context_resolver import ContextResolver

from sidecars.web3.credentials.contexts import Contexts, UnknownContextError
from sidecars.web3.credentials.reading import JsonObject
from sidecars.web3.credentials.refusals import RefusedError

MAX_BLANK_NODES = 256
MAX_PERMUTATIONS = 1_000
"""Orders of nodes without identifier that are tried for one document before it is refused."""
_RESOLVED = 64


def jcs(value: Any) -> bytes:
    """The RFC 8785 form of a JSON value.

    Raises:
        RefusedError: VC_MALFORMED: it has a number or text that this form does not know.
    """
    try:
        return rfc8785.dumps(value)
    except rfc8785.CanonicalizationError:
        raise RefusedError(
            "VC_MALFORMED", "A number or text of it has no canonical form (RFC 8785)."
        ) from None


def plain_jcs(document: JsonObject) -> bytes:
    """The RFC 8785 form of a document with names in ASCII and no fractions, at a tenth of the cost.

    For such documents the standard library's writer differs in nothing: both escape alike and order names by
    code point. The issuer's closed lists of claims keep to it.
    """
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8")


def jcs_digest(value: Any) -> bytes:
    """SHA-256 of the RFC 8785 form, 32 bytes."""
    return hashlib.sha256(jcs(value)).digest()


class RdfCanonicalizer:
    """Turns JSON-LD into canonical N-Quads with the contexts it was given, and no others.

    Args:
        contexts: The closed set.
    """

    def __init__(self, contexts: Contexts) -> None:
        self._contexts = contexts
        self._local = threading.local()

    def expand(self, document: JsonObject, base: str) -> list[Any]:
        """The expanded form, with relative identifiers resolved against ``base``.

        Raises:
            RefusedError: VC_CONTEXT_UNKNOWN, or VC_MALFORMED: it is not JSON-LD.
        """
        with _Refusing():
            expanded: list[Any] = jsonld.expand(document, self._options(base))
        return expanded

    def nquads(self, document: JsonObject) -> bytes:
        """The canonical N-Quads, UTF-8, each line ended.

        Raises:
            RefusedError: VC_CONTEXT_UNKNOWN, VC_MALFORMED, or VC_CANONICALIZATION_LIMIT for more than
                256 blank nodes, or more than 1,000 orders of them to try.
        """
        with _Refusing():
            dataset = jsonld.to_rdf(document, self._options(""))
            _limit(dataset)
            text: str = _Bounded().main(dataset, {"format": "application/n-quads"})
        return text.encode("utf-8")

    def _options(self, base: str) -> dict[str, Any]:
        cache: dict[str, Any] = self._local.__dict__.setdefault("cache", {})
        # PyLD keeps every inline context it meets; strangers' ones must not fill the memory.
        if len(cache) > _RESOLVED:
            cache.clear()
        resolver = ContextResolver(cache, self._contexts.load)
        return {"base": base, "documentLoader": self._contexts.load, "contextResolver": resolver}


class _Bounded(URDNA2015):  # type: ignore[misc]
    """The algorithm with an end: nodes that look alike are tried in every order, and n! has none.

    RDFC-1.0 section 7.1 asks for such a bound; a few hundred bytes of alike trees would take hours.
    """

    def __init__(self) -> None:
        super().__init__()
        self._left = MAX_PERMUTATIONS

    def create_hash_to_related(self, id_: str, issuer: Any) -> dict[str, list[str]]:
        """Related nodes by their hash; called once before their orders are tried (section 4.8.3, step 3)."""
        related: dict[str, list[str]] = super().create_hash_to_related(id_, issuer)
        self._left -= 1 + sum(math.factorial(len(alike)) for alike in related.values())
        if self._left < 0:
            raise RefusedError(
                "VC_CANONICALIZATION_LIMIT", "Too many of its nodes without identifier look alike."
            )
        return related


def _limit(dataset: dict[str, list[Any]]) -> None:
    seen: set[str] = set()
    for triples in dataset.values():
        for triple in triples:
            for part in (triple["subject"], triple["object"]):
                if part["type"] == "blank node":
                    seen.add(part["value"])
        if len(seen) > MAX_BLANK_NODES:
            raise RefusedError(
                "VC_CANONICALIZATION_LIMIT", f"It has more than {MAX_BLANK_NODES} nodes without identifier."
            )


class _Refusing:
    """Turns what PyLD raises into refusals: it has one class of error for every fault of a document."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, RefusedError):
            return
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, UnknownContextError):
                raise RefusedError(
                    "VC_CONTEXT_UNKNOWN", "It names a context that is not one of ours."
                ) from None
            cause = getattr(cause, "cause", None) or cause.__cause__
        if isinstance(error, jsonld.JsonLdError | RecursionError | TypeError | AttributeError | KeyError):
            # PyLD trusts shapes that a stranger need not keep: its own slips are faults of the document here.
            raise RefusedError("VC_MALFORMED", "It cannot be processed as JSON-LD.") from None
