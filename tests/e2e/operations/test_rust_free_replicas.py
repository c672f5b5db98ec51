"""Replicas that have answered a prediction and an explanation hold no Rust: their memory maps say so."""

import contextlib
from pathlib import Path

import psutil
import pytest

from cohortlens.v1 import analytics_pb2
from workers.rust_probe import mapped_files, probe

SPEND = analytics_pb2.PREDICTION_TASK_SPEND
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def replicas(stack, demo):
    """Worker processes of the stack, after each kind of call."""
    customers = ["external:4"]
    demo.call(demo.analytics.Predict, analytics_pb2.PredictRequest(task=SPEND, customers=customers))
    demo.call(demo.analytics.Explain, analytics_pb2.ExplainRequest(task=SPEND, customers=customers))
    demo.call(demo.analytics.Segment, analytics_pb2.SegmentRequest(customers=customers))
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            ours = process.environ().get("COHORTLENS_DATA_DIR") == str(stack.data_dir)
            if ours and any("onnxruntime" in str(f) for f in mapped_files(process.pid)):
                found.append(process.pid)
    return found


def test_no_replica_maps_a_file_with_marks_of_rust(replicas):
    assert len(replicas) >= 3, "segmentation, prediction and explanation each run onnxruntime"
    for pid in replicas:
        result = probe(mapped_files(pid))
        assert result.probed > 20
        assert result.rust_files == ()


def test_the_probe_finds_rust_where_there_is_some():
    library = next((ROOT / ".venv/lib/python3.11/site-packages/orjson").glob("*.so"))
    assert probe([library]).rust_files == (str(library),)
