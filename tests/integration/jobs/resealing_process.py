"""A process that moves sealed values under a new key and says so window by window, so that a test can kill it.

Arguments: database, current KEK, previous KEK, pause after each window in seconds.
"""

import asyncio
import sys

from cohortlens.core import resealing as core
from cohortlens.core.db import Database
from cohortlens.core.sealing import Keyring
from cohortlens.jobs.resealing import resealer


async def main(url, current, previous, pause):
    core.WINDOW_ROWS = 50
    db = Database(url, 2)
    keyring = Keyring(bytes.fromhex(current), [bytes.fromhex(previous)])
    async for told in resealer(db, keyring).reseal():
        print(told.column, told.moved, flush=True)  # noqa: T201 - the test reads it
        await asyncio.sleep(float(pause))
    await db.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
