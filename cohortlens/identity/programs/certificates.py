"""Names in client certificates: which one a service account may have, and which ones a certificate bears.

A name holds the identifier of its tenant, so the authority that signed the certificate vouches for the
tenant, and no tenant can take the name of another's program.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from cryptography import x509

from cohortlens.core.ids import TenantId
from cohortlens.identity.models import field_fault

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DNS = re.compile(rf"{_LABEL}(?:\.{_LABEL})+", re.ASCII)
_SPIFFE = re.compile(rf"spiffe://{_LABEL}(?:\.{_LABEL})*(?:/[A-Za-z0-9._-]+)+", re.ASCII)
_CHARACTERS_MAX = 253


@dataclass(frozen=True)
class Certificate:
    """What a proven client certificate says.

    Attributes:
        names: Its subject alternative names: DNS names in lower case and URIs.
        ends: When it ends; a connection may outlive it.
    """

    names: tuple[str, ...]
    ends: datetime


def certificate_name(text: str, tenant_id: TenantId, field: str) -> str:
    """The name a service account of a tenant may have in its certificate.

    Raises:
        InvalidArgument: FIELD_INVALID: no DNS name or SPIFFE URI, or without the tenant's identifier.
    """
    is_uri = text.startswith("spiffe://")
    form = _SPIFFE if is_uri else _DNS
    if len(text) > _CHARACTERS_MAX or form.fullmatch(text) is None:
        raise field_fault(field, "must be a DNS name in lower case or a URI spiffe://<trust domain>/<path>")
    parts = text.removeprefix("spiffe://").split("/")[1:] if is_uri else text.split(".")
    if str(tenant_id) not in parts:
        where = "a part of the path" if is_uri else "a label"
        raise field_fault(field, f"must hold the identifier of the tenant as {where}, such as {tenant_id}")
    return text


@lru_cache(1024)
def certificate(pem: str) -> Certificate:
    """What a certificate says whose signature the TLS stack has proven.

    Raises:
        ValueError: It cannot be read.
    """
    parsed = x509.load_pem_x509_certificate(pem.encode("ascii"))
    try:
        alternative = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return Certificate((), parsed.not_valid_after_utc)
    dns = [name.lower() for name in alternative.get_values_for_type(x509.DNSName)]
    uris = alternative.get_values_for_type(x509.UniformResourceIdentifier)
    return Certificate((*dns, *uris), parsed.not_valid_after_utc)
