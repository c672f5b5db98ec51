"""What the embedded IPFS store costs on this machine: hashing, adding with fsync, sealing, reading."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sidecars.web3.pinning.blockstore import Blockstore
from sidecars.web3.pinning.cid import Cid
from sidecars.web3.pinning.envelope import new_key, opened, sealed
from sidecars.web3.pinning.local import LocalStore
from sidecars.web3.pinning.unixfs import content_cid

_SIXTY = (bytes(range(251)) * 239_044)[:60_000_000]
_SMALL_ROUNDS = 200


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 1 << 20):
        yield content[start : start + (1 << 20)]


async def _timed(work: Callable[[], Awaitable[object]]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    await work()
    return time.perf_counter() - wall, time.process_time() - cpu


async def _measure(folder: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        local = LocalStore(Blockstore(folder, free_bytes_least=0), threads)

        async def read(cid: Cid, key: bytes | None = None) -> None:
            pieces = local.read(cid)
            if key is not None:
                pieces = opened(pieces, await local.size(cid), key, b"")
            async for _ in pieces:
                pass

        async def hash_only() -> None:
            content_cid(_SIXTY)

        _row("hash 60 MB", *await _timed(hash_only))
        root = content_cid(_SIXTY)
        _row(
            "add 60 MB, every block synced", *await _timed(lambda: local.add(_pieces(_SIXTY), lambda _: "a"))
        )
        _row("add it again", *await _timed(lambda: local.add(_pieces(_SIXTY), lambda _: "a")))
        _row("read 60 MB, every block checked", *await _timed(lambda: read(root)))
        key = new_key()
        closed = await local.add(sealed(_pieces(_SIXTY), key, b""), lambda _: "b")
        _row("open 60 MB sealed", *await _timed(lambda: read(closed.cid, key)))
        walls, cpus = [], []
        for number in range(_SMALL_ROUNDS):
            content = os.urandom(65_536)
            name = f"small-{number}"
            wall, cpu = await _timed(lambda c=content, n=name: local.add(_pieces(c), lambda _: n))  # type: ignore[misc]
            walls.append(wall)
            cpus.append(cpu)
        walls.sort()
        _row("pin 64 KiB, median", walls[len(walls) // 2], sum(cpus) / len(cpus))
        _row("pin 64 KiB, p95", walls[int(len(walls) * 0.95)], max(cpus))
        _row("collect with all pinned", *await _timed(local.collect))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(f"memory at most {peak:.0f} MiB, 57 of them the content itself\n")


def _row(what: str, wall_s: float, cpu_s: float) -> None:
    sys.stdout.write(f"{what:<34} {wall_s * 1000:>9.1f} ms  cpu {cpu_s * 1000:>8.1f} ms\n")


def main() -> None:
    """Measure in a folder of its own and print a table."""
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as folder:
        asyncio.run(_measure(Path(folder) / "ipfs"))


if __name__ == "__main__":
    main()
