"""Every changing method takes a key, and an answer that a crash lost can be read again."""

from types import SimpleNamespace

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from cohortlens.core.errors import NotFound
from cohortlens.v1 import analytics_pb2, auth_keys_pb2, auth_users_pb2, models_pb2
from gateway.composition import public_table
from gateway.interceptors.keyed import takes_key
from gateway.servicers.rereading import REREADS, rereads

TABLE = public_table(with_reflection=False)
NO_SIDE_EFFECTS = 1
WITHOUT_KEYS = {
    "ModelInfer": "a message of the Open Inference Protocol, which has no such field",
    "VerifyAuditChain": "reads; it is a POST for the size of what it takes",
}
"""Methods that look as if they changed something and take no key, with the reason."""


class Servicer:
    """Has every method; answers what a test gives it."""

    def __init__(self, **answers):
        self._answers, self.asked = answers, []

    def __getattr__(self, name):
        async def method(request, call):
            self.asked.append((name, request))
            answer = self._answers[name]
            return answer(request) if callable(answer) else answer

        return method


def changing():
    for method in TABLE:
        reads = method.descriptor.GetOptions().idempotency_level == NO_SIDE_EFFECTS
        ours = method.service.startswith("cohortlens.")
        if ours and not reads and not method.policy.public and not method.server_streaming:
            yield method


def reread(name, servicer):
    method = next(one for one in TABLE if one.name == name)
    return rereads(TABLE, {method.service: servicer})[method.full_name]


@pytest.mark.parametrize("method", list(changing()), ids=lambda one: one.name)
def test_a_changing_method_takes_a_key_and_its_lost_answer_can_be_read(method):
    if method.name in WITHOUT_KEYS:
        assert not takes_key(method)
        return
    assert takes_key(method), (
        f"{method.name}: its request needs `string request_id` (docs/guides/idempotency.md)"
    )
    found = rereads(TABLE, {method.service: Servicer()})
    assert method.full_name in found, f"{method.name}: its answer needs a line in REREADS"


def test_every_reading_is_of_a_method_that_there_is():
    names = {method.name for method in TABLE if takes_key(method)}
    assert set(REREADS) <= names
    fields = {method.name: method.output_class.DESCRIPTOR.fields for method in TABLE}
    assert not [name for name in REREADS if not fields[name]]


async def test_what_was_made_is_read_by_the_method_that_reads_it():
    batch = analytics_pb2.BatchPrediction(batch="b-1", rows=7)
    servicer = Servicer(GetBatchPrediction=analytics_pb2.GetBatchPredictionResponse(batch=batch))
    answer = await reread("PredictBatch", servicer)(
        analytics_pb2.PredictBatchRequest(), {"batch": "b-1"}, SimpleNamespace()
    )
    assert answer == analytics_pb2.PredictBatchResponse(batch=batch)
    assert servicer.asked == [("GetBatchPrediction", analytics_pb2.GetBatchPredictionRequest(batch="b-1"))]


async def test_what_the_request_names_is_read_by_its_name_with_what_was_made():
    version = models_pb2.ModelVersion(model="segmentation", version=3)
    servicer = Servicer(GetModelVersion=models_pb2.GetModelVersionResponse(version=version))
    request = models_pb2.RollbackModelRequest(model="segmentation", reason="drift")
    answer = await reread("RollbackModel", servicer)(request, {"version": 3}, SimpleNamespace())
    assert answer.version == version
    [(_, asked)] = servicer.asked
    assert (asked.model, asked.version) == ("segmentation", 3)


async def test_several_things_are_read_in_their_order():
    def run(request):
        return models_pb2.GetTrainingRunResponse(run=models_pb2.TrainingRun(run=request.run))

    answer = await reread("StartTraining", Servicer(GetTrainingRun=run))(
        models_pb2.StartTrainingRequest(), {"runs": ["r-2", "r-1"]}, SimpleNamespace()
    )
    assert [one.run for one in answer.runs] == ["r-2", "r-1"]


async def test_a_row_is_found_on_a_later_page_and_its_secret_stays_empty():
    pages = {
        "": auth_keys_pb2.ListApiKeysResponse(
            api_keys=[auth_keys_pb2.ApiKey(api_key="k-9")], next_page_token="2"
        ),
        "2": auth_keys_pb2.ListApiKeysResponse(
            api_keys=[auth_keys_pb2.ApiKey(api_key="k-2", display_name="export")]
        ),
    }
    read = reread("RotateApiKey", Servicer(ListApiKeys=lambda request: pages[request.page_token]))
    made = {"api_key": "k-2", "old_expire_time": "2026-11-23T10:00:00+00:00"}
    answer = await read(auth_keys_pb2.RotateApiKeyRequest(api_key="k-1"), made, SimpleNamespace())
    assert (answer.api_key.display_name, answer.secret) == ("export", "")
    assert answer.old_expire_time == Timestamp(seconds=1795428000)
    with pytest.raises(NotFound, match="not there any more"):
        await read(auth_keys_pb2.RotateApiKeyRequest(), {"api_key": "k-5"}, SimpleNamespace())


async def test_numbers_are_told_as_the_use_case_named_them():
    made = {"sessions_ended": 2, "api_keys_revoked": 1, "api_keys_transferred": 0}
    answer = await reread("DeleteUser", Servicer())(
        auth_users_pb2.DeleteUserRequest(), made, SimpleNamespace()
    )
    assert answer == auth_users_pb2.DeleteUserResponse(sessions_ended=2, api_keys_revoked=1)
