"""How schemathesis calls: as the owner of a tenant, with the token it was given or another one after that.

It is loaded by schemathesis, in an environment of its own, by ``schemathesis.toml``.
"""

import os
import sys
import time
from pathlib import Path

import requests
import schemathesis

sys.path.insert(0, str(Path(__file__).parent))

from widening import widen

TIMEOUT_S = 30
LOG_IN_S = 240


def _log_in(url):
    """A token. Made-up calls tried the owner's address with wrong passwords, so this one may have to wait."""
    account = {"email": os.environ["OPENAPI_EMAIL"], "password": os.environ["OPENAPI_PASSWORD"]}
    end = time.monotonic() + LOG_IN_S
    while True:
        answer = requests.post(f"{url}/api/v1/sessions", json=account, timeout=TIMEOUT_S)
        if answer.ok:
            return answer.json()["tokens"]["accessToken"]
        after_s = int(answer.headers.get("Retry-After", "0"))
        if answer.status_code != requests.codes.too_many_requests or time.monotonic() + after_s > end:
            raise RuntimeError(f"no log-in: {answer.status_code} {answer.text}")
        time.sleep(after_s + 0.5)


@schemathesis.auth(refresh_interval=300, retry_on=[401])
class Owner:
    """An access token of the owner; some calls end the session it belongs to."""

    token = ""

    def get(self, case, context):
        """The token while it is good, else a new one: log-ins are limited."""
        url = os.environ["OPENAPI_URL"]
        head = {"Authorization": f"Bearer {Owner.token}"}
        if not Owner.token or not requests.get(f"{url}/api/v1/users/me", headers=head, timeout=TIMEOUT_S).ok:
            Owner.token = _log_in(url)
        return Owner.token

    def set(self, case, data, context):
        """Put it on a request."""
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {data}"}


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """Say what the mapping takes beyond the document."""
    if "openapi" in raw_schema:
        widen(raw_schema)
