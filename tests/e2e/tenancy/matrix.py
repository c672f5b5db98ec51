"""The isolation matrix, read from the descriptors: each field of each request that can name something of a tenant.

A text field that is neither a kind of identifier nor in the list of other texts stops the tests: whoever adds
one says which of the two it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format, message_factory
from google.protobuf.descriptor import Descriptor, MethodDescriptor

from cohortlens.v1 import (
    analytics_pb2,
    audit_pb2,
    auth_pb2,
    billing_pb2,
    common_pb2,
    consent_acts_pb2,
    consent_pb2,
    customers_pb2,
    marketplace_pb2,
    models_pb2,
    rewards_pb2,
)
from gateway.http.comments import Comments

FILES = tuple(
    one.DESCRIPTOR
    for one in (
        analytics_pb2,
        audit_pb2,
        auth_pb2,
        billing_pb2,
        consent_pb2,
        customers_pb2,
        marketplace_pb2,
        models_pb2,
        rewards_pb2,
    )
)
KINDS = {
    "api_key": "api_key",
    "base_run": "segmentation",
    "batch": "batch",
    "challenge": "challenge",
    "credential": "credential",
    "customer": "customer",
    "customers": "customer",
    "data_request": "data_request",
    "drift_report": "drift_report",
    "export": "export",
    "filter": "filter",
    "import": "import",
    "input": "input",
    "invitation": "invitation",
    "kid": "kid",
    "notice": "notice",
    "oauth_client": "oauth_client",
    "offer": "offer",
    "page_token": "page_token",
    "prediction": "prediction",
    "receipt": "receipt",
    "reward": "reward",
    "run": "run",
    "service_account": "service_account",
    "session": "session",
    "tenant": "tenant",
    "transfer_to": "user",
    "user": "user",
    "wallet": "wallet",
}
"""What a field of a name holds; a field of a list holds one of them."""
# fmt: off
OTHER_TEXTS = frozenset({
    "cid", "content_type", "data", "delivery", "issuer", "of", "salt", "signed_json", "status_list",
    "activities", "purposes", "data_categories", "description", "dpv_purpose", "purpose", "recipients", "title", "versions_of",
    "identity_verification", "page_url", "secret",
    "authority", "contact", "content", "country", "locale", "name", "record_json", "rights_url", "signature",
    "storage_countries", "url", "user_agent", "address", "external_id",
    "cancel_url", "event", "plan", "return_url", "success_url",
    "agreement",  # needs 100 contributors: tests/integration/marketplace
    "dimension", "dimensions", "measures",
    "attribute", "attribute_values", "countries", "first_from", "first_to", "segments", "skus", "time_zone",
    "accept_terms_version", "actor", "alg", "as_of", "audiences", "certificate_name", "chunk", "client_assertion",
    "client_assertion_type", "client_id", "code", "code_challenge", "code_challenge_method",
    "code_verifier", "columns", "correlation_id", "crv", "currency", "customer_ref", "delimiter", "device_name",
    "display_name", "e", "email", "encoding", "etag", "features", "file_name", "grant_type", "id_column",
    "ip_allowlist", "jwks", "key", "key_set", "kty", "mfa_token", "model", "n", "new_password",
    "old_password", "password", "period", "reason", "redirect_uri", "redirect_uris", "reference_as_of", "refresh_token",
    "request_id", "resume_token",
    "response_type", "role", "schema_hash", "scope", "scopes", "segment", "state", "terms_version",
    "token", "token_type_hint", "totp", "type", "use", "value", "values", "x", "y",
})
# fmt: on
"""Texts that name nothing a tenant owns, that are secrets of their own (tokens, keys, codes), or that whoever
signs in anywhere may know (client_id, RFC 6749 section 2.2)."""
_TRAINING_RUNS = {"GetTrainingRun", "CancelTrainingRun"}
_OWN_KEY = {"CreateServiceAccount", "AddServiceAccountKey"}
_COMMENTS = Comments.load()
_RULES: Any = common_pb2.rules


@dataclass(frozen=True)
class Case:
    """One field of one request.

    Attributes:
        method: The RPC.
        path: Names of the fields that lead to it.
        kind: What it names.
    """

    method: MethodDescriptor
    path: tuple[str, ...]
    kind: str

    def __str__(self) -> str:
        return f"{self.method.name}.{'.'.join(self.path)}"

    def request(self, value: str, own: dict[str, str], email: str, password: str) -> Any:
        """The request's example by a caller who owns ``own``, with ``value`` in this field."""
        message = message_factory.GetMessageClass(self.method.input_type)()
        example = _COMMENTS.of(self.method.input_type.full_name).example
        json_format.ParseDict(example, message)
        for path, kind in identifiers(self.method):
            if kind in own and _get(message, path):
                _set(message, path, own[kind])
        for name, text in (("email", email), ("password", password)):
            if name in self.method.input_type.fields_by_name:
                setattr(message, name, text)
        if "Own" in self.method.name and "link_token" in own:
            message.token = own["link_token"]
        if self.kind == "page_token":
            _widen(message)
        _set(message, self.path, value)
        if self.method.name == "BatchRecordConsents":
            message.records[0].act = consent_acts_pb2.CONSENT_ACT_GIVEN  # a withdrawal needs no notice
        if self.method.name == "PredictBatch":
            message.all_customers = False  # one or the other
        if "request_id" in self.method.input_type.fields_by_name:
            message.ClearField("request_id")  # each is a request of its own
        return message


