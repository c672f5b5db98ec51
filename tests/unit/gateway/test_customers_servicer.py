from datetime import UTC, datetime

import pytest

from cohortlens.core.errors import InvalidArgument
from cohortlens.core.ids import ImportId, uuid7
from cohortlens.customers.models import FileFormat, Import, ImportOptions, ImportRows, ImportState
from cohortlens.v1 import customers_pb2 as pb
from gateway.servicers.customers import CustomersServicer
from gateway.servicers.customers_mapping import import_message


def an_import(options, **values):
    given = {
        "import_id": ImportId(uuid7()),
        "state": ImportState.PENDING,
        "options": options,
        "progress_ratio": 0.0,
        "rows": ImportRows(),
        "new_customers": 0,
        "columns_used": {},
        "columns_unused": [],
        "rejected_by_reason": {},
        "error_reason": "",
        "error_message": "",
        "file_bytes": 1,
        "file_sha256": "0" * 64,
        "created_at": datetime(2026, 11, 23, tzinfo=UTC),
        "ended_at": None,
    }
    return Import(**{**given, **values})


class FakeCustomers:
    """Keeps what an upload brought."""

    def __init__(self):
        self.options = None
        self.data = b""

    async def start_import(self, ctx, options, chunks):
        self.options = options
        async for chunk in chunks:
            self.data += chunk
        return an_import(options, file_bytes=len(self.data))


class FakeCall:
    context = None


OPTIONS = pb.ImportTransactionsRequest(options=pb.ImportOptions(dry_run=True, file_name="o.csv"))


def chunk(data=b"x"):
    return pb.ImportTransactionsRequest(chunk=data)


async def stream(*messages):
    for message in messages:
        yield message


async def test_options_and_then_the_bytes_make_an_import():
    customers = FakeCustomers()
    options = pb.ImportOptions(
        columns={"time": "wann"},
        on_error=pb.ON_ERROR_ABORT,
        format=pb.FILE_FORMAT_PARQUET,
        currency="EUR",
        encoding="cp1252",
        delimiter=";",
        file_name="o.csv",
    )
    messages = stream(pb.ImportTransactionsRequest(options=options), chunk(b"ab"), chunk(b"c"))
    reply = await CustomersServicer(customers).ImportTransactions(messages, FakeCall())
    assert customers.data == b"abc"
    assert (customers.options.columns, customers.options.abort_on_fault) == ({"time": "wann"}, True)
    assert (customers.options.format, customers.options.currency) == (FileFormat.PARQUET, "EUR")
    assert (customers.options.encoding, customers.options.delimiter) == ("cp1252", ";")
    made = getattr(reply, "import")
    assert (made.file_bytes, made.file_name) == (3, "o.csv")


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        ((), "options"),
        ((chunk(),), "options"),
        ((pb.ImportTransactionsRequest(),), "options"),
        ((OPTIONS, chunk(), OPTIONS), "options"),
        ((OPTIONS, pb.ImportTransactionsRequest()), "chunk"),
        ((OPTIONS, chunk(b"x" * ((1 << 20) + 1))), "chunk"),
    ],
)
async def test_parts_in_the_wrong_order_or_too_large_are_refused_by_name(messages, field):
    with pytest.raises(InvalidArgument) as caught:
        await CustomersServicer(FakeCustomers()).ImportTransactions(stream(*messages), FakeCall())
    assert caught.value.reason == "FIELD_INVALID"
    assert [violation.field for violation in caught.value.violations] == [field]


async def test_a_chunk_of_exactly_one_mebibyte_is_taken():
    customers = FakeCustomers()
    await CustomersServicer(customers).ImportTransactions(
        stream(OPTIONS, chunk(b"x" * (1 << 20))), FakeCall()
    )
    assert len(customers.data) == 1 << 20


def test_a_failed_import_carries_its_reason_and_a_pending_one_no_end():
    options = ImportOptions()
    failed = import_message(
        an_import(
            options,
            state=ImportState.FAILED,
            error_reason="HEADER_MISSING",
            error_message="no column for time",
            ended_at=datetime(2026, 11, 23, 1, tzinfo=UTC),
            rejected_by_reason={"DATE_INVALID": 3},
        )
    )
    assert (failed.error.reason, failed.error.message) == ("HEADER_MISSING", "no column for time")
    assert failed.end_time.ToDatetime() == datetime(2026, 11, 23, 1)  # noqa: DTZ001
    assert dict(failed.rejected_by_reason) == {"DATE_INVALID": 3}
    pending = import_message(an_import(options))
    assert not pending.HasField("end_time")
    assert not pending.HasField("error")
