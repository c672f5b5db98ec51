"""Every phase of schemathesis over the whole document, on a stack of its own: ``make schemathesis``."""

import json
import os
import sys

from tests.e2e.openapi.running import schemathesis

EXAMPLES = os.environ.get("SCHEMATHESIS_EXAMPLES", "20")


def test_no_call_that_schemathesis_makes_up_is_answered_otherwise_than_documented(stack):
    account = json.loads((stack.data_dir / "credentials.json").read_text())["tenants"][0]
    options = ("--max-examples", EXAMPLES, "--workers", "2")
    said = schemathesis(stack.http, account["email"], account["password"], *options, timeout_s=7200)
    sys.stdout.write(said[said.index("= SUMMARY") :])
