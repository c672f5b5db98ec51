"""The limit that batch scoring is held against: onnxruntime in this process, two threads, rows in memory.

Run by the workers' Python: ``batch_onnx.py GRAPH ROWS.npy THREADS CHUNK``; prints one JSON line.
"""

import json
import sys
import time

import numpy as np
import onnxruntime


def main() -> None:
    """Score all rows and print the seconds it took."""
    graph, rows, threads, chunk = sys.argv[1], np.load(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    session.run(None, {name: rows[:chunk]})
    wall, cpu = time.perf_counter(), time.process_time()
    for at in range(0, len(rows), chunk):
        session.run(None, {name: rows[at : at + chunk]})
    print(json.dumps({"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}))  # noqa: T201


if __name__ == "__main__":
    main()
