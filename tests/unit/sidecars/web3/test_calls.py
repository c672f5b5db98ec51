"""What a call of the sidecar is refused with."""

from google.rpc import error_details_pb2

from cohortlens.core.errors import InvalidArgument, Unavailable, Violation
from sidecars.web3.calls import status_of


def _details(status):
    found = {}
    for packed in status.details:
        for kind in (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo):
            if packed.Is(kind.DESCRIPTOR):
                found[kind] = kind()
                packed.Unpack(found[kind])
    return found


def test_a_refusal_carries_its_code_reason_fields_and_facts():
    error = InvalidArgument(
        "items[0].to is no address.",
        reason="WALLET_ADDRESS_INVALID",
        metadata={"chain": "evm"},
        violations=(Violation("items[0].to", "is no address"),),
    )
    status = status_of(error)
    details = _details(status)
    assert (status.code, status.message) == (3, "items[0].to is no address.")
    info = details[error_details_pb2.ErrorInfo]
    assert (info.reason, info.domain, dict(info.metadata)) == (
        "WALLET_ADDRESS_INVALID",
        "cohortlens",
        {"chain": "evm"},
    )
    violation = details[error_details_pb2.BadRequest].field_violations[0]
    assert (violation.field, violation.description) == ("items[0].to", "is no address")


def test_what_a_retry_can_help_says_when():
    details = _details(
        status_of(Unavailable("the chain is down", reason="CHAIN_UNAVAILABLE", retry_delay_s=1.5))
    )
    assert details[error_details_pb2.RetryInfo].retry_delay.ToNanoseconds() == 1_500_000_000
