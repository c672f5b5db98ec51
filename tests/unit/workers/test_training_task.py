"""The events of one training, whose work is the test's own."""

from __future__ import annotations

import pytest

from cohortlens.contracts.artifacts import LocalArtifactStore
from cohortlens.core.errors import FailedPrecondition
from workers.training_orders import Failed, Progress, Trained, TrainingOrder
from workers.training_task import events

ORDER = TrainingOrder("segmentation", "a" * 64, "1998-06-30", "USD", 7)


def test_a_training_tells_its_progress_in_order_and_ends_with_its_result(tmp_path):
    def train(store, order, report):
        report("reading", 0.1)
        report("fitting", 0.5)
        return store.put_bytes(b"model"), order.model

    first, second, last = events(train, tmp_path, ORDER)

    assert [first, second] == [Progress("reading", 0.1), Progress("fitting", 0.5)]
    assert isinstance(last, Trained)
    assert LocalArtifactStore(tmp_path).read_verified(last.artifact_digest) == b"model"
    assert last.manifest_json == "segmentation"
    assert last.cpu_s >= 0.0


def test_a_fault_of_the_domain_keeps_its_reason_and_its_words(tmp_path):
    def train(store, order, report):
        raise FailedPrecondition("give a longer history", reason="HISTORY_TOO_SHORT")

    assert list(events(train, tmp_path, ORDER)) == [Failed("HISTORY_TOO_SHORT", "give a longer history")]


@pytest.mark.parametrize("fault", [ZeroDivisionError("secret"), SystemExit("secret"), MemoryError("secret")])
def test_any_other_fault_is_told_without_its_text_and_logged(tmp_path, caplog, fault):
    def train(store, order, report):
        raise fault

    [last] = events(train, tmp_path, ORDER)

    assert last.reason == "TRAINING_FAILED"
    assert "secret" not in last.message
    assert "secret" in caplog.text
