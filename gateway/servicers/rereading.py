"""How the answer of a keyed call is read again when a crash lost it right after the effect was committed.

Most are read by the method that reads the same thing: ``Got`` by its identifier, ``Listed`` out of a list.
Identifiers stand in the request, or in what the use case named (``core.idempotency.made``). Secrets that are
shown once stay empty. A new method with ``request_id`` gets a line in ``REREADS``, or answers nothing at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message

from cohortlens.core.errors import NotFound
from gateway.interceptors.chain import Call
from gateway.interceptors.idempotency import Reading, Reread, RunsAgain
from gateway.interceptors.keyed import takes_key
from gateway.registry import MethodInfo, MethodTable

_PAGE = 1000


@dataclass(frozen=True)
class Got:
    """Read by a method that answers one thing.

    Attributes:
        method: The RPC of the same service.
        each: Name of a list in what was made: the method is asked once for each of its identifiers.
    """

    method: str
    each: str = ""


@dataclass(frozen=True)
class Listed:
    """Found in a list by its identifier.

    Attributes:
        method: The list of the same service.
        by: Field of the identifier, in the rows and in what was made or in the request.
    """

    method: str
    by: str


@dataclass(frozen=True)
class Told:
    """Told by what the use case named and what the request says; secrets stay empty."""


@dataclass(frozen=True)
class Own:
    """Read by the servicer's own method ``Reread<name of the RPC>``."""


Way = Got | Listed | Told | Own | RunsAgain

REREADS: dict[str, Way] = {
    "AddServiceAccountKey": Told(),
    "ApproveAccessRequest": Got("GetAgreement"),
    "ApproveDataRequest": Got("GetDataRequest"),
    "BatchRecordConsents": Own(),
    "BeginTotp": Told(),
    "BindWallet": Own(),
    "CancelBatchPrediction": Got("GetBatchPrediction"),
    "CancelDataRequest": Got("GetDataRequest"),
    "CancelSegmentationRun": Got("GetSegmentationRun"),
    "CancelSubscription": RunsAgain(),
    "CancelTrainingRun": Got("GetTrainingRun"),
    "ChangePlan": RunsAgain(),
    "ConfirmTotp": Told(),
    "CreateApiKey": Listed("ListApiKeys", "api_key"),
    "CreateAuditExport": Got("GetAuditExport"),
    "CreateCheckoutSession": RunsAgain(),
    "CreateConsentLink": Told(),
    "CreateDataRequest": Got("GetDataRequest"),
    "CreateOAuthClient": Listed("ListOAuthClients", "oauth_client"),
    "CreateOffer": Got("GetOffer"),
    "CreatePortalSession": RunsAgain(),
    "CreatePurpose": Listed("ListPurposes", "purpose"),
    "CreateRewardClaim": RunsAgain(),
    "CreateServiceAccount": Listed("ListServiceAccounts", "service_account"),
    "CreateWalletChallenge": RunsAgain(),
    "DecideAuthorization": Told(),
    "DeleteTenant": Got("GetTenant"),
    "DeleteUser": Told(),
    "Explain": RunsAgain(),
    "ExtendDataRequest": Got("GetDataRequest"),
    "GrantConsent": Own(),
    "ImportTransactions": Got("GetImport"),
    "InviteUser": Listed("ListInvitations", "invitation"),
    "OverrideEntitlement": Own(),
    "Predict": Own(),
    "PredictBatch": Got("GetBatchPrediction"),
    "PreviewOffer": RunsAgain(),
    "PromoteModel": Got("GetModelVersion"),
    "PublishNotice": Got("GetNotice"),
    "PublishOffer": Got("GetOffer"),
    "ReaffirmConsent": Own(),
    "ReconcileSubscription": Own(),
    "RefuseConsent": Own(),
    "RejectAccessRequest": Got("GetAgreement"),
    "RejectDataRequest": Got("GetDataRequest"),
    "ReplayBillingEvent": Own(),
    "RequestAccess": Got("GetAgreement"),
    "ResumeSubscription": RunsAgain(),
    "ResumeTenant": Listed("ListTenants", "tenant"),
    "RevokeCredential": Got("GetCredential"),
    "RevokeUserSessions": Told(),
    "RollbackModel": Got("GetModelVersion"),
    "RotateApiKey": Listed("ListApiKeys", "api_key"),
    "RotateIssuerKey": Told(),
    "RotateOAuthClientSecret": Told(),
    "RotateSigningKey": Listed("ListSigningKeys", "kid"),
    "RunQuery": Own(),
    "Segment": RunsAgain(),
    "SetChallenger": Got("GetChallenger"),
    "SetRewardTariff": Got("GetRewardTariff"),
    "StartDriftReport": Got("GetDriftReport"),
    "StartSegmentation": Got("GetSegmentationRun"),
    "StartTraining": Got("GetTrainingRun", each="runs"),
    "SuspendTenant": Listed("ListTenants", "tenant"),
    "SwitchTenant": Told(),
    "TerminateAgreement": Got("GetAgreement"),
    "UpdateOffer": Got("GetOffer"),
    "UpdatePurpose": Listed("ListPurposes", "purpose"),
    "UpdateTenant": Got("GetTenant"),
    "UpdateUser": Got("GetUser"),
    "UploadBatchInput": Got("GetBatchInput"),
    "WithdrawConsent": Own(),
    "WithdrawOffer": Got("GetOffer"),
}
"""How a method's answer is read again, by its name; those that answer nothing need no line."""


