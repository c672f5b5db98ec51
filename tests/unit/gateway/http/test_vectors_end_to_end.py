"""The public vectors of the showcase: every scalar through the whole door to a servicer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from google.protobuf import json_format

from gateway.http.codec import Codecs
from tests.unit.gateway.http.support import Client, door_for, message_class
from tests.vectors.transcoding.schemas import showcase

FOLDER = Path(__file__).resolve().parents[5] / "shared" / "vectors" / "transcoding"


def cases(stem):
    path = FOLDER / f"{stem}.json"
    if not path.exists():
        return [pytest.param(None, id=f"{stem}-absent")]
    return [pytest.param(case, id=case["id"]) for case in json.loads(path.read_text())["cases"]]


@pytest.fixture(autouse=True)
def _vectors_are_there(request):
    if request.node.callspec.params.get("case", {}) is None:
        pytest.skip(f"NOT CHECKED: no vectors in {FOLDER}")


SHOWCASE = showcase.pool()


@pytest.mark.parametrize("case", cases("showcase_compliance"))
async def test_every_scalar_arrives_through_body_query_and_path(case):
    if "request" not in case:
        pytest.skip("NOT CHECKED: expansion by a client, which belongs to the client SDK")
    from urllib.parse import urlencode

    asked, cls = [], message_class(SHOWCASE, "showcase.RepeatResponse")

    class Servicer:
        def __getattr__(self, name):
            async def answer(request, call):
                asked.append(request)
                return cls()

            return answer

    codecs = {"strict": Codecs(SHOWCASE), "lenient": Codecs(SHOWCASE, lenient=True)}
    client = Client(door_for(SHOWCASE, ["showcase.Compliance"], Servicer(), **codecs))
    request = case["request"]
    query = urlencode([tuple(pair) for pair in request["query"]])
    answer = await client.request(
        request["method"],
        request["path"] + (f"?{query}" if query else ""),
        request.get("body", "").encode(),
        {"content-type": "application/json"} if "body" in request else {},
    )
    assert answer.status == 200, answer.body
    expected = json_format.ParseDict(case["expect"], message_class(SHOWCASE, "showcase.RepeatRequest")())
    assert asked == [expected]
