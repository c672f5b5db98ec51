"""Messages of ``customers.proto`` to values of the customers slice and back."""

from __future__ import annotations

from datetime import UTC, date

from cohortlens.customers.consents import ImportedConsent
from cohortlens.customers.models import (
    Customer,
    FileFormat,
    Import,
    ImportOptions,
    ImportState,
    RowFault,
)
from cohortlens.v1 import common_pb2
from cohortlens.v1 import customers_pb2 as pb
from gateway.servicers.analytics_mapping import identifier_of

_STATES = {
    ImportState.PENDING: common_pb2.WORK_STATE_PENDING,
    ImportState.RUNNING: common_pb2.WORK_STATE_RUNNING,
    ImportState.SUCCEEDED: common_pb2.WORK_STATE_SUCCEEDED,
    ImportState.FAILED: common_pb2.WORK_STATE_FAILED,
}
_FORMATS = {
    pb.FILE_FORMAT_UNSPECIFIED: FileFormat.AUTO,
    pb.FILE_FORMAT_CSV: FileFormat.CSV,
    pb.FILE_FORMAT_PARQUET: FileFormat.PARQUET,
}


def import_options(message: pb.ImportOptions) -> ImportOptions:
    """Options of an upload; a value of an enum that this release does not know counts as unspecified."""
    return ImportOptions(
        columns=dict(message.columns),
        dry_run=message.dry_run,
        abort_on_fault=message.on_error == pb.ON_ERROR_ABORT,
        format=_FORMATS.get(message.format, FileFormat.AUTO),
        currency=message.currency,
        encoding=message.encoding,
        delimiter=message.delimiter,
        file_name=message.file_name,
        consent=_consent(message.consent) if message.HasField("consent") else None,
    )


def _consent(message: pb.ImportConsent) -> ImportedConsent:
    return ImportedConsent(
        tuple((one.purpose, one.version) for one in message.purposes),
        identifier_of("options.consent.notice", message.notice),
        message.locale,
        message.collect_time.ToDatetime(UTC),
    )


def import_message(found: Import) -> pb.Import:
    """An import as a message."""
    message = pb.Import(
        state=_STATES[found.state],
        dry_run=found.options.dry_run,
        progress_ratio=found.progress_ratio,
        rows=pb.ImportRows(
            read=found.rows.read,
            accepted=found.rows.accepted,
            rejected=found.rows.rejected,
            duplicate=found.rows.duplicate,
        ),
        new_customers=found.new_customers,
        customers_over=found.customers_over,
        columns_used=found.columns_used,
        columns_unused=found.columns_unused,
        file_name=found.options.file_name,
        file_bytes=found.file_bytes,
        file_sha256=found.file_sha256,
        rejected_by_reason=found.rejected_by_reason,
    )
    setattr(message, "import", str(found.import_id))  # a keyword of Python
    message.create_time.FromDatetime(found.created_at)
    if found.ended_at is not None:
        message.end_time.FromDatetime(found.ended_at)
    if found.error_reason:
        message.error.CopyFrom(common_pb2.WorkError(reason=found.error_reason, message=found.error_message))
    return message


def fault_message(fault: RowFault) -> pb.ImportFault:
    """A refused row as a message."""
    return pb.ImportFault(
        row=fault.row, line=fault.line, column=fault.column, reason=fault.reason, preview=fault.preview
    )


def customer_message(customer: Customer) -> pb.Customer:
    """A customer as a message."""
    message = pb.Customer(
        customer=str(customer.customer_id),
        external_id=customer.external_id,
        country=customer.country,
        purchase_days=customer.purchase_days,
        orders=customer.orders,
        spend_minor=customer.spend_minor,
        currency=customer.currency,
        first_purchase_date=_day(customer.first_purchase_on),
        last_purchase_date=_day(customer.last_purchase_on),
        segment_name=customer.segment_name,
    )
    message.create_time.FromDatetime(customer.created_at)
    return message


def _day(value: date | None) -> str:
    return "" if value is None else value.isoformat()
