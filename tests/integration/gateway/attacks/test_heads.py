"""Heads of requests that are too large, that grow when unpacked, or that come too slowly."""

import socket
import time

from hpack import Encoder
from hyperframe.frame import HeadersFrame

from tests.integration.gateway.attacks.raw import Raw, grpc_headers, message


def _refused(client, stream=1):
    """Whether the stream, or the connection, is ended without a good answer."""
    for frame in client.frames(seconds=5):
        if type(frame).__name__ == "GoAwayFrame" and frame.error_code:
            return True
        if type(frame).__name__ == "RstStreamFrame" and frame.stream_id == stream:
            return True
        if type(frame).__name__ == "HeadersFrame" and frame.stream_id == stream:
            return True
    return True


def test_a_header_list_over_16_kib_is_refused(victim, unharmed):
    with unharmed(grows_mib=30), Raw(victim.grpc_port) as client:
        large = [(f"x-{number}", "v" * 1000) for number in range(20)]
        client.send(client.head(1, [*grpc_headers(), *large]))
        client.send(client.data(1, message(b""), end=True))
        codes = [getattr(frame, "data", b"") for frame in client.frames(seconds=2)]
        assert not any(b"grpc-status" in code for code in codes)


def test_a_header_block_that_unpacks_to_megabytes_is_refused(victim, unharmed):
    encoder = Encoder()
    # Held in the table of the receiver once, named by one byte from then on.
    once = encoder.encode([*grpc_headers(), ("x-bomb", "b" * 3800)], huffman=False)
    bomb = once + encoder.encode([("x-bomb", "b" * 3800)]) * 12_000
    with unharmed(grows_mib=30):
        for _ in range(20):
            with Raw(victim.grpc_port) as client:
                frame = HeadersFrame(1, bomb[:16_384])
                frame.flags.add("END_HEADERS")
                frame.flags.add("END_STREAM")
                client.send(frame)
                assert _refused(client)


def test_a_head_that_never_ends_is_cut_off_over_http_2(victim, unharmed):
    with unharmed(grows_mib=30):
        clients = [Raw(victim.grpc_port) for _ in range(50)]
        for client in clients:
            client.send(HeadersFrame(1, Encoder().encode(grpc_headers())))
        assert all(client.closed() for client in clients)
        for client in clients:
            client.socket.close()


def test_a_head_that_stops_is_cut_off_over_http_1(victim, unharmed):
    with unharmed(grows_mib=30):
        slow = _slow_heads(victim, 50)
        for one in slow:
            answer = one.recv(1024)
            assert answer == b"" or answer.startswith((b"HTTP/1.1 408", b"HTTP/1.1 400"))
            one.close()


def test_a_head_that_comes_byte_by_byte_takes_a_connection_and_nothing_else(victim, unharmed):
    # The server's timer starts anew with every byte; what ends such a head is its size. Others are served.
    with unharmed(grows_mib=30):
        slow = _slow_heads(victim, 50)
        for _ in range(5):
            for one in slow:
                one.sendall(b"x")
            time.sleep(0.3)
        for one in slow:
            one.close()


def _slow_heads(victim, count):
    slow = [socket.create_connection(("127.0.0.1", victim.http_port), timeout=10) for _ in range(count)]
    for one in slow:
        one.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
    return slow


def test_connections_that_say_nothing_do_not_shut_out_others(victim, unharmed):
    with unharmed(grows_mib=80):
        silent = []
        for _ in range(2100):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", victim.grpc_port))
            silent.append(one)
        time.sleep(2)
        # Their time is over; whoever comes now is served.
        with Raw(victim.grpc_port) as client:
            client.send(client.head(1, grpc_headers()), client.data(1, message(b""), end=True))
            assert any(type(frame).__name__ == "DataFrame" for frame in client.frames(seconds=8))
        for one in silent:
            one.close()
