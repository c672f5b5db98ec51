"""What a stranger sees after the first start: credentials, the tour, and calls that work when pasted."""

import json
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

BASH = ["bash", "--noprofile", "--norc", "-euo", "pipefail", "-c"]


@pytest.fixture(scope="module")
def tour(stack):
    return stack.json("demo")["data"]


def test_status_says_that_everything_is_ready(stack):
    status = stack.json("status")
    assert status["ok"]
    assert {s["state"] for s in status["data"]["services"]} == {"ready"}
    assert {"postgres", "redis", "gateway", "jobs", "workers"} <= {
        s["name"] for s in status["data"]["services"]
    }


def test_up_beside_a_running_stack_says_so_and_starts_nothing(stack):
    before = {name: s["pid"] for name, s in stack.services().items()}
    again = stack.run("up", "--detach")
    assert again.returncode == 0
    assert b"STACK_ALREADY_RUNNING" in again.stdout + again.stderr
    assert {name: s["pid"] for name, s in stack.services().items()} == before


def test_the_credentials_are_random_and_private(stack):
    file = stack.data_dir / "credentials.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(stack.data_dir.stat().st_mode) == 0o700
    shown = stack.json("credentials")["data"]["tenants"][0]
    assert len(shown["password"]) >= 20
    assert shown["password"] in file.read_text()


def test_the_tour_shows_segments_and_ten_predictions_with_three_reasons(tour):
    assert 3 <= len(tour["segments"]) <= 8
    assert all(s["name"] and s["customers"] > 0 for s in tour["segments"])
    assert sum(s["spend"]["units_minor"] for s in tour["segments"]) > 20_000_000, (
        "CDNOW customers spent USD 245,000"
    )
    assert len(tour["predictions"]) == 10
    assert all(len(e["attributions"]) == 3 for e in tour["explanations"])
    assert {p["unit"] for p in tour["predictions"]} == {"USD"}


def test_the_tour_as_text_names_every_segment(stack, tour):
    text = stack.run("demo").stdout.decode()
    assert all(s["name"] in text for s in tour["segments"])
    for tool in ("curl", "grpcurl", "python"):
        assert f"# {tool}" in text


@pytest.mark.parametrize("tool", ["curl", "grpcurl", "python"])
def test_a_pasted_call_gives_the_predicted_value(stack, tour, tool):
    environ = stack.environ | {"PATH": f"{Path(sys.executable).parent}:{stack.environ['PATH']}"}
    if tool != "python" and not shutil.which(tool, path=environ["PATH"]):
        pytest.skip(f"NOT CHECKED: {tool} is not installed")
    script = f"{tour['snippets']['token']}\n{tour['snippets'][tool]}\n"
    pasted = subprocess.run(
        [*BASH, script], env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert pasted.returncode == 0, pasted.stderr
    expected = tour["predictions"][0]["value"]
    if tool == "python":
        line = next(line for line in pasted.stdout.splitlines() if line.strip().startswith("value:"))
        found = float(line.split(":")[1])
    else:
        found = json.loads(pasted.stdout)["predictions"][0]["value"]
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["predict", "--customer", "external:nobody"], 3, "RESOURCE_NOT_FOUND"),
        (["predict", "--customer", "external:4", "--horizon", "800d"], 2, "HORIZON_UNSUPPORTED"),
        (["predict", "--customer", "external:4", "--horizon", "soon"], 2, "FIELD_INVALID"),
        (["predict"], 2, "FIELD_INVALID"),
        (["import", "/nowhere.csv"], 2, "FILE_UNREADABLE"),
        (["predict", "--customer", "external:4", "--target", "127.0.0.1:1"], 7, "SERVICE_UNREACHABLE"),
    ],
)
def test_a_wrong_command_exits_with_its_code_and_names_the_reason(stack, arguments, code, reason):
    text = stack.run(*arguments)
    assert text.returncode == code, text.stderr
    assert reason in text.stderr.decode()
    assert not text.stdout
    document = stack.run(*arguments, "--json")
    assert document.returncode == code
    assert json.loads(document.stdout)["error"]["reason"] == reason


def test_an_import_reports_each_refused_row_and_changes_nothing_when_dry(stack, tmp_path):
    file = tmp_path / "orders.csv"
    file.write_text("customer_id,date,amount\n1,1998-07-01,10.00\n,1998-07-01,5\n2,1998-07-02,many\n")
    done = stack.run("import", str(file), "--dry-run", "--json")
    assert done.returncode == 8, "done, with findings"
    data = json.loads(done.stdout)["data"]
    assert data["rows"] == {"read": 3, "accepted": 1, "rejected": 2, "duplicate": 0}
    assert [(f["line"], f["reason"]) for f in data["faults"]] == [
        (3, "CUSTOMER_MISSING"),
        (4, "AMOUNT_INVALID"),
    ]
    again = stack.json("import", str(file), "--dry-run")
    assert again["data"]["rows"]["accepted"] == 1, "the first dry run wrote nothing"
