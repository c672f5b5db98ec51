"""Runs a real stack with stand-ins for gateway, jobs and workers: ``python driver.py``; prints one event a line.

The stand-in of the workers starts an agent in a session of its own that ignores SIGTERM, as Ray does.
"""

import json
import sys

from cohortlens.embedded import stack
from cohortlens.embedded.faults import StackFailed
from cohortlens.embedded.services import Program, Programs, is_live, says_ready

GATEWAY = """
import http.server, os
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *a): pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["COHORTLENS_HTTP_PORT"])), Answer).serve_forever()
"""
READY = 'import time; print(\'{"event": "ready"}\', flush=True); time.sleep(3600)'
AGENT = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(3600)"
WORKERS = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {AGENT!r}], start_new_session=True)\n{READY}"
MIGRATION = (
    "import os, sys; sys.exit(not os.environ['COHORTLENS_DATABASE_ADMIN_URL'].startswith('postgresql://'))"
)
BROKEN = "import sys; print('no such model', flush=True); sys.exit(3)"


def programs(jobs: str) -> Programs:
    """The stand-ins; ``jobs`` is the source of the jobs program."""
    python = sys.executable
    applications = [
        Program("gateway", [python, "-S", "-c", GATEWAY], is_live, 20.0),
        Program("jobs", [python, "-S", "-c", jobs], says_ready, 20.0),
        Program("workers", [python, "-S", "-c", WORKERS], says_ready, 20.0),
    ]
    return Programs(Program("migrate", [python, "-S", "-c", MIGRATION], says_ready, 20.0), applications)


def say(message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    source = BROKEN if "broken-jobs" in sys.argv else READY
    try:
        stack.up(stack.load_config(), lambda event: say(vars(event)), programs=programs(source))
    except StackFailed as failure:
        say({"faults": [vars(fault) for fault in failure.faults]})
        sys.exit(5)
