"""OAuth clients that others publish, unchanged, get what they expect from a running server."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
CLIENTS = Path(__file__).parent / "clients"
PYTHON = ROOT / ".venv-oauth" / "bin" / "python"
SCOPES = "analytics.read customers.read"


def driven(command, given, site):
    """Run a script, be the person it sends to our pages, answer what it found."""
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        process.stdin.write(json.dumps(given) + "\n")
        process.stdin.flush()
        for line in process.stdout:
            said = json.loads(line)
            if "done" in said:
                return said["done"]
            with site.browser() as browser:
                back = browser.consent(said["visit"], site.email, site.password)
            process.stdin.write(back + "\n")
            process.stdin.flush()
        raise AssertionError(process.stderr.read()[-3000:])
    finally:
        process.kill()
        process.communicate()


def python_client(name, given, site):
    if not PYTHON.exists():
        pytest.skip("NOT CHECKED: OAuth clients of Python; next: make setup-dev")
    return driven([PYTHON, CLIENTS / name], given, site)


def assert_token_of_the_user(facts, site):
    claims = facts["claims"]
    assert facts["typ"] == "at+jwt"
    assert (claims["iss"], claims["aud"], claims["client_id"]) == (site.address, ["cohortlens"], site.public)
    assert claims["tenant_id"] == site.tenant
    assert claims["scope"] == facts["scope"]


def test_authlib_gets_renews_and_loses_tokens(given, site):
    facts = python_client("authlib_flows.py", given, site)
    assert_token_of_the_user(facts, site)
    assert (facts["scope"], facts["called"], facts["rotated"]) == (SCOPES, 200, 3)
    assert (facts["reused"], facts["after_reuse"]) == ("invalid_grant", "invalid_grant")
    assert (facts["own_scope"], facts["own_refresh"]) == ("customers.read", False)
    assert facts["signed_scope"] == SCOPES
    assert facts["introspected"]["active"] is True
    assert facts["introspected"]["client_id"] == site.confidential
    for kind in ("ended_by_access", "ended_by_refresh"):
        assert facts[kind] == [200, 401, "invalid_grant"]
    assert (facts["own_revoked"], facts["own_after"]) == (200, {"active": False})
    assert facts["unknown_revoked"] == 200


def test_requests_oauthlib_gets_renews_and_revokes_tokens(given, site):
    facts = python_client("requests_oauthlib_flows.py", given, site)
    assert (facts["scope"], facts["called"], facts["rotated"]) == (SCOPES, 200, 2)
    assert facts["active"]["active"] is True
    assert facts["active"]["scope"] == SCOPES
    assert (facts["revoked"], facts["after_revocation"]) == (200, "invalid_grant")
    assert facts["inactive"] == {"active": False}
    assert (facts["own_scope"], facts["own_refresh"]) == ("customers.read", False)


def test_openid_client_discovers_gets_renews_and_verifies_tokens(given, site):
    node = shutil.which("node")
    if node is None or not (CLIENTS / "node_modules").exists():
        pytest.skip("NOT CHECKED: npm openid-client; next: apt-get install -y nodejs npm && make setup-dev")
    facts = driven([node, CLIENTS / "openid_client_flows.mjs"], given, site)
    assert_token_of_the_user(facts, site)
    assert (facts["scope"], facts["called"], facts["rotated"]) == ("customers.read", 200, 3)
    assert (facts["reused"], facts["after_reuse"]) == ("invalid_grant", "invalid_grant")
    assert facts["mixed"] != "taken"
    assert (facts["own_scope"], facts["own_refresh"]) == ("customers.read", False)
    assert facts["introspected"]["active"] is True
    for kind in ("ended_by_access", "ended_by_refresh"):
        assert facts[kind] == [401, "invalid_grant"]
    assert (facts["signed_before"], facts["signed_after"]) == (True, {"active": False})
    assert facts["signed_scope"] == SCOPES
