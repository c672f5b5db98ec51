"""Terms of an offer, derived from its contributors' consents, and its entry in a catalogue.

Source:
    ODRL Information Model 2.2 (W3C): Offer, permission, prohibition, duty, constraint; DCAT 3 (W3C): Dataset.
    The form is that of the pinning service: no free text, so no name can stand in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import rfc8785

from cohortlens.marketplace.models import Spec
from cohortlens.marketplace.privacy import MILLI

DELETE_WITHIN = timedelta(days=30)


def offer_terms(
    offer_id: UUID, version: int, spec: Spec, permitted: Sequence[str], all_purposes: Sequence[str]
) -> bytes:
    """The terms as RFC 8785 bytes.

    Args:
        offer_id: The offer.
        version: Its version.
        spec: What is offered.
        permitted: Purposes for which answers may be used: every contributor allows them.
        all_purposes: All of the tenant's; the others are prohibited.
    """
    return rfc8785.dumps(_terms(f"urn:uuid:{offer_id}", offer_id, version, spec, permitted, all_purposes))


def agreement_terms(
    settlement_id: UUID, offer_id: UUID, version: int, spec: Spec, words: dict[str, Any], agreed_at: datetime
) -> dict[str, Any]:
    """The terms of one agreement, as they are signed and pinned: those of its version, with its own times.

    Args:
        settlement_id: Names it; neither buyer nor seller stands in it.
        offer_id: The offer.
        version: The version that was agreed to.
        spec: What it offers.
        words: The version's terms.
        agreed_at: When both sides agreed.
    """
    return {
        **words,
        "uid": f"urn:uuid:{settlement_id}",
        "target": f"urn:uuid:{offer_id}",
        "version": version,
        "issuedAt": second(agreed_at),
        "expiresAt": second(spec.ends_at),
    }


def _terms(
    uid: str, offer_id: UUID, version: int, spec: Spec, permitted: Sequence[str], all_purposes: Sequence[str]
) -> dict[str, Any]:
    end = {"leftOperand": "odrl:dateTime", "operator": "odrl:lteq", "rightOperand": second(spec.ends_at)}
    gone = second(spec.ends_at + DELETE_WITHIN)
    deletion = {"leftOperand": "odrl:dateTime", "operator": "odrl:lteq", "rightOperand": gone}
    prohibition: list[dict[str, Any]] = [{"action": "reidentify"}, {"action": "odrl:distribute"}]
    if refused := sorted(set(all_purposes) - set(permitted)):
        prohibition.append({"action": "odrl:use", "constraint": [_purposes("odrl:isAnyOf", refused)]})
    terms: dict[str, Any] = {
        "uid": uid,
        "version": version,
        "profile": "https://w3id.org/dpv/odrl",
        "target": f"urn:uuid:{offer_id}",
        "permission": [
            {
                "action": "odrl:aggregate",
                "constraint": [_purposes("odrl:isAnyOf", sorted(permitted)), end],
                "duty": [{"action": "odrl:delete", "constraint": [deletion]}],
            }
        ],
        "prohibition": prohibition,
        "expiresAt": second(spec.ends_at),
    }
    if spec.price_minor:
        terms["price"] = {"amount_minor": spec.price_minor, "currency": spec.currency}
    if spec.incentive_micro:
        terms["incentive"] = {"amount_micro": spec.incentive_micro}
    return terms


def dcat_entry(
    offer_id: UUID, version: int, spec: Spec, seller: str, published_at: datetime
) -> dict[str, Any]:
    """The offer as a dataset of a catalogue; its words are the seller's."""
    return {
        "@context": {
            "dcat": "http://www.w3.org/ns/dcat#",
            "dct": "http://purl.org/dc/terms/",
            "odrl": "http://www.w3.org/ns/odrl/2/",
        },
        "@id": f"urn:uuid:{offer_id}",
        "@type": "dcat:Dataset",
        "dct:title": spec.title,
        "dct:description": spec.description,
        "dct:publisher": seller,
        "dct:issued": second(published_at),
        "dcat:version": str(version),
        "dcat:keyword": [one.name for one in spec.dimensions],
        "odrl:hasPolicy": {"@id": f"urn:uuid:{offer_id}"},
    }


def privacy_sentence(agreement_milli: int, offer_milli: int) -> str:
    """What buyers can learn about one person at most, as odds; the numbers follow the budgets.

    Args:
        agreement_milli: Budget of one agreement, thousandths of epsilon.
        offer_milli: Budget of the offer and its tenant.
    """
    return (
        "From everything one buyer can ask in a year, their odds that a given person is in this data change "
        f"by at most a factor of {_factor(agreement_milli)} (epsilon {agreement_milli / MILLI:.1f}); "
        f"if all buyers pooled their answers, {_factor(offer_milli)} (epsilon {offer_milli / MILLI:.1f})."
    )


def _factor(milli: int) -> str:
    """exp(epsilon) for people: two digits."""
    value = _E ** (milli / MILLI)
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"


_E = 2.718281828459045


def second(at: datetime) -> str:
    """A UTC time in whole seconds, as documents write it."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _purposes(operator: str, keys: Sequence[str]) -> dict[str, Any]:
    return {"leftOperand": "odrl:purpose", "operator": operator, "rightOperand": list(keys)}
