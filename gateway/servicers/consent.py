"""ConsentService: its servicers in one."""

from __future__ import annotations

from types import SimpleNamespace

from cohortlens.bootstrap.consent import Consent
from cohortlens.bootstrap.rights import Rights
from cohortlens.bootstrap.web3 import Web3
from cohortlens.core.paging import PageTokens
from gateway.servicers.consent_acts import ConsentActsServicer
from gateway.servicers.consent_checks import ConsentChecksServicer
from gateway.servicers.consent_links import ConsentLinksServicer
from gateway.servicers.consent_notices import ConsentNoticesServicer
from gateway.servicers.consent_purposes import ConsentPurposesServicer
from gateway.servicers.consent_reading import ConsentReadingServicer
from gateway.servicers.credentials import CredentialsServicer
from gateway.servicers.data_requests import DataRequestsServicer
from gateway.servicers.joined import joined
from gateway.servicers.published import Documents


def consent_servicer(consent: Consent, rights: Rights, web3: Web3, tokens: PageTokens) -> SimpleNamespace:
    """The servicer of ``cohortlens.v1.ConsentService``.

    Args:
        consent: The use cases.
        rights: Those of requests about data, and of links.
        web3: Those of credentials and of what follows a consent.
        tokens: Seals the tokens of lists.
    """
    return joined(
        ConsentPurposesServicer(consent.purposes),
        ConsentNoticesServicer(consent.notices),
        ConsentActsServicer(consent.acts, consent.history),
        ConsentReadingServicer(consent.history, consent.receipts, tokens),
        ConsentChecksServicer(consent.checks, consent.watch),
        DataRequestsServicer(rights, tokens),
        ConsentLinksServicer(rights, consent.acts, consent.history),
        CredentialsServicer(web3.credentials, web3.progress, tokens, Documents()),
    )
