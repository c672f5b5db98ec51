"""One stack for the whole layer, started by the command a user types, on free ports, in its own folder."""

import json
import os
import re
import socket
import subprocess
import sys
from dataclasses import dataclass
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest

from cohortlens.cli.client import Client, Credentials
from cohortlens.embedded.ports import free_ports
from cohortlens.v1 import auth_login_pb2, auth_pb2
from load.bench.raised import RAISED
from tests.fixtures.waiting import eventually_blocking

ROOT = Path(__file__).resolve().parents[2]
COHORTLENS = Path(sys.executable).parent / "cohortlens"
PASSWORD = "three blind mice ran 42"
PORTS = ("HTTP_PORT", "GRPC_PORT", "POSTGRES_PORT", "REDIS_PORT", "SMTP_PORT", "STRIPE_PORT", "WEB3_PORT")


@dataclass(frozen=True)
class Stack:
    """A running stack and how to speak to it."""

    data_dir: Path
    environ: dict[str, str]

    @property
    def grpc(self) -> str:
        return f"127.0.0.1:{self.environ['COHORTLENS_GRPC_PORT']}"

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.environ['COHORTLENS_HTTP_PORT']}"

    @property
    def ops(self) -> int:
        """The ops port of the gateway; jobs have the next one, workers the one after."""
        return int(self.environ["COHORTLENS_OPS_PORT"])

    def run(
        self, *arguments: str, timeout: float = 120, stdin: bytes | None = None
    ) -> subprocess.CompletedProcess:
        return subprocess.run(
            [COHORTLENS, *arguments],
            env=self.environ,
            capture_output=True,
            timeout=timeout,
            input=stdin,
            check=False,
        )

    def json(self, *arguments: str, timeout: float = 120):
        done = self.run(*arguments, "--json", timeout=timeout)
        assert done.stdout, done.stderr.decode()[-2000:]
        return json.loads(done.stdout)

    def services(self):
        return {s["name"]: s for s in self.json("status")["data"]["services"]}

    def demo_client(self) -> Client:
        account = json.loads((self.data_dir / "credentials.json").read_text())["tenants"][0]
        return Client(self.grpc, Credentials(account["email"], account["password"]))

    def new_tenant(self, email: str, plan: str = "enterprise") -> Client:
        """A registered tenant, granted a plan beside the subscription it does not have; ``basic`` for none."""
        client = Client(self.grpc, Credentials(email, PASSWORD))
        request = auth_pb2.RegisterTenantRequest(
            display_name=email, email=email, password=PASSWORD, accept_terms_version="2026-11"
        )
        client.public(client.auth.RegisterTenant, request)
        verify = auth_login_pb2.VerifyEmailRequest(token=self.mailed_token(email))
        client.public(client.auth.VerifyEmail, verify)
        if plan != "basic":
            self.grant(client.call(client.auth.GetMe, auth_pb2.GetMeRequest()).tenant, plan)
        return client

    def grant(self, tenant: str, plan: str) -> None:
        """Grant a tenant a plan as the operator does."""
        done = self.json("plan", "grant", tenant, plan, "--reason", "what a test needs")
        assert done["ok"], done

    def mailed_token(self, email: str, bound_s: float = 30.0, path: str = "") -> str:
        """The token of the newest mailed link to somebody (to a page, if given), once the mail is there."""

        def found() -> str | None:
            for file in sorted((self.data_dir / "mail").glob("*.eml"), reverse=True):
                mail = message_from_bytes(file.read_bytes(), policy=default)
                text = mail.get_body(("plain",)).get_content()
                link = re.search(rf"{path}\?token=([A-Za-z0-9_-]+)", text)
                if mail["To"] == email and link:
                    return link[1]
            return None

        return eventually_blocking(found, bound_s)


def stack_environment(data_dir: Path) -> dict[str, str]:
    """Environment of a stack of its own: no setting of the caller leaks in."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("COHORTLENS_")}
    sockets = [socket.socket() for _ in PORTS]
    for name, sock in zip(PORTS, sockets, strict=True):
        sock.bind(("127.0.0.1", 0))
        environ[f"COHORTLENS_{name}"] = str(sock.getsockname()[1])
    for sock in sockets:
        sock.close()
    ops = {"COHORTLENS_OPS_PORT": str(free_ports(4))}
    # The origin of the one page of another site that may call.
    ops |= {"COHORTLENS_CORS_ORIGINS": f"http://127.0.0.1:{free_ports(1)}"}
    # All tests log in from one address, and many share a tenant.
    limits = {"COHORTLENS_LOGIN_PER_ADDRESS": "1000", **RAISED}
    # A week of grace in six seconds, and one plan that can be tried.
    selling = {"COHORTLENS_BILLING_GRACE": "6s", "COHORTLENS_TRIAL_DAYS": "professional=14"}
    # The net on weekly sequences would double the time of every first training; a day of comparing is too long.
    quick = {
        "COHORTLENS_SEQUENCE_CELL": "none",
        "COHORTLENS_SHADOW_PERIOD": "0s",
        "COHORTLENS_DATA_DIR": str(data_dir),
    }
    return environ | ops | limits | selling | quick


@pytest.fixture(scope="session")
def stack(tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("stack") / "data"
    running = Stack(data_dir, stack_environment(data_dir))
    done = running.run("up", "--detach", timeout=420)
    try:
        assert done.returncode == 0, done.stderr.decode()[-4000:]
        # Customers of the tenants that tests make have said nothing; stories of consent say it themselves.
        assert running.json("purposes", "default", "profiling", "OPT_OUT")["ok"]
        yield running
    finally:
        running.run("down", timeout=60)


@pytest.fixture(scope="session")
def demo(stack):
    with stack.demo_client() as client:
        # Its plan lacks one thing that the tests of the audit log need.
        tenant = client.call(client.auth.GetMe, auth_pb2.GetMeRequest()).tenant
        more = ("--feature", "audit.export", "--reason", "what a test needs")
        assert stack.json("plan", "override", tenant, *more)["ok"]
        yield client


@pytest.fixture(scope="session")
def stranger(stack):
    """A second tenant, with a customer and a prediction of its own if it wants them."""
    with stack.new_tenant("owner@corner-shop.example") as client:
        yield client
