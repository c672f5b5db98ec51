"""Bodies that are too large, that never end, that unpack without end; replies that nobody reads."""

import gzip
import socket
import time

from hyperframe.frame import DataFrame, HeadersFrame, RstStreamFrame

from tests.fakes.echo import Echo
from tests.integration.gateway.attacks.raw import COLLECT, EXPAND, Raw, grpc_headers, message

MIB = 2**20
RESOURCE_EXHAUSTED, DEADLINE_EXCEEDED = "8", "4"


def status_of(client, stream=1, seconds=10):
    """The grpc-status of a stream; None when it has none."""
    status = None
    for frame in client.frames(seconds):
        if isinstance(frame, HeadersFrame):
            headers = dict(client.decoder.decode(frame.data))
            if frame.stream_id == stream:
                status = headers.get("grpc-status", status)
        if getattr(frame, "stream_id", 0) == stream and (
            "END_STREAM" in frame.flags or isinstance(frame, RstStreamFrame)
        ):
            return status
    return status


def pour(client, stream, total):
    """Send a body of some bytes, as far as the other end takes them."""
    client.socket.settimeout(2)
    part = client.data(stream, bytes(16_384)).serialize()
    for _ in range(total // 16_384):
        if not client.write(part):
            return


def test_a_message_over_4_mib_is_refused_by_its_declared_length(victim, unharmed):
    with unharmed(grows_mib=30), Raw(victim.grpc_port) as client:
        client.send(client.head(1, grpc_headers()), client.data(1, b"\0" + (2**31).to_bytes(4, "big")))
        assert status_of(client) == RESOURCE_EXHAUSTED


def test_a_body_without_end_is_refused_and_not_gathered(victim, unharmed):
    with unharmed(grows_mib=60):
        for _ in range(3):
            with Raw(victim.grpc_port) as client:
                client.send(client.head(1, grpc_headers()))
                pour(client, 1, 64 * MIB)


def test_bodies_that_ignore_the_windows_end_the_connection(victim, unharmed):
    with unharmed(grows_mib=60), Raw(victim.grpc_port) as client:
        for stream in range(1, 241, 2):
            client.send(client.head(stream, grpc_headers(grpc_timeout="20S")))
            pour(client, stream, 3 * MIB)
        assert client.closed()


def test_a_stream_of_too_large_messages_is_refused(victim, unharmed):
    with unharmed(grows_mib=60), Raw(victim.grpc_port) as client:
        client.send(client.head(1, grpc_headers(COLLECT)))
        client.send(client.data(1, b"\0" + (5 * MIB).to_bytes(4, "big")))
        assert status_of(client) == RESOURCE_EXHAUSTED


def test_a_body_that_is_never_finished_ends_at_its_deadline(victim, unharmed):
    with unharmed(grows_mib=60), Raw(victim.grpc_port) as client:
        for stream in range(1, 401, 2):
            half = client.data(stream, message(bytes(1000))[:500])
            client.send(client.head(stream, grpc_headers(grpc_timeout="500m")), half)
        assert status_of(client, stream=399) == DEADLINE_EXCEEDED


def test_a_body_that_comes_byte_by_byte_ends_at_its_deadline(victim, unharmed):
    with unharmed(grows_mib=30), Raw(victim.grpc_port) as client:
        client.send(client.head(1, grpc_headers(grpc_timeout="700m")), client.data(1, message(bytes(90))[:5]))
        for _ in range(10):
            client.send(client.data(1, b"x"))
            time.sleep(0.1)
        assert status_of(client) == DEADLINE_EXCEEDED


def test_messages_that_unpack_to_a_gigabyte_are_refused(victim, unharmed):
    bomb = gzip.compress(bytes(128 * MIB))
    assert len(bomb) < MIB
    with unharmed(grows_mib=80), Raw(victim.grpc_port) as client:
        for stream in range(1, 17, 2):
            client.send(client.head(stream, grpc_headers(grpc_encoding="gzip")))
            body = message(bomb, packed=True)
            for start in range(0, len(body), 16_000):
                part = body[start : start + 16_000]
                client.send(client.data(stream, part, end=start + 16_000 >= len(body)))
            assert status_of(client, stream) == RESOURCE_EXHAUSTED


def test_replies_that_nobody_reads_are_not_gathered(victim, unharmed):
    stream_of_a_gigabyte = Echo(count=1000, blob=bytes(MIB)).SerializeToString()
    body = message(stream_of_a_gigabyte)
    with unharmed(grows_mib=60), Raw(victim.grpc_port, window=0) as client:
        client.send(client.head(1, grpc_headers(EXPAND)))
        for start in range(0, len(body), 16_000):
            client.send(client.data(1, body[start : start + 16_000], end=start + 16_000 >= len(body)))
        time.sleep(1)


def test_large_replies_that_nobody_reads_end_when_patience_does(victim, unharmed):
    with unharmed(grows_mib=220), Raw(victim.grpc_port, window=0) as client:
        body = message(Echo(blob=bytes(MIB)).SerializeToString())
        for stream in range(1, 101, 2):
            client.send(client.head(stream, grpc_headers()))
            for start in range(0, len(body), 16_000):
                client.send(
                    client.data(stream, body[start : start + 16_000], end=start + 16_000 >= len(body))
                )
        # Fifty replies of 1 MiB; after a second without a byte taken each is given up.
        ended = sum(isinstance(frame, RstStreamFrame) for frame in client.frames(seconds=3))
        assert ended == 50 or client.closed()


def test_an_http_body_that_stops_is_given_up(victim, unharmed):
    with unharmed(grows_mib=30):
        with socket.create_connection(("127.0.0.1", victim.http_port), timeout=10) as one:
            one.sendall(b"POST /anything HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nhalf")
            answer = one.recv(1024)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 ")


def test_data_frames_without_data_cost_nothing(victim, unharmed):
    with unharmed(grows_mib=40), Raw(victim.grpc_port) as client:
        client.send(client.head(1, grpc_headers(COLLECT, grpc_timeout="1S")))
        empty = DataFrame(1, b"").serialize() * 1000
        client.socket.settimeout(3)
        for _ in range(100):
            if not client.write(empty):
                break
