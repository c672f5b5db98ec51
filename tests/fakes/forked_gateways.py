"""Forks gateways from one process that has imported them: ``python -m tests.fakes.forked_gateways``.

Reads a JSON object a line: ``{"start": {...environment...}}`` answers the process id, ``{"wait": id}`` the exit
status once that process has ended. The gateways are the real ones, but models are stood in for.
"""

from __future__ import annotations

import json
import os
import sys

from gateway import composition
from gateway.__main__ import main
from gateway.microbatch import batcher
from tests.fakes.inference import FakeInferenceClient


def _start(environment):
    pid = os.fork()
    if pid:
        return pid
    os.environ.clear()
    os.environ.update(environment)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os._exit(main([]))


def _serve():
    composition._import_slices()
    real = batcher.MicroBatcher
    batcher.MicroBatcher = lambda client: real(FakeInferenceClient())
    while line := sys.stdin.readline():
        [(act, given)] = json.loads(line).items()
        told = _start(given) if act == "start" else os.waitstatus_to_exitcode(os.waitpid(given, 0)[1])
        sys.stdout.write(f"{told}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()
