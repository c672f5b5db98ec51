"""Log lines of several processes on one stream."""

import json
import os

from gateway.fleet.lines import WholeLines


def written(tmp_path, text):
    path = tmp_path / "log"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    WholeLines(handle, 3).write(text)
    os.close(handle)
    return path.read_text()


def test_every_line_of_json_tells_its_process_and_keeps_the_rest(tmp_path):
    lines = [{"event": "one", "text": "a {brace}"}, {"event": "two"}]
    text = "".join(json.dumps(line) + "\n" for line in lines)

    assert [json.loads(line) for line in written(tmp_path, text).splitlines()] == [
        {"process": 3, **line} for line in lines
    ]


def test_a_line_that_is_no_json_stays_as_it_is(tmp_path):
    assert written(tmp_path, "plain {text}\n") == "plain {text}\n"


def test_a_pipe_gets_whole_lines_at_a_time():
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    pieces = []

    class Watched(WholeLines):
        def _piece(self, data):
            size = super()._piece(data)
            pieces.append(data[:size])
            return size

    text = "".join(f"line {number} {'x' * 300}\n" for number in range(60))
    Watched(write_end, 0).write(text)
    os.close(write_end)

    assert len(pieces) > 1
    assert all(piece.endswith(b"\n") and len(piece) <= 4096 for piece in pieces)
    assert b"".join(pieces).decode() == text
    os.close(read_end)
