"""The documents of the guide are valid and keep the limits."""

import json
import re
from pathlib import Path

import pytest

from gateway.graphql.documents import Documents

GUIDE = (Path(__file__).resolve().parents[4] / "docs/guides/graphql.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"```graphql\n(.*?)```", GUIDE, re.DOTALL)
SENT = [json.loads(one) for one in re.findall(r"-d '(\{.*?\})'\n", GUIDE)]
DOCUMENTS = SHOWN + [one["query"] for one in SENT]


@pytest.mark.parametrize("source", DOCUMENTS)
async def test_a_document_of_the_guide_can_be_run(door, source):
    documents = Documents(door[0].app.schema, hides=False)
    documents.check_cost(await documents.read(source, None), {})


def test_the_guide_shows_documents():
    assert len(SHOWN) >= 2
    assert len(SENT) >= 2
