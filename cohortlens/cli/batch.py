"""``cohortlens predict-batch``: predictions for all customers, or for the rows of a file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import click

from cohortlens.cli.analytics import TASKS, days_of
from cohortlens.cli.asking import asks
from cohortlens.cli.client import Client
from cohortlens.cli.data import open_file
from cohortlens.cli.output import NEXT_BY_REASON, Fault, Output
from cohortlens.cli.session import Session, calls_api
from cohortlens.cli.waiting import wait_until_final
from cohortlens.v1 import analytics_pb2, common_pb2

_STATES = {
    common_pb2.WORK_STATE_SUCCEEDED: "succeeded",
    common_pb2.WORK_STATE_FAILED: "failed",
    common_pb2.WORK_STATE_CANCELLED: "cancelled",
}


@click.command("predict-batch")
@click.option("--task", type=click.Choice(sorted(TASKS)), default="spend", show_default=True)
@click.option("--horizon", default="", metavar="DAYS", help="Days to look ahead, such as 90 or 90d.")
@click.option(
    "--input", "source", default="", metavar="FILE", help="CSV or Parquet of features; all customers without."
)
@click.option("--id-column", default="", help="Column of the file that identifies a row; id by default.")
@click.option("--output", type=click.Path(path_type=Path), help="Write the result, Parquet, to this file.")
@click.option("--request-id", default="", help="UUID; a repeat within a day goes on with the same batch.")
@click.option("--no-wait", is_flag=True, help="Start the batch and return at once.")
@asks
@calls_api("predict-batch")
def predict_batch(
    session: Session,
    task: str,
    horizon: str,
    source: str,
    id_column: str,
    output: Path | None,
    request_id: str,
    no_wait: bool,
    asked: dict[str, Any],
) -> None:
    r"""Predict for all customers, or for the rows of a file, and fetch the result as Parquet.

    \b
    Examples:
      cohortlens predict-batch --task spend --horizon 90d --output spend.parquet
      cohortlens predict-batch --task churn --horizon 180 --output churn.parquet
      cohortlens predict-batch --input leads.csv --id-column lead --output leads.parquet
    """
    client = session.client
    given = _uploaded(client, source, id_column) if source else ""
    request = analytics_pb2.PredictBatchRequest(
        task=TASKS[task],
        horizon_days=days_of(horizon),
        all_customers=not source,
        input=given,
        request_id=request_id,
        **asked,
    )
    batch = client.call(client.analytics.PredictBatch, request).batch
    if not no_wait:
        batch = wait_for_batch(client, session.out, batch)
        if output is not None:
            download(client, batch, output)
    session.out.result(batch_data(batch, output), _text(batch, output))


def wait_for_batch(
    client: Client, out: Output, batch: analytics_pb2.BatchPrediction
) -> analytics_pb2.BatchPrediction:
    """Wait for the end of a batch.

    Raises:
        Fault: It failed or was cancelled.
    """
    request = analytics_pb2.GetBatchPredictionRequest(batch=batch.batch)
    with out.progress("batch") as show:

        def poll() -> analytics_pb2.BatchPrediction:
            found: analytics_pb2.BatchPrediction = client.call(
                client.analytics.GetBatchPrediction, request
            ).batch
            return found

        def tell(found: analytics_pb2.BatchPrediction) -> None:
            show(f"{found.rows_done:,} of {found.rows:,} rows", found.progress_ratio)

        batch = wait_until_final(batch, poll, tell, f"batch {batch.batch}")
    if batch.state == common_pb2.WORK_STATE_FAILED:
        raise Fault(
            batch.error.reason,
            batch.error.message,
            NEXT_BY_REASON.get(batch.error.reason, ""),
            metadata={"batch": batch.batch},
        )
    if batch.state == common_pb2.WORK_STATE_CANCELLED:
        raise Fault(
            "BATCH_CANCELLED",
            f"the batch was cancelled after {batch.rows_done:,} rows",
            "start it again",
            "CANCELLED",
            metadata={"batch": batch.batch},
        )
    return batch


def download(client: Client, batch: analytics_pb2.BatchPrediction, output: Path) -> None:
    """Write the result of a batch to a file, which appears when it is whole.

    Raises:
        Fault: The file cannot be written, or what came is not what the batch says.
    """
    part, digest = output.with_name(output.name + ".part"), hashlib.sha256()
    try:
        with part.open("wb") as file:
            for piece in client.download_batch_result(batch.batch):
                digest.update(piece)
                file.write(piece)
        if digest.hexdigest() != batch.result_sha256:
            raise Fault(
                "RESULT_DAMAGED", "the download does not match its digest", "fetch it again", "DATA_LOSS"
            )
        part.replace(output)
    except OSError as error:
        raise Fault(
            "FILE_UNWRITABLE", f"{output}: {error.strerror}", "check the path", "INVALID_ARGUMENT"
        ) from None
    finally:
        part.unlink(missing_ok=True)


def batch_data(batch: analytics_pb2.BatchPrediction, output: Path | None) -> dict[str, Any]:
    """A batch in the JSON envelope."""
    return {
        "batch": batch.batch,
        "state": _STATES.get(batch.state, "running"),
        "rows": {"total": batch.rows, "done": batch.rows_done, "skipped": batch.rows_skipped},
        "horizon_days": batch.horizon_days,
        "unit": batch.unit,
        "model_version": batch.model_version,
        "result": {"sha256": batch.result_sha256, "bytes": batch.result_bytes},
        "output": None if output is None else str(output),
    }


def _text(batch: analytics_pb2.BatchPrediction, output: Path | None) -> str:
    if batch.state not in _STATES:
        return f"batch {batch.batch} goes on by itself; look with GET /api/v1/batchPredictions/{batch.batch}"
    skipped = f", {batch.rows_skipped:,} skipped" if batch.rows_skipped else ""
    lines = [
        f"{batch.rows_done:,} rows{skipped}: {batch.unit} in {batch.horizon_days} days, "
        f"model version {batch.model_version}; batch {batch.batch}"
    ]
    if output is not None:
        lines.append(f"written to {output} ({batch.result_bytes:,} bytes)")
    return "\n".join(lines)


def _uploaded(client: Client, source: str, id_column: str) -> str:
    options = analytics_pb2.BatchInputOptions(
        file_name="standard input" if source == "-" else Path(source).name, id_column=id_column
    )
    with open_file(source) as file:
        given: str = client.upload_batch_input(options, file.read).input
    return given
