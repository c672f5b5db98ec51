"""ConsentService, purposes: messages to the use cases, and back."""

from __future__ import annotations

from typing import Any

from cohortlens.consent.models import LawfulBasis, Mechanism, Purpose, field_fault
from cohortlens.consent.purposes import PurposesService
from cohortlens.v1 import consent_purposes_pb2 as pb
from gateway.interceptors.chain import Call
from gateway.servicers.analytics_mapping import timestamp

_MECHANISM, _BASIS = "CONSENT_MECHANISM_", "LAWFUL_BASIS_"


class ConsentPurposesServicer:
    """The RPCs of ``cohortlens.v1.ConsentService`` about purposes.

    Args:
        purposes: The use cases.
    """

    def __init__(self, purposes: PurposesService) -> None:
        self._purposes = purposes

    async def CreatePurpose(self, request: pb.CreatePurposeRequest, call: Call) -> pb.CreatePurposeResponse:
        """Add a purpose."""
        made = await self._purposes.create(call.context, request.purpose, _values(request))
        return pb.CreatePurposeResponse(purpose=purpose_message(made))

    async def UpdatePurpose(self, request: pb.UpdatePurposeRequest, call: Call) -> pb.UpdatePurposeResponse:
        """Change a purpose by a new version."""
        made = await self._purposes.update(
            call.context,
            request.purpose,
            _values(request),
            list(request.update_mask.paths),
            requires_reconsent=request.requires_reconsent,
            etag=request.etag,
            validate_only=request.validate_only,
        )
        return pb.UpdatePurposeResponse(purpose=purpose_message(made))

    async def ListPurposes(self, request: pb.ListPurposesRequest, call: Call) -> pb.ListPurposesResponse:
        """The purposes as they hold now, or the versions of one."""
        if request.versions_of:
            found = await self._purposes.versions(call.context, request.versions_of)
        else:
            found = await self._purposes.current(call.context)
        return pb.ListPurposesResponse(purposes=[purpose_message(one) for one in found])


def purpose_message(one: Purpose) -> pb.Purpose:
    """A purpose as the API shows it."""
    return pb.Purpose(
        purpose=one.key,
        version=one.version,
        title=one.title,
        description=one.description,
        dpv_purpose=one.dpv_purpose,
        lawful_basis=_BASIS + one.lawful_basis.value,
        mechanism=_MECHANISM + one.mechanism.value,
        data_categories=one.data_categories,
        recipients=one.recipients,
        retention_days=one.retention_days,
        validity_days=one.validity_days,
        requires_reconsent=one.requires_reconsent,
        min_version=one.min_version,
        activities=one.activities,
        create_time=timestamp(one.created_at),
        etag=one.etag,
    )


def _values(request: Any) -> dict[str, Any]:
    return {
        "title": request.title,
        "description": request.description,
        "dpv_purpose": request.dpv_purpose,
        "lawful_basis": _named(pb.LawfulBasis, _BASIS, LawfulBasis, "lawful_basis", request.lawful_basis),
        "mechanism": _named(pb.ConsentMechanism, _MECHANISM, Mechanism, "mechanism", request.mechanism),
        "data_categories": list(request.data_categories),
        "recipients": list(request.recipients),
        "retention_days": request.retention_days,
        "validity_days": request.validity_days if request.HasField("validity_days") else None,
        "activities": list(request.activities),
    }


def _named(numbers: Any, prefix: str, kind: Any, field: str, number: int) -> Any:
    if not number:
        return None
    if number not in numbers.values():
        names = ", ".join(prefix + one.value for one in kind)
        raise field_fault(field, f"must be one of {names}")
    return kind(numbers.Name(number).removeprefix(prefix))
