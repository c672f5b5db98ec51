"""What the files of a folder of credential vectors are to one another: contexts, keys, documents, proofs.

A file is known by what it holds. Contexts are used for this run only; their addresses come from an
``index.json`` {file: address}, from ``name = https://...`` or table rows of a ``SOURCES*`` file, from the names
under which the W3C publishes them, or from their content.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from sidecars.web3.credentials.canonical import RdfCanonicalizer, jcs_digest
from sidecars.web3.credentials.contexts import (
    CREDENTIALS_V2,
    DATA_INTEGRITY_V2,
    DIGESTS,
    EXAMPLES_V2,
    MULTIKEY_V1,
    UNDEFINED_TERMS_V2,
    bundled,
)
from sidecars.web3.credentials.multikeys import PublicKey, read_public
from sidecars.web3.credentials.refusals import RefusedError
from tests.vectors.cases import Case, Format, Vector, differing

_NAMES = {
    "credentials-v2": CREDENTIALS_V2,
    "data-integrity-v2": DATA_INTEGRITY_V2,
    "multikey-v1": MULTIKEY_V1,
    "credentials-examples-v2": EXAMPLES_V2,
    "credentials-undefined-terms-v2": UNDEFINED_TERMS_V2,
}
_ENTRY = re.compile(r"([\w.-]+)\s*=\s*(https?://[^\s;,()]+)(?:\s*\(SHA-256 ([0-9a-f]{64})\))?")
_ROW = re.compile(r"^\|\s*([\w./-]+)\s*\|(?:.*\|)?\s*(https?://[^\s|]+)\s*\|", re.MULTILINE)
KEY_MEMBERS = {"publicKeyMultibase", "privateKeyMultibase"}


@dataclass
class Sources:
    """The files of one run, by kind.

    Attributes:
        contexts: Address -> context document.
        seeds: Public key (multibase) -> private key (multibase).
        secured: Secured documents by path.
        unsigned: Documents without proof by path.
    """

    contexts: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    seeds: dict[str, str] = field(default_factory=dict)
    secured: dict[Path, Mapping[str, Any]] = field(default_factory=dict)
    unsigned: dict[Path, Mapping[str, Any]] = field(default_factory=dict)

    def canonicalizer(self) -> RdfCanonicalizer:
        """Canonicalises with the contexts of the run before those of the product."""
        return RdfCanonicalizer(bundled().joined(self.contexts))

    def key_of(self, method: str) -> PublicKey:
        """The key of a verification method: its own text, or the only key pair of the run.

        Raises:
            RefusedError: There is none.
        """
        try:
            return read_public(method.rpartition("#")[2].removeprefix("did:key:"))
        except RefusedError:
            if len(self.seeds) != 1:
                raise
            return read_public(next(iter(self.seeds)))


@lru_cache(maxsize=4)
def sources_of(root: Path) -> Sources:
    """Everything below a folder."""
    found = Sources()
    for path in sorted((*root.rglob("*.json"), *root.rglob("*.jsonld"))):
        content = _content(path)
        if is_context(content):
            if (url := address_of(path, content, root)) is not None:
                found.contexts[url] = content
        elif is_secured(content):
            found.secured[path] = content
        elif is_unsigned(content):
            found.unsigned[path] = content
        for pair in key_pairs(content).values():
            found.seeds[pair["publicKeyMultibase"]] = pair["privateKeyMultibase"]
    return found


def is_context(content: Mapping[str, Any]) -> bool:
    """Whether content is a context document and nothing else."""
    return set(content) == {"@context"}


def is_secured(content: Mapping[str, Any]) -> bool:
    """Whether content is a document with proofs."""
    return "proof" in content


def is_unsigned(content: Mapping[str, Any]) -> bool:
    """Whether content is a document still to be signed."""
    return "@context" in content and not {"proof", "cryptosuite"} & content.keys() and not is_context(content)


def key_pairs(content: Mapping[str, Any]) -> dict[str, Mapping[str, str]]:
    """The key pairs of a file by name: the file itself, or its members one level down."""
    if content.keys() >= KEY_MEMBERS:
        return {"keyPair": content}
    return {
        name: pair for name, pair in content.items() if isinstance(pair, dict) and pair.keys() >= KEY_MEMBERS
    }


def address_of(path: Path, content: Mapping[str, Any], root: Path) -> str | None:
    """The address of a context file, if anything says it."""
    stated = _stated(path, root)
    if stated is not None:
        return stated[0]
    if path.stem in _NAMES:
        return _NAMES[path.stem]
    digest = jcs_digest(dict(content)).hex()
    return next((url for url, known in DIGESTS.items() if known == digest), None)


def _cases(vector: Vector) -> Iterator[Case]:
    url = address_of(vector.path, vector.content, vector.root)
    if url is None:
        yield Case("address", ("expected an address of the context in index.json or SOURCES*, found none",))
        return
    stated = _stated(vector.path, vector.root)
    if stated is not None and stated[1]:
        found = hashlib.sha256(vector.path.read_bytes()).hexdigest()
        yield Case("sha256", differing(stated[1], found))
    if url in DIGESTS:
        yield Case("bundled", differing(DIGESTS[url], jcs_digest(dict(vector.content)).hex()))
    else:
        yield Case("document", ())


def _stated(path: Path, root: Path) -> tuple[str, str] | None:
    """Address and SHA-256 ("" when not given) that an index or a list of sources states for a file."""
    for folder in _upwards(path.parent, root):
        index = folder / "index.json"
        if index.is_file() and path.name in (stated := _content(index)):
            return str(stated[path.name]), ""
        for listing in sorted(folder.glob("SOURCES*")):
            text = listing.read_text("utf-8")
            entries = [*_ENTRY.findall(text), *((name, url, "") for name, url in _ROW.findall(text))]
            for name, url, digest in entries:
                if Path(name).name in (path.name, path.stem):
                    return url.rstrip("."), digest
    return None


def _upwards(folder: Path, root: Path) -> Iterator[Path]:
    yield folder
    while folder != root and folder != folder.parent:
        folder = folder.parent
        yield folder
    # A run over one folder of a collection finds the list of sources beside it.
    yield root.parent


def _content(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, OSError):
        return {}
    return content if isinstance(content, dict) else {}


CONTEXT = Format("context", is_context, _cases)
