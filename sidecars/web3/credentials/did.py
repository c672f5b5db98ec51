"""DIDs as text: did:key, did:web, and what a DID document says about one key. Pure, no network.

Sources: the did:key method (w3c-ccg), the did:web method (w3c-ccg), Controlled Identifiers 1.0.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Any

from sidecars.web3.credentials.multikeys import ED25519, PublicKey, malformed, read_public, x25519_of
from sidecars.web3.credentials.reading import JsonObject
from sidecars.web3.credentials.refusals import RefusedError

DID_CONTEXT = "https://www.w3.org/ns/did/v1"
MULTIKEY_CONTEXT = "https://w3id.org/security/multikey/v1"
_MAX_DID = 256
_KEY = "did:key:"
_WEB = "did:web:"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"({_LABEL}(?:\.{_LABEL})*)(?:%3A([1-9][0-9]{{0,4}}))?\Z")
_SEGMENT = re.compile(r"[A-Za-z0-9._-]+\Z")
_ED25519_TYPES = ("Multikey", "Ed25519VerificationKey2020")


@dataclass(frozen=True)
class WebDid:
    """A did:web in parts.

    Attributes:
        did: The DID.
        host: Host, lower case.
        port: Port, or None for that of the scheme.
        path: Segments of the path.
    """

    did: str
    host: str
    port: int | None
    path: tuple[str, ...]

    @property
    def authority(self) -> str:
        """Host, and port where there is one, as allow-lists write it."""
        return self.host if self.port is None else f"{self.host}:{self.port}"

    def document_path(self) -> str:
        """Path of the document on its host."""
        return "/" + "/".join((*(self.path or (".well-known",)), "did.json"))


def key_did(public: PublicKey) -> str:
    """The did:key of a key."""
    return _KEY + public.multibase


def key_method(public: PublicKey) -> str:
    """The DID URL of a did:key's only signing key."""
    return f"{key_did(public)}#{public.multibase}"


def read_key_did(did: str) -> PublicKey:
    """The key that a did:key is.

    Raises:
        RefusedError: DID_KEY_MALFORMED or DID_KEY_TYPE_UNSUPPORTED.
    """
    if not did.startswith(_KEY) or len(did) > _MAX_DID:
        raise malformed(f"a did:key begins with {_KEY} and has at most {_MAX_DID} characters")
    return read_public(did.removeprefix(_KEY))


def split_method(method: str) -> tuple[str, str]:
    """DID and fragment of a verification method.

    Raises:
        RefusedError: DID_MALFORMED.
    """
    did, hash_sign, fragment = method.partition("#")
    if not did.startswith("did:") or not hash_sign or not fragment or "#" in fragment:
        raise RefusedError("DID_MALFORMED", "A verification method is a DID, '#', and the name of a key.")
    return did, fragment


def is_web(did: str) -> bool:
    """Whether it claims to be a did:web."""
    return did.startswith(_WEB)


def is_key(did: str) -> bool:
    """Whether it claims to be a did:key."""
    return did.startswith(_KEY)


def read_web_did(did: str) -> WebDid:
    """The parts of a did:web.

    Raises:
        RefusedError: DID_MALFORMED.
    """
    host, *path = did.removeprefix(_WEB).split(":")
    found = _HOST.match(host)
    if not is_web(did) or len(did) > _MAX_DID or not found:
        raise _web_malformed("its host is a lower-case name, a port is written %3A")
    name, port = found[1], int(found[2]) if found[2] else None
    # A last label of digits (or 0x..) is an IPv4 address to resolvers, whatever its other labels say.
    if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", name.rsplit(".", 1)[-1]) or (port or 0) > 65_535:
        raise _web_malformed("its host is a name, no address, and its port at most 65535")
    if not all(_SEGMENT.match(one) and set(one) != {"."} for one in path):
        raise _web_malformed("its path has segments of letters, digits, '.', '_' and '-'")
    return WebDid(did, name, port, tuple(path))


def web_did(host: str, *path: str) -> str:
    """The did:web of a host, ``name`` or ``name:port``, and a path."""
    return _WEB + ":".join((host.replace(":", "%3A"), *path))


