"""Vectors of keys: Multikey pairs, and did:key files, whose members are named by their DID.

The documents of did:key files have the shape of 2018; their keys are compared, their shape is not.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any

import base58
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sidecars.web3.credentials import did as dids
from sidecars.web3.credentials.multikeys import (
    CURVES,
    ED25519,
    PublicKey,
    public_of,
    read_public,
    read_seed,
    x25519_of,
)
from sidecars.web3.credentials.refusals import RefusedError
from tests.vectors.cases import Case, Format, Vector, differing
from tests.vectors.vc_sources import key_pairs

_KEYS = ("verificationKeyPair", "verificationMethod", "keyPair")
_AGREEMENTS = ("keyAgreementKeyPair", "keyAgreement")
_SEED_BYTES = 32


def _pairs(vector: Vector) -> Iterator[Case]:
    for name, pair in key_pairs(vector.content).items():
        public = pair["publicKeyMultibase"]
        yield Case(
            f"{name}/derives", differing(public, public_of(read_seed(pair["privateKeyMultibase"])).multibase)
        )
        did = dids.key_did(read_public(public))
        yield Case(f"{name}/did:key", differing(public, dids.read_key_did(did).multibase))


def _is_did_keys(content: Mapping[str, Any]) -> bool:
    return bool(content) and all(name.startswith("did:key:") for name in content)


def _did_keys(vector: Vector) -> Iterator[Case]:
    for did, entry in vector.content.items():
        try:
            key = dids.read_key_did(did)
        except RefusedError as refused:
            # A type that the product does not know must be told as such, never as a fault of the text.
            yield Case(f"{did}/refused", differing("DID_KEY_TYPE_UNSUPPORTED", refused.reason))
            continue
        yield Case(f"{did}/round trip", differing(did, dids.key_did(key)))
        for member in _KEYS:
            if isinstance(entry.get(member), dict):
                yield from _key_cases(f"{did}/{member}", entry[member], key)
        if key.type == ED25519:
            yield from _edwards_cases(did, entry, key)


def _key_cases(name: str, entry: Mapping[str, Any], key: PublicKey) -> Iterator[Case]:
    if "publicKeyBase58" in entry:
        yield Case(
            f"{name}/public", differing(entry["publicKeyBase58"], base58.b58encode(key.raw).decode("ascii"))
        )
    if "publicKeyJwk" in entry:
        yield Case(f"{name}/public", differing(_raw_of(entry["publicKeyJwk"]).hex(), key.raw.hex()))
    private = _private(entry, key)
    if private is not None:
        yield Case(f"{name}/derives", differing(key.raw.hex(), _derived(key.type, private).hex()))


def _private(entry: Mapping[str, Any], key: PublicKey) -> bytes | None:
    if "privateKeyBase58" in entry:
        private = base58.b58decode(entry["privateKeyBase58"])
        # Ed25519 private keys are often written with their public key behind them.
        return private[:_SEED_BYTES] if key.type == ED25519 else private
    if "d" in entry.get("privateKeyJwk", {}):
        return _unpadded(entry["privateKeyJwk"]["d"])
    return None


def _edwards_cases(did: str, entry: Mapping[str, Any], key: PublicKey) -> Iterator[Case]:
    if "seed" in entry:
        derived = _derived(ED25519, bytes.fromhex(entry["seed"]))
        yield Case(f"{did}/seed", differing(dids.key_did(PublicKey(ED25519, derived)), did))
    agreement = x25519_of(key.raw)
    for member in _AGREEMENTS:
        pair = entry.get(member)
        if not isinstance(pair, dict):
            continue
        yield Case(f"{did}/{member}/id", differing(pair["id"].rpartition("#")[2], agreement.multibase))
        if "publicKeyBase58" in pair:
            found = base58.b58encode(agreement.raw).decode("ascii")
            yield Case(f"{did}/{member}/public", differing(pair["publicKeyBase58"], found))
        if "privateKeyBase58" in pair:
            found = _derived("X25519", base58.b58decode(pair["privateKeyBase58"])).hex()
            yield Case(f"{did}/{member}/derives", differing(agreement.raw.hex(), found))


def _derived(kind: str, private: bytes) -> bytes:
    """The raw public key of a raw private one."""
    if kind in CURVES:
        point = ec.derive_private_key(int.from_bytes(private, "big"), CURVES[kind]).public_key()
        return point.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    if kind == ED25519:
        return public_of(Ed25519PrivateKey.from_private_bytes(private)).raw
    public = X25519PrivateKey.from_private_bytes(private).public_key()
    return public.public_bytes(Encoding.Raw, PublicFormat.Raw)


def _raw_of(jwk: Mapping[str, str]) -> bytes:
    if "y" not in jwk:
        return _unpadded(jwk["x"])
    x, y = _unpadded(jwk["x"]), _unpadded(jwk["y"])
    return bytes([2 + y[-1] % 2]) + x


def _unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


KEY_PAIRS = Format("key pairs", lambda content: bool(key_pairs(content)), _pairs)
DID_KEYS = Format("did:key", _is_did_keys, _did_keys)
