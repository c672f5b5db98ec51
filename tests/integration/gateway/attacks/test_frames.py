"""Floods of HTTP/2 frames: the connection that sends them is closed, memory stays, others notice nothing."""

import pytest
from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from tests.fakes.echo import Echo
from tests.integration.gateway.attacks.raw import EXPAND, Raw, grpc_headers, message

ENHANCE_YOUR_CALM = 11
HANGS = message(Echo(text="hang").SerializeToString())


def test_ten_thousand_resets_end_the_connection(victim, unharmed):
    with unharmed(grows_mib=60), Raw(victim.grpc_port) as client:
        for stream in range(1, 20_001, 2):
            frames = (client.head(stream, grpc_headers()), client.data(stream, HANGS), client.reset(stream))
            if not client.write(b"".join(one.serialize() for one in frames)):
                break
        assert client.refusal() in (ENHANCE_YOUR_CALM, None)
        assert client.closed()


def test_ten_thousand_resets_spread_over_connections_leave_nothing_running(victim, unharmed):
    with unharmed(grows_mib=60):
        for _ in range(20):
            with Raw(victim.grpc_port) as client:
                for stream in range(1, 1001, 2):
                    client.send(client.head(stream, grpc_headers()), client.data(stream, HANGS, end=True))
                    client.send(client.reset(stream))


@pytest.mark.parametrize("size", [0, 16_000])
def test_a_header_block_that_never_ends_is_cut_off(victim, unharmed, size):
    with unharmed(grows_mib=40), Raw(victim.grpc_port) as client:
        first = HeadersFrame(1, Encoder().encode(grpc_headers()))
        client.send(first)
        part = ContinuationFrame(1, bytes(size)).serialize()
        alive = all(client.write(part * 100) for _ in range(200))
        assert not alive or client.closed()


FLOODS = {
    "settings": lambda: SettingsFrame(0, {SettingsFrame.HEADER_TABLE_SIZE: 4096}),
    "ping": lambda: PingFrame(0, bytes(8)),
    "window updates": lambda: WindowUpdateFrame(0, 1),
    "priority": lambda: PriorityFrame(1, depends_on=0, stream_weight=1),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_of_frames_that_cost_the_sender_nothing(victim, unharmed, flood):
    with unharmed(grows_mib=40), Raw(victim.grpc_port) as client:
        # What is answered is never read, so answers pile up wherever they are not bounded.
        client.socket.settimeout(3)
        frames = FLOODS[flood]().serialize() * 1000
        for _ in range(200):
            if not client.write(frames):
                break


def test_resets_of_streams_that_were_never_opened_end_the_connection(victim, unharmed):
    with unharmed(grows_mib=40), Raw(victim.grpc_port) as client:
        client.write(RstStreamFrame(1, 8).serialize() * 1000)
        assert client.closed()


def test_more_streams_than_allowed_are_refused_and_the_others_wait(victim, unharmed):
    with unharmed(grows_mib=120), Raw(victim.grpc_port) as client:
        for stream in range(1, 3001, 2):
            # Open streams, not unary calls: those are load, and a thousand of them shed others by design.
            headers = grpc_headers(EXPAND, grpc_timeout="3S")
            client.send(client.head(stream, headers), client.data(stream, HANGS, end=True))
        refused = 0
        for frame in client.frames(seconds=1.5):
            refused += isinstance(frame, RstStreamFrame) and frame.error_code == 7
        assert refused == 500
