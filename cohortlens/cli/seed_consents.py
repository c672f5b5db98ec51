"""What the customers of the demo tenant decided: consent with the import, and one in twenty who refused."""

from __future__ import annotations

import csv
import gzip
from typing import IO, Final, cast

from cohortlens.cli.client import Client
from cohortlens.v1 import (
    consent_acts_pb2,
    consent_notices_pb2,
    consent_purposes_pb2,
    customers_pb2,
)

PURPOSE: Final = "profiling"
_NOTICE: Final = "shop"
_TEXT: Final = "We look at what you bought, to group customers and to foresee what they will buy."
_EACH: Final = 20
_REFUSING: Final = 3


def demo_controller() -> consent_notices_pb2.Controller:
    """Who answers for the processing of the demo tenant; nobody real."""
    return consent_notices_pb2.Controller(
        name="Demo Retail",
        address="1 Demo Street, 00000 Demo",
        contact="privacy@demo-retail.example",
        country="DE",
        storage_countries=["DE"],
        authority="The data protection authority of the demo",
        rights_url="https://demo-retail.example/privacy",
    )


def refusing_customers(sample: IO[bytes]) -> list[str]:
    """Those of the sample who refuse, by external identifier: a fixed one in twenty.

    Args:
        sample: The sample, a gzip of CSV with the column ``customer_id``.
    """
    with gzip.open(sample, "rt", encoding="utf-8") as lines:
        found = {row["customer_id"] for row in csv.DictReader(lines)}
    return sorted((one for one in found if int(one) % _EACH == _REFUSING), key=int)


def record_decisions(client: Client, refusing: list[str]) -> customers_pb2.ImportConsent:
    """Publish the notice, record the refusals, and answer the consent that the import brings for everybody.

    The consent is as old as the purpose and a refusal as young as its record, so the refusal holds, whichever
    is recorded first.

    Args:
        client: Acts as the tenant's owner.
        refusing: Customers by external identifier, at most 1,000; they need not be imported yet.

    Raises:
        ApiError: A call failed.
    """
    notice = publish_notice(client)
    if not _has_refusals(client):
        request = consent_acts_pb2.BatchRecordConsentsRequest()
        for external in refusing:
            request.records.add(
                customer=f"external:{external}",
                act=consent_acts_pb2.CONSENT_ACT_REFUSED,
                purposes=[consent_notices_pb2.PurposeVersion(purpose=PURPOSE)],
                notice=notice,
            )
        client.call(client.consent.BatchRecordConsents, request)
    return customers_pb2.ImportConsent(
        purposes=[consent_notices_pb2.PurposeVersion(purpose=PURPOSE)],
        notice=notice,
        collect_time=_purpose(client).create_time,
    )


def publish_notice(client: Client) -> str:
    """Publish what the shop tells its customers, once more if need be; its identifier.

    Args:
        client: Acts as the tenant's owner.

    Raises:
        ApiError: A call failed.
    """
    request = consent_notices_pb2.PublishNoticeRequest(
        name=_NOTICE,
        locale="en",
        content=_TEXT,
        purposes=[consent_notices_pb2.PurposeVersion(purpose=PURPOSE, version=_purpose(client).version)],
        controller=demo_controller(),
    )
    return cast("str", client.call(client.consent.PublishNotice, request).notice.notice)


def _purpose(client: Client) -> consent_purposes_pb2.Purpose:
    listed = client.call(client.consent.ListPurposes, consent_purposes_pb2.ListPurposesRequest())
    found: consent_purposes_pb2.Purpose = next(one for one in listed.purposes if one.purpose == PURPOSE)
    return found


def _has_refusals(client: Client) -> bool:
    """Whether a seed that was cut off came this far."""
    request = consent_acts_pb2.ListConsentsRequest(
        purpose=PURPOSE, state=consent_acts_pb2.CONSENT_STATE_REFUSED, page_size=1
    )
    return bool(client.call(client.consent.ListConsents, request).consents)
