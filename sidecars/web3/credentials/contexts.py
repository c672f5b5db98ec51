"""The closed set of JSON-LD contexts: nothing is ever fetched, and none that was altered is used.

A context is known by the SHA-256 of its RFC 8785 form, so neither white space nor the packager matters. The
W3C's file of ``credentials/v2`` comes with PyLD; those of Data Integrity and Multikey with the npm packages
that set-up installs. Without them a credential that names one is refused, and the health report says so.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rfc8785
from pyld.documentloader.frozen import BUNDLED_CONTEXTS

CREDENTIALS_V2 = "https://www.w3.org/ns/credentials/v2"
DATA_INTEGRITY_V2 = "https://w3id.org/security/data-integrity/v2"
MULTIKEY_V1 = "https://w3id.org/security/multikey/v1"
EXAMPLES_V2 = "https://www.w3.org/ns/credentials/examples/v2"
UNDEFINED_TERMS_V2 = "https://www.w3.org/ns/credentials/undefined-terms/v2"

# These two contexts are one fact each: the vocabulary that terms without a definition belong to.
_VOCABULARIES = {
    EXAMPLES_V2: "https://www.w3.org/ns/credentials/examples#",
    UNDEFINED_TERMS_V2: "https://www.w3.org/ns/credentials/undefined-term#",
}
_OF_NPM = {
    DATA_INTEGRITY_V2: "@digitalbazaar/data-integrity-context/contexts/data-integrity-v2.jsonld",
    MULTIKEY_V1: "@digitalbazaar/multikey-context/contexts/multikey-v1.jsonld",
}
DIGESTS: Mapping[str, str] = {
    CREDENTIALS_V2: "b463c8d6a066214123ddd9827b135e1b50e1fc73322cc52a9b12a4f1fc7d86cf",
    DATA_INTEGRITY_V2: "7ba3c50acf2689d5e07927267343eb353249c7c22a9f2d00307cc970e855e305",
    MULTIKEY_V1: "be20c3ee6af6e9c4102e66a85c26617831218e32216bdf050f870e389e737cdc",
}
"""SHA-256 of the RFC 8785 form of each context that is a file."""


class UnknownContextError(Exception):
    """A document names a context that is not in the set."""


class AlteredContextError(Exception):
    """A context file is not the one its publisher signed off; the sidecar does not start with it."""


@dataclass(frozen=True)
class Contexts:
    """Contexts by URL, and the digests of the inline ones that may stand in a document.

    Attributes:
        documents: URL -> the context's document.
        inline: SHA-256 of the RFC 8785 form of each inline context that is known.
    """

    documents: Mapping[str, Mapping[str, Any]]
    inline: frozenset[bytes] = field(default_factory=frozenset)

    @property
    def missing(self) -> tuple[str, ...]:
        """The URLs of the set that this machine has no file of."""
        return tuple(sorted(url for url in DIGESTS if url not in self.documents))

    def knows(self, context: object) -> bool:
        """Whether one entry of an ``@context`` may be used."""
        if isinstance(context, str):
            return context in self.documents
        if not isinstance(context, dict):
            return False
        try:
            return hashlib.sha256(rfc8785.dumps(context)).digest() in self.inline
        except rfc8785.CanonicalizationError:
            return False

    def load(self, url: str, _options: object) -> dict[str, Any]:
        """PyLD's document loader over the set.

        Raises:
            UnknownContextError: The URL is not in it.
        """
        if url not in self.documents:
            raise UnknownContextError(url)
        return {
            "contentType": "application/ld+json",
            "contextUrl": None,
            "documentUrl": url,
            "document": self.documents[url],
            # Lets PyLD keep what it made of it.
            "tag": "static",
        }

    def joined(self, documents: Mapping[str, Mapping[str, Any]]) -> Contexts:
        """This set with more documents; the ones given win."""
        return Contexts({**self.documents, **documents}, self.inline)


def bundled(node_modules: Path | None = None, inline: tuple[Mapping[str, Any], ...] = ()) -> Contexts:
    """The set of this installation.

    Args:
        node_modules: Folder of the npm packages of set-up; without it their contexts are missing.
        inline: Inline contexts that are known, such as our own.

    Raises:
        AlteredContextError: A file differs from what its publisher published.
    """
    documents: dict[str, Mapping[str, Any]] = {
        url: {"@context": {"@vocab": vocabulary}} for url, vocabulary in _VOCABULARIES.items()
    }
    files = {CREDENTIALS_V2: Path(BUNDLED_CONTEXTS[CREDENTIALS_V2])}
    if node_modules is not None:
        files |= {
            url: node_modules / name for url, name in _OF_NPM.items() if (node_modules / name).is_file()
        }
    for url, path in files.items():
        documents[url] = _read(url, path)
    digests = frozenset(hashlib.sha256(rfc8785.dumps(dict(one))).digest() for one in inline)
    return Contexts(documents, digests)


def _read(url: str, path: Path) -> Mapping[str, Any]:
    document: Mapping[str, Any] = json.loads(path.read_bytes())
    if hashlib.sha256(rfc8785.dumps(dict(document))).hexdigest() != DIGESTS[url]:
        raise AlteredContextError(f"The file of the context {url} was altered; install it again: make setup")
    return document