def methods() -> Iterator[MethodDescriptor]:
    """Every RPC of the public API."""
    for file in FILES:
        for service in file.services_by_name.values():
            yield from service.methods


def cases() -> list[Case]:
    """Every field of every request that names something a tenant owns."""
    return [Case(method, path, kind) for method in methods() for path, kind in identifiers(method)]


def identifiers(method: MethodDescriptor) -> Iterator[tuple[tuple[str, ...], str]]:
    """The fields of a request that name something, with what they name."""
    for path in texts(method.input_type):
        kind = KINDS.get(path[-1])
        if kind == "run":
            kind = "training" if method.name in _TRAINING_RUNS else "segmentation"
        if path[-1] == "event" and method.name == "GetFulfilment":
            kind = "consent_event"
        # The caller's own log: it holds what the caller itself asked for, whoever that belongs to.
        if kind == "customer" and method.name == "ListAccessEntries":
            continue
        # Public: whoever was shown a notice may read it by its identifier, which is no secret.
        if kind == "notice" and method.name == "GetNotice":
            continue
        # The name a caller gives to a key of its own.
        if kind is not None and not (kind == "kid" and method.name in _OWN_KEY):
            yield path, kind


def is_required(method: MethodDescriptor, name: str) -> bool:
    """Whether a request must hold a field."""
    field = method.input_type.fields_by_name.get(name)
    return field is not None and bool(field.GetOptions().Extensions[_RULES].required)


def unnamed_texts() -> set[str]:
    """Text fields of requests that nobody has said to be an identifier or not."""
    names = {path[-1] for method in methods() for path in texts(method.input_type)}
    return names - KINDS.keys() - OTHER_TEXTS


def texts(message: Descriptor, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Paths of the text and byte fields of a message of ours."""
    for field in message.fields:
        if field.type in (field.TYPE_STRING, field.TYPE_BYTES):
            yield (*before, field.name)
        elif field.type == field.TYPE_MESSAGE and field.message_type.full_name.startswith("cohortlens."):
            yield from texts(field.message_type, (*before, field.name))


def _widen(message: Any) -> None:
    """Take out what narrows a list down, so that all of the owner's rows are in it."""
    for field in message.DESCRIPTOR.fields:
        narrows = field.type in (field.TYPE_STRING, field.TYPE_ENUM, field.TYPE_MESSAGE)
        if narrows and not field.GetOptions().Extensions[_RULES].required:
            message.ClearField(field.name)


def _holder(message: Any, path: tuple[str, ...]) -> Any:
    for name in path[:-1]:
        held = getattr(message, name)
        if message.DESCRIPTOR.fields_by_name[name].is_repeated:
            message = held[0] if held else held.add()
        else:
            message = held
    return message


def _get(message: Any, path: tuple[str, ...]) -> Any:
    return getattr(_holder(message, path), path[-1])


def _set(message: Any, path: tuple[str, ...], value: str) -> None:
    holder, name = _holder(message, path), path[-1]
    if holder.DESCRIPTOR.fields_by_name[name].is_repeated:
        del getattr(holder, name)[:]
        getattr(holder, name).append(value)
    else:
        setattr(holder, name, value)