def rereads(table: MethodTable, servicers: Mapping[str, Any]) -> dict[str, Reread]:
    """The readings of all methods that take keys, by path.

    Args:
        table: The methods.
        servicers: Servicer of each service by full name.
    """
    return {
        method.full_name: found
        for method in table
        if takes_key(method) and (found := _reread(table, method, servicers.get(method.service))) is not None
    }


def _reread(table: MethodTable, method: MethodInfo, servicer: Any) -> Reread | None:
    way = REREADS.get(method.name)
    if way is None:
        return _told(method) if not method.output_class.DESCRIPTOR.fields else None
    if isinstance(way, RunsAgain):
        return way
    if isinstance(way, Told):
        return _told(method)
    if isinstance(way, Own):
        own: Reading | None = getattr(servicer, f"Reread{method.name}", None)
        return own
    reader = table.get(f"/{method.service}/{way.method}")
    if reader is None or servicer is None:
        return None
    read = getattr(servicer, way.method)
    return _got(method, reader, read, way) if isinstance(way, Got) else _listed(method, reader, read, way)


def _told(method: MethodInfo) -> Reading:
    async def reread(request: Any, made: Mapping[str, Any], call: Call) -> Message:  # noqa: ARG001
        reply = method.output_class()
        for field in method.output_class.DESCRIPTOR.fields:
            _say(reply, field, request, made)
        return reply

    return reread


def _got(method: MethodInfo, reader: MethodInfo, read: Any, way: Got) -> Reading:
    async def reread(request: Any, made: Mapping[str, Any], call: Call) -> Message:
        reply = method.output_class()
        for one in made[way.each] if way.each else [None]:
            wanted = reader.input_class()
            for field in wanted.DESCRIPTOR.fields:
                _say(wanted, field, request, made)
            if one is not None:
                setattr(wanted, wanted.DESCRIPTOR.fields[0].name, one)
            _take(reply, await read(wanted, call))
        return reply

    return reread


def _listed(method: MethodInfo, reader: MethodInfo, read: Any, way: Listed) -> Reading:
    async def reread(request: Any, made: Mapping[str, Any], call: Call) -> Message:
        identifier = made.get(way.by) or getattr(request, way.by)
        row = await _row(reader, read, way.by, identifier, call)
        reply = method.output_class()
        for field in reply.DESCRIPTOR.fields:
            if _is(field, row.DESCRIPTOR):
                getattr(reply, field.name).CopyFrom(row)
            else:
                _say(reply, field, None, made)
        return reply

    return reread


async def _row(reader: MethodInfo, read: Any, by: str, identifier: str, call: Call) -> Any:
    """The row of an identifier; a list is read to its end only for one that is gone."""
    wanted, token = reader.input_class(), ""
    is_paged = "page_token" in wanted.DESCRIPTOR.fields_by_name
    while True:
        if is_paged:
            wanted.page_size, wanted.page_token = _PAGE, token  # type: ignore[attr-defined]
        page = await read(wanted, call)
        for field in page.DESCRIPTOR.fields:
            if field.is_repeated:
                for row in getattr(page, field.name):
                    if getattr(row, by) == identifier:
                        return row
        token = page.next_page_token if is_paged else ""
        if not token:
            raise NotFound("what the first call made is not there any more", metadata={"field": by})


def _say(message: Any, field: Any, request: Any, made: Mapping[str, Any]) -> None:
    """Fill a field from what was made, else from the field of the request that has its name and type."""
    if field.name in made and not field.is_repeated:
        json_format.ParseDict({field.name: made[field.name]}, message)
        return
    source = None if request is None else request.DESCRIPTOR.fields_by_name.get(field.name)
    if source is None or source.type != field.type or source.is_repeated != field.is_repeated:
        return
    if field.message_type is not None:
        if not _is(field, source.message_type) or field.is_repeated:
            return
        getattr(message, field.name).CopyFrom(getattr(request, field.name))
    elif not field.is_repeated:
        setattr(message, field.name, getattr(request, field.name))


def _is(field: Any, message: Any) -> bool:
    kind = field.message_type
    return kind is not None and message is not None and kind.full_name == message.full_name


def _take(reply: Any, found: Any) -> None:
    """Move what ``found`` holds into the field of its type, or into the list of them."""
    for source in found.DESCRIPTOR.fields:
        for field in reply.DESCRIPTOR.fields:
            if source.is_repeated or not _is(field, source.message_type):
                continue
            value = getattr(found, source.name)
            if field.is_repeated:
                getattr(reply, field.name).append(value)
            else:
                getattr(reply, field.name).CopyFrom(value)
