"""ConsentService: its servicers in one."""

from __future__ import annotations

from types import SimpleNamespace

from cohortlens.bootstrap.consent import Consent
from cohortlens.core.paging import PageTokens
from gateway.servicers.consent_checks import ConsentChecksServicer
from gateway.servicers.consent_purposes import ConsentPurposesServicer
from gateway.servicers.joined import joined


def consent_servicer(consent: Consent, tokens: PageTokens) -> SimpleNamespace:  # noqa: ARG001 - lists come
    """The servicer of ``cohortlens.v1.ConsentService``.

    Args:
        consent: The use cases.
        tokens: Seals the tokens of lists.
    """
    return joined(
        ConsentPurposesServicer(consent.purposes), ConsentChecksServicer(consent.checks, consent.watch)
    )
