"""Frames cut out of bytes, however those arrive."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohortlens.contracts import frames
from cohortlens.contracts.frames import HEADER, MAX_BODY_BYTES, FrameProtocol, Method, clock_us, waited_s


class Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self):
        super().__init__()
        self.sent = b""
        self.aborted = False

    def write(self, data):
        self.sent += data

    def is_closing(self):
        return self.aborted

    def abort(self):
        self.aborted = True


class Recorder(FrameProtocol):
    """Keeps what came."""

    def __init__(self):
        super().__init__()
        self.came = []
        self.faults = []
        self.connection_made(Wire())

    def frame(self, head, body):
        self.came.append((head.method, head.call, head.status, head.left_ms, bytes(body)))

    def malformed(self, what):
        self.faults.append(what)

    def ended(self):
        pass

    def receive(self, data):
        while data:
            buffer = self.get_buffer(-1)
            part = data[: len(buffer)]
            buffer[: len(part)] = part
            self.buffer_updated(len(part))
            data = data[len(part) :]


def encoded(messages):
    sender = Recorder()
    for method, call, status, left_ms, body in messages:
        sender.send(method, call, (body[:3], body[3:]), status=status, left_ms=left_ms)
    return sender.transport.sent


message = st.tuples(
    st.sampled_from(Method),
    st.integers(0, 2**32 - 1),
    st.integers(0, 16),
    st.integers(0, 2**32 - 1),
    st.binary(max_size=400),
)


@given(st.lists(message, max_size=12), st.integers(1, 600), st.integers(64, 1024))
def test_frames_arrive_whole_and_in_order_however_the_bytes_are_cut(messages, cut, room):
    kept = frames._BUFFER_BYTES
    frames._BUFFER_BYTES = room
    try:
        receiver, data = Recorder(), encoded(messages)
        for start in range(0, len(data), cut):
            receiver.receive(data[start : start + cut])
    finally:
        frames._BUFFER_BYTES = kept

    assert receiver.came == messages
    assert not receiver.transport.aborted


def test_the_buffer_grows_for_a_large_frame_and_shrinks_after_it():
    receiver = Recorder()
    usual = len(receiver._buffer)
    large = encoded([(Method.SCORE, 1, 0, 5, b"x" * 3_000_000)])

    receiver.receive(large[:100_000])
    receiver.receive(large[100_000:300_000])
    assert len(receiver._buffer) == len(large)
    receiver.receive(large[300_000:])

    assert len(receiver.came[0][-1]) == 3_000_000
    assert len(receiver._buffer) == usual


@pytest.mark.parametrize(
    "header",
    [
        HEADER.pack(MAX_BODY_BYTES + 1, 1, 0, 0, Method.SCORE, 0, 0),
        HEADER.pack(0, 1, 0, 0, 99, 0, 0),
        HEADER.pack(0, 1, 0, 0, Method.SCORE, 17, 0),
        HEADER.pack(0, 1, 0, 0, Method.SCORE, 0, 1),
        b"GET / HTTP/1.1\r\nHost: a\r\n",
    ],
    ids=["too long", "unknown method", "unknown status", "not zero", "http"],
)
def test_a_header_that_cannot_be_ends_the_connection_before_anything_behind_it_is_read(header):
    receiver = Recorder()
    good = encoded([(Method.SCORE, 1, 0, 5, b"body")])

    receiver.receive(good + header + good)

    assert len(receiver.came) == 1
    assert len(receiver.faults) == 1
    assert receiver.transport.aborted


def test_waiting_is_measured_across_the_wrap_of_the_clock_and_not_between_clocks_that_disagree(monkeypatch):
    monkeypatch.setattr(frames, "clock_us", lambda: 1_000)
    assert waited_s(2**32 - 1_000, 5.0) == 0.002
    assert waited_s(2_000, 5.0) == 0.0


def test_the_clock_fits_its_field():
    assert 0 <= clock_us() < 2**32
