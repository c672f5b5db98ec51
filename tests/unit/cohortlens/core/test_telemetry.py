"""Log lines: complete, in order, bound to their request, and never the reason a request fails."""

import asyncio
import io
import json
import logging

import pytest

from cohortlens.core import telemetry
from tests.fixtures.waiting import eventually


@pytest.fixture
def stream():
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)


def written(stream):
    logging.getLogger().handlers[0].flush()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_its_fields(stream):
    telemetry.configure_logging("info", "json", stream)
    log = telemetry.get_logger("cohortlens.tests")
    with telemetry.bound("request-0001", "tenant-1"):
        log.info("imported", rows=3, note='line\nbreak "quoted" ñ\x1b[0m')
    log.debug("hidden")
    (line,) = written(stream)
    assert line.pop("ts").endswith("Z")
    assert line == {
        "level": "info",
        "event": "imported",
        "logger": "cohortlens.tests",
        "request_id": "request-0001",
        "tenant_id": "tenant-1",
        "rows": 3,
        "note": 'line\nbreak "quoted" ñ\x1b[0m',
    }
    assert "\x1b" not in stream.getvalue()


def test_fields_are_bound_to_the_block_only(stream):
    telemetry.configure_logging("info", "json", stream)
    log = telemetry.get_logger("cohortlens.tests")
    with telemetry.bound("outer-0001"), telemetry.bound(tenant_id="tenant-1"):
        log.info("inside")
    log.info("outside")
    inside, outside = written(stream)
    assert (inside["request_id"], inside["tenant_id"]) == ("outer-0001", "tenant-1")
    assert "request_id" not in outside
    assert "tenant_id" not in outside


def test_a_stack_is_part_of_the_line_of_its_exception(stream):
    telemetry.configure_logging("info", "json", stream)
    try:
        raise RuntimeError("disk gone")
    except RuntimeError:
        telemetry.get_logger("cohortlens.tests").exception("failed")
    (line,) = written(stream)
    assert "RuntimeError: disk gone" in line["stack"]


def test_the_text_form_stays_on_one_line(stream):
    telemetry.configure_logging("debug", "text", stream)
    telemetry.get_logger("cohortlens.tests").warning("odd", name="two words\nand a break")
    text = stream.getvalue()
    assert text.count("\n") == 1
    assert "warning" in text
    assert 'name="two words\\nand a break"' in text


async def test_lines_of_the_loop_and_of_threads_all_arrive_in_their_order(stream):
    telemetry.configure_logging("info", "json", stream)
    log = telemetry.get_logger("cohortlens.tests")

    def from_thread(name):
        for number in range(200):
            log.info("said", who=name, number=number)

    async def from_loop(name):
        for number in range(200):
            log.info("said", who=name, number=number)
            log.call(logging.INFO, f'"who":"call {name}","number":{number}')
            await asyncio.sleep(0)

    threads = [asyncio.to_thread(from_thread, f"thread {n}") for n in range(3)]
    await asyncio.gather(*threads, from_loop("loop"))
    lines = written(stream)
    assert len(lines) == 5 * 200
    for who in {line["who"] for line in lines}:
        assert [line["number"] for line in lines if line["who"] == who] == list(range(200))


class Broken(io.StringIO):
    def write(self, text):
        raise OSError("no space left on device")


async def test_a_line_that_cannot_be_written_is_dropped_and_counted(stream):
    telemetry.configure_logging("info", "json", Broken())
    before = telemetry.REGISTRY.get_sample_value("log_lines_dropped_total")
    log = telemetry.get_logger("cohortlens.tests")
    log.info("one")
    log.call(logging.INFO, '"who":"call"')
    logging.getLogger().handlers[0].flush()
    assert telemetry.REGISTRY.get_sample_value("log_lines_dropped_total") == before + 2


def test_what_is_no_json_is_written_as_text(stream):
    telemetry.configure_logging("info", "json", stream)
    telemetry.get_logger("cohortlens.tests").info("odd", what={1, 2}, raw=b"\xff")
    (line,) = written(stream)
    assert (line["what"], line["raw"]) == ("{1, 2}", "b'\\xff'")


async def test_lines_of_the_loop_wait_for_one_another_and_an_error_does_not(stream):
    telemetry.configure_logging("info", "json", stream)
    log = telemetry.get_logger("cohortlens.tests")
    log.info("first")
    log.call(logging.INFO, '"code":"OK"')
    assert stream.getvalue() == ""
    log.error("broken")
    assert [line["event"] for line in map(json.loads, stream.getvalue().splitlines())] == [
        "first",
        "call",
        "broken",
    ]
    log.info("later")
    await eventually(lambda: "later" in stream.getvalue())


def test_a_loop_that_ended_takes_no_line_with_it(stream):
    telemetry.configure_logging("info", "json", stream)
    log = telemetry.get_logger("cohortlens.tests")

    async def ends_at_once():
        log.info("last of the loop")

    asyncio.run(ends_at_once())
    log.info("after the loop")
    assert [line["event"] for line in written(stream)] == ["last of the loop", "after the loop"]


def test_what_an_encoder_adds_to_every_line_stands_in_those_of_calls_too(stream):
    def encode(line):
        return json.dumps({**line, "process": 3}, separators=(",", ":"))

    telemetry.configure_logging("info", "json", stream, encode)
    log = telemetry.get_logger("cohortlens.tests")
    log.info("one")
    log.call(logging.INFO, '"code":"OK"')
    assert [line["process"] for line in written(stream)] == [3, 3]


def test_the_text_form_shows_the_fields_of_a_call(stream):
    telemetry.configure_logging("info", "text", stream)
    telemetry.get_logger("cohortlens.tests").call(logging.INFO, '"code":"OK","latency_ms":1.250')
    logging.getLogger().handlers[0].flush()
    assert "call code=OK latency_ms=1.25" in stream.getvalue()
