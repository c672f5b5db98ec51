"""What a payment provider tells of its own accord, and why it may not be believed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from cohortlens.core.errors import InvalidArgument


@dataclass(frozen=True)
class ProviderEvent:
    """Something that happened at the provider; what it means is asked there, never read from it.

    Attributes:
        id: Identifier; the same in every delivery.
        type: Such as ``invoice.paid``.
        livemode: Whether it is about real money.
        api_version: In which shape it came; empty for a thin one.
        created_at: When it happened.
        customer_id: Whom it is about; empty when it does not say.
        object_id: What it is about.
        refs: Identifiers that lead further: ``charge``, ``subscription``, ``client_reference``, ``tenant``
            (of the metadata: compared, never used). No personal data.
        is_thin: Whether it only points at what happened.
    """

    id: str
    type: str
    livemode: bool
    api_version: str
    created_at: datetime
    customer_id: str
    object_id: str
    refs: Mapping[str, str] = field(default_factory=dict)
    is_thin: bool = False


class WebhookSignatureInvalid(InvalidArgument):
    """Not signed by the provider, or not now."""

    reason = "WEBHOOK_SIGNATURE_INVALID"


class WebhookEnvironmentMismatch(InvalidArgument):
    """Genuine, but of another account or about another kind of money."""

    reason = "WEBHOOK_ENVIRONMENT_MISMATCH"