def key_in_document(document: JsonObject, did: str, method: str) -> PublicKey:
    """The Ed25519 key of one verification method of a DID document.

    Raises:
        RefusedError: DID_DOCUMENT_INVALID, VC_VERIFICATION_METHOD_UNKNOWN, DID_KEY_*.
    """
    if document.get("id") != did:
        raise _document_invalid("its id is not the DID")
    listed = [one for one in _list(document.get("verificationMethod")) if isinstance(one, dict)]
    fragment = method.removeprefix(did)
    # An entry may name itself by its fragment alone; the document's id is its base.
    found = [one for one in listed if one.get("id") in (method, fragment)]
    if not found:
        raise RefusedError("VC_VERIFICATION_METHOD_UNKNOWN", "The issuer's DID document has no such key.")
    if len(found) > 1:
        raise _document_invalid("it has two keys of that name")
    if found[0].get("controller") != did:
        raise _document_invalid("the key's controller is not the DID")
    if not any(_names(one, (method, fragment)) for one in _list(document.get("assertionMethod"))):
        raise _document_invalid("the key is not listed for assertions")
    return _key_of(found[0])


def ed25519_only(public: PublicKey) -> PublicKey:
    """The key, if an eddsa proof may be made with it.

    Raises:
        RefusedError: DID_KEY_TYPE_UNSUPPORTED.
    """
    if public.type != ED25519:
        raise RefusedError(
            "DID_KEY_TYPE_UNSUPPORTED", f"An eddsa proof needs an Ed25519 key, this one is {public.type}."
        )
    return public


def did_document(did: str, methods: list[tuple[str, PublicKey]]) -> JsonObject:
    """The DID document of a DID of ours.

    Args:
        did: The DID.
        methods: DID URL and public key of each key, all Ed25519.
    """
    document: JsonObject = {
        "@context": [DID_CONTEXT, MULTIKEY_CONTEXT],
        "id": did,
        "verificationMethod": [
            {"id": name, "type": "Multikey", "controller": did, "publicKeyMultibase": key.multibase}
            for name, key in methods
        ],
        "assertionMethod": [name for name, _ in methods],
    }
    if is_key(did):
        agreement = x25519_of(methods[0][1].raw)
        name = f"{did}#{agreement.multibase}"
        entry = {"id": name, "type": "Multikey", "controller": did}
        document["keyAgreement"] = [{**entry, "publicKeyMultibase": agreement.multibase}]
    return document


def _key_of(entry: JsonObject) -> PublicKey:
    if entry.get("type") in _ED25519_TYPES:
        text = entry.get("publicKeyMultibase")
        if not isinstance(text, str):
            raise _document_invalid("the key has no publicKeyMultibase")
        return ed25519_only(read_public(text))
    jwk = entry.get("publicKeyJwk")
    if entry.get("type") in ("JsonWebKey", "JsonWebKey2020") and isinstance(jwk, dict):
        if (jwk.get("kty"), jwk.get("crv")) != ("OKP", ED25519):
            raise RefusedError("DID_KEY_TYPE_UNSUPPORTED", "An eddsa proof needs an Ed25519 key.")
        return ed25519_only(read_public(PublicKey(ED25519, _unpadded(jwk.get("x"))).multibase))
    raise RefusedError("DID_KEY_TYPE_UNSUPPORTED", "The key is of a type that is not supported.")


def _unpadded(text: Any) -> bytes:
    if not isinstance(text, str) or not re.fullmatch(r"[A-Za-z0-9_-]{43}", text):
        raise malformed("its x is no base64url of 32 bytes")
    try:
        return base64.urlsafe_b64decode(text + "=")
    except binascii.Error:
        raise malformed("its x is no base64url") from None


def _names(entry: Any, names: tuple[str, ...]) -> bool:
    return (entry.get("id") if isinstance(entry, dict) else entry) in names


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _web_malformed(fault: str) -> RefusedError:
    return RefusedError("DID_MALFORMED", f"The did:web cannot be read: {fault}.")


def _document_invalid(fault: str) -> RefusedError:
    return RefusedError("DID_DOCUMENT_INVALID", f"The DID document cannot be used: {fault}.")
