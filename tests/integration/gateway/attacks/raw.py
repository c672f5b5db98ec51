"""A client that writes HTTP/2 frames as it likes, and looks at nothing it does not ask for."""

from __future__ import annotations

import socket
import struct
import time

from hpack import Decoder, Encoder
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
UNARY, EXPAND, COLLECT = "/tests.echo.Echo/Unary", "/tests.echo.Echo/Expand", "/tests.echo.Echo/Collect"
_HEAD_BYTES = 9


def grpc_headers(path=UNARY, **extra):
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        *((name.replace("_", "-"), value) for name, value in extra.items()),
    ]


def message(payload: bytes, *, packed=False) -> bytes:
    return struct.pack(">BI", packed, len(payload)) + payload


class Raw:
    """One HTTP/2 connection."""

    def __init__(self, port, *, window=None):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._encoder = Encoder()
        self.decoder = Decoder()
        self._buffer = b""
        settings = SettingsFrame(0)
        if window is not None:
            settings.settings = {SettingsFrame.INITIAL_WINDOW_SIZE: window}
        self.socket.sendall(PREFACE)
        self.send(settings)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, *frames):
        self.write(b"".join(frame.serialize() for frame in frames))

    def write(self, data):
        """Send bytes; False once the other end has closed, or takes no more."""
        try:
            self.socket.sendall(data)
        except OSError:
            return False
        return True

    def head(self, stream, headers, *flags):
        frame = HeadersFrame(stream, self._encoder.encode(headers))
        for flag in flags or ("END_HEADERS",):
            frame.flags.add(flag)
        return frame

    def data(self, stream, payload, *, end=False):
        frame = DataFrame(stream, payload)
        if end:
            frame.flags.add("END_STREAM")
        return frame

    def reset(self, stream):
        return RstStreamFrame(stream, 8)

    def window(self, stream, size):
        return WindowUpdateFrame(stream, size)

    def frames(self, seconds=10.0):
        """Frames as they come, until the other end closes or says nothing for ``seconds``."""
        self.socket.settimeout(seconds)
        while True:
            while len(self._buffer) >= _HEAD_BYTES:
                frame, size = Frame.parse_frame_header(memoryview(self._buffer[:_HEAD_BYTES]))
                if len(self._buffer) < _HEAD_BYTES + size:
                    break
                frame.parse_body(memoryview(self._buffer[_HEAD_BYTES : _HEAD_BYTES + size]))
                self._buffer = self._buffer[_HEAD_BYTES + size :]
                yield frame
            try:
                received = self.socket.recv(65_536)
            except OSError:
                return
            if not received:
                return
            self._buffer += received

    def closed(self, seconds=10.0):
        """Whether the other end closes the connection in time; what it says before is thrown away."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                if not self.socket.recv(65_536):
                    return True
            except TimeoutError:
                return False
            except OSError:
                return True
        return False

    def refusal(self, seconds=10.0):
        """Error code of the GOAWAY that ends the connection; None when it just ends or says nothing."""
        for frame in self.frames(seconds):
            if isinstance(frame, GoAwayFrame) and frame.error_code:
                return frame.error_code
        return None
