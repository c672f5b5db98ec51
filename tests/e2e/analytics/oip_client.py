"""Triton's own clients against a running stack; run by the Python of ``.venv-oip``, never by ours.

Reads one JSON object from standard input: ``grpc`` and ``http`` addresses, a ``token``, ``rows`` of features.
Prints what every way of asking gave, as JSON. A process that holds this client's copy of the package
``inference`` must not load ours.
"""

import json
import queue
import sys

import numpy as np
import tritonclient.grpc as by_grpc
import tritonclient.http as by_http
from tritonclient.utils import InferenceServerException

OUTPUTS = ("spend", "spend_lower", "spend_upper", "purchases")


def main():
    """Ask in every way and print the answers."""
    asked = json.load(sys.stdin)
    rows = np.array([[np.nan if value is None else value for value in row] for row in asked["rows"]], "f4")
    headers = {"authorization": f"Bearer {asked['token']}"}
    grpc = by_grpc.InferenceServerClient(asked["grpc"])
    http = by_http.InferenceServerClient(asked["http"])
    told = {
        "grpc": _grpc(grpc, rows, headers),
        "stream": _stream(grpc, rows, headers),
        "http": _http(http, rows, headers),
    }
    grpc.close()
    http.close()
    json.dump(told, sys.stdout)


def _grpc(client, rows, headers):
    metadata = client.get_model_metadata("prediction", headers=headers)
    config = client.get_model_config("prediction", headers=headers).config
    given = by_grpc.InferInput("features", rows.shape, "FP32")
    given.set_data_from_numpy(rows)
    wanted = [by_grpc.InferRequestedOutput(name) for name in OUTPUTS]
    result = client.infer("prediction", [given], outputs=wanted, headers=headers, request_id="g")
    segments = client.infer("segmentation", [given], headers=headers)
    statistics = client.get_inference_statistics("prediction", headers=headers)
    return {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model_ready": client.is_model_ready("prediction", headers=headers),
        "server": client.get_server_metadata().name,
        "shape": list(metadata.inputs[0].shape),
        "horizons": config.parameters["horizons_days"].string_value,
        "id": result.get_response().id,
        "version": result.get_response().model_version,
        "values": _values(result),
        "segments": segments.as_numpy("segment_id").ravel().tolist(),
        "index": [one.name for one in client.get_model_repository_index(headers=headers).models],
        "counted": statistics.model_stats[0].inference_count,
        "faults": {
            "no token": _fault(lambda: client.infer("prediction", [given])),
            "unknown model": _fault(lambda: client.infer("sequence", [given], headers=headers)),
            "load": _fault(lambda: client.load_model("prediction", headers=headers)),
        },
    }


def _stream(client, rows, headers):
    answers = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)), headers=headers)
    given = by_grpc.InferInput("features", rows.shape, "FP32")
    given.set_data_from_numpy(rows)
    wanted = [by_grpc.InferRequestedOutput(name) for name in OUTPUTS]
    for model in ("prediction", "sequence", "prediction"):
        client.async_stream_infer(model, [given], outputs=wanted)
    told = [answers.get(timeout=30) for _ in range(3)]
    client.stop_stream()
    return [{"error": str(error)} if error else {"values": _values(result)} for result, error in told]


def _http(client, rows, headers):
    told = {}
    for form, as_bytes in (("binary", True), ("json", False)):
        given = by_http.InferInput("features", rows.shape, "FP32")
        given.set_data_from_numpy(rows, binary_data=as_bytes)
        wanted = [by_http.InferRequestedOutput(name, binary_data=as_bytes) for name in OUTPUTS]
        # The client writes into the headers it is given, so each call has its own.
        told[form] = _values(client.infer("prediction", [given], outputs=wanted, headers=dict(headers)))
    return told | {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model_ready": client.is_model_ready("prediction", headers=headers),
        "unknown_ready": client.is_model_ready("sequence", headers=headers),
        "shape": client.get_model_metadata("prediction", headers=headers)["inputs"][0]["shape"],
        "rows_max": client.get_model_config("prediction", headers=headers)["max_batch_size"],
        "index": [one["name"] for one in client.get_model_repository_index(headers=headers)],
        "counted": client.get_inference_statistics(headers=headers)["model_stats"][0]["inference_count"],
        "faults": {
            "no token": _fault(lambda: client.infer("prediction", [given])),
            "unknown model": _fault(lambda: client.infer("sequence", [given], headers=headers)),
            "load": _fault(lambda: client.load_model("prediction", headers=headers)),
        },
    }


def _values(result):
    return {name: result.as_numpy(name).ravel().tolist() for name in OUTPUTS}


def _fault(call):
    try:
        call()
    except InferenceServerException as fault:
        return [str(fault.status()), fault.message()]
    return None


if __name__ == "__main__":
    main()
