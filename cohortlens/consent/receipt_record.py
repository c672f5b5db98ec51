"""The record of a receipt: ISO/IEC TS 27560:2023 as JSON-LD, in the words of the Data Privacy Vocabulary.

Source:
    ISO/IEC TS 27560:2023, Consent record information structure; Guide to Implementing Consent Records and
    Receipts using DPV (W3C DPVCG), profile ``record-eu-gdpr``; DPV 2 with the extensions EU-GDPR, PD and LOC.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from cohortlens.consent.event_rows import NewEvent
from cohortlens.consent.models import ActType, LawfulBasis, Notice, Purpose

CONFORMS_TO = "https://w3id.org/dpv/schema/dpv-27560#record-eu-gdpr"
SCHEMA_VERSION = "ISO/IEC TS 27560:2023"
_CONTEXT = {
    "dct": "http://purl.org/dc/terms/",
    "dpv": "https://w3id.org/dpv#",
    "eu-gdpr": "https://w3id.org/dpv/legal/eu/gdpr#",
    "pd": "https://w3id.org/dpv/pd#",
    "schema": "https://schema.org/",
    "cl": "https://w3id.org/dpv/schema/dpv-27560#",
}
_STATUS = {
    ActType.GIVEN: "dpv:ConsentGiven",
    ActType.REAFFIRMED: "dpv:RenewedConsentGiven",
    ActType.REFUSED: "dpv:ConsentRefused",
    ActType.WITHDRAWN: "dpv:ConsentWithdrawn",
    ActType.EXPIRED: "dpv:ConsentExpired",
    ActType.INVALIDATED: "dpv:ConsentInvalidated",
}
_BASIS = {
    LawfulBasis.CONSENT: "eu-gdpr:A6-1-a",
    LawfulBasis.CONTRACT: "eu-gdpr:A6-1-b",
    LawfulBasis.LEGAL_OBLIGATION: "eu-gdpr:A6-1-c",
    LawfulBasis.VITAL_INTEREST: "eu-gdpr:A6-1-d",
    LawfulBasis.PUBLIC_TASK: "eu-gdpr:A6-1-e",
    LawfulBasis.LEGITIMATE_INTEREST: "eu-gdpr:A6-1-f",
}
_RIGHTS = ("A15", "A16", "A17", "A18", "A20", "A21", "A77")
_SPECIAL = ("https://w3id.org/dpv#SpecialCategoryPersonalData", "https://w3id.org/dpv#SensitivePersonalData")
_ANY_DATA = "https://w3id.org/dpv#PersonalData"


def record_of(
    receipt_id: UUID,
    identity_id: UUID,
    events: Sequence[NewEvent],
    purposes: Sequence[Purpose],
    notice: Notice,
    recorded_at: datetime,
) -> dict[str, Any]:
    """The record that a receipt holds; nothing in it names the person.

    Args:
        receipt_id: Identifier of the record.
        identity_id: Stands for the person.
        events: The events of the act, one for each purpose.
        purposes: The versions they are about, in the same order.
        notice: Where the controller is taken from: the notice that was shown, else the newest of the tenant.
        recorded_at: When the act was recorded.
    """
    controller = notice.controller
    was_shown = events[0].notice_id is not None
    return {
        "@context": _CONTEXT,
        "@id": f"urn:uuid:{receipt_id}",
        "@type": "dpv:ConsentReceipt",
        "dct:conformsTo": CONFORMS_TO,
        "dct:hasVersion": SCHEMA_VERSION,
        "dct:identifier": str(receipt_id),
        "dct:created": _time(recorded_at),
        "dct:language": events[0].locale or notice.locale,
        "dpv:hasDataSubject": {"@id": f"urn:uuid:{identity_id}", "@type": "dpv:Customer"},
        "dpv:hasNotice": {
            "@id": f"urn:uuid:{notice.id}",
            "@type": "dpv:ConsentNotice" if was_shown else "dpv:PrivacyNotice",
            "dct:title": notice.key,
            "dct:hasVersion": str(notice.version),
            "dct:language": notice.locale,
            "cl:sha256": notice.sha256.hex(),
        },
        "dpv:hasDataController": {
            "@id": f"urn:uuid:{notice.id}#controller",
            "@type": "dpv:DataController",
            "schema:name": controller["name"],
            "schema:address": controller["address"],
            "dpv:hasContact": controller["contact"],
        },
        "dpv:hasJurisdiction": controller["country"],
        "dpv:hasAuthority": controller["authority"],
        "dpv:hasRight": [f"eu-gdpr:{article}" for article in _RIGHTS],
        "dpv:isExercisedAt": controller["rights_url"],
        "dpv:hasProcess": [
            _process(event, purpose, controller) for event, purpose in zip(events, purposes, strict=True)
        ],
    }


def _process(event: NewEvent, purpose: Purpose, controller: dict[str, Any]) -> dict[str, Any]:
    categories = purpose.data_categories or (_ANY_DATA,)
    return {
        "@type": "dpv:Process",
        "dct:identifier": purpose.key,
        "dct:hasVersion": str(purpose.version),
        "dct:title": purpose.title,
        "dct:description": purpose.description,
        "dpv:hasPurpose": purpose.dpv_purpose,
        "dpv:hasLegalBasis": _BASIS[purpose.lawful_basis],
        "dpv:hasPersonalData": [{"@id": one, "cl:isSpecialCategory": one in _SPECIAL} for one in categories],
        "dpv:hasProcessing": ["dpv:Collect", "dpv:Store", "dpv:Use"],
        "dpv:hasCollectionMethod": event.method,
        "dpv:hasStorageCondition": {
            "dpv:hasDuration": f"P{purpose.retention_days}D",
            "dpv:hasLocation": list(controller["storage_countries"]),
        },
        "dpv:hasGeographicRestriction": list(controller["storage_countries"]),
        "dpv:hasRecipient": list(purpose.recipients),
        "dpv:hasWithdrawalMethod": controller["rights_url"],
        "cl:hasEvent": {
            "@id": f"urn:uuid:{event.id}",
            "@type": _STATUS[event.type],
            "dct:date": _time(event.collected_at),
            "dct:valid": None if event.expires_at is None else _time(event.expires_at),
            "dpv:isIndicatedBy": f"urn:uuid:{event.identity_id}",
            "dpv:hasEntity": f"urn:uuid:{event.identity_id}",
        },
    }


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
