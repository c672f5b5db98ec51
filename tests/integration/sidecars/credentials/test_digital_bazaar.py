"""Exchange with the libraries of Digital Bazaar: each side verifies what the other issued, all offline."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.fixtures.signed_credentials import altered, reasons
from tests.fixtures.waiting import eventually
from tests.integration.sidecars.credentials.test_life import JCS, RDFC, issue, item, published, revoke

NODE = Path(__file__).parent / "node"
SUITES = {"eddsa-rdfc-2022": RDFC, "eddsa-jcs-2022": JCS}
THEIRS = {
    "@context": ["https://www.w3.org/ns/credentials/v2"],
    "id": "urn:uuid:58172aac-d8ba-41ed-83dd-0b3aef56cc33",
    "type": ["VerifiableCredential"],
    "name": "A membership",
    "validFrom": "2026-01-01T00:00:00Z",
    "credentialSubject": {"id": "urn:uuid:0f6cf4d2-2ba6-8e5f-9a37-6c1a5a0f9e01", "name": "A club"},
}


@pytest.fixture
def bazaar():
    """Asks the other party's process; skips, and says so, where npm installed nothing."""
    if shutil.which("node") is None or not (NODE / "node_modules" / "@digitalbazaar" / "vc").is_dir():
        pytest.skip("NOT CHECKED: @digitalbazaar/vc is not installed; make setup-dev where npm is at hand")
    process = subprocess.Popen(
        ["node", "exchange.mjs"], cwd=NODE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    def ask(does, **request):
        process.stdin.write(json.dumps({"does": does, **request}) + "\n")
        process.stdin.flush()
        answer = json.loads(process.stdout.readline())
        assert "fault" not in answer, answer
        return answer["value"]

    yield ask
    process.stdin.close()
    process.wait(10)
    process.stdout.close()


@pytest.mark.parametrize("suite", SUITES)
async def test_they_verify_what_we_issue_and_refuse_it_once_it_is_revoked(desk, bazaar, suite):
    (made,) = await issue(desk, item(suite=SUITES[suite]))
    credential = json.loads(made.credential_json)
    url = credential["credentialStatus"]["statusListCredential"]

    def asked(shown, credential_list):
        return bazaar("verify", credential=shown, suite=suite, lists={url: credential_list}, withStatus=True)

    before = await published(desk, made.status_list_id)
    assert asked(credential, before) == {"verified": True, "error": ""}
    changed = altered(credential, ("credentialSubject", "purpose"), "marketing")
    assert not asked(changed, before)["verified"]

    await revoke(desk, made.credential_id)
    await eventually(desk.area.lists._publish_one)

    assert not asked(credential, await published(desk, made.status_list_id))["verified"]


@pytest.mark.parametrize("suite", SUITES)
async def test_we_verify_what_they_issue_and_refuse_each_change(bazaar, suite):
    theirs = bazaar("issue", credential=THEIRS, suite=suite)
    now = datetime.now(UTC)
    against = functools.partial(reasons, now=now)
    assert await against(theirs) == []
    invalid = ["VC_SIGNATURE_INVALID"]
    assert await against(altered(theirs, ("credentialSubject", "name"), "Another club")) == invalid
    assert await against(altered(theirs, ("proof", "created"), "2026-05-01T00:00:00Z")) == invalid
    assert await against(
        altered(theirs, ("issuer",), "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp")
    ) == ["VC_ISSUER_MISMATCH"]
