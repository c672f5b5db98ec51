"""A ``BatchScorer`` without workers: it reads and writes the same files, with the stand-in model's arithmetic."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cohortlens.analytics.batches.ports import ScoredSlice, ScoringOrder
from cohortlens.contracts.batch_files import VECTOR, BatchFolder
from cohortlens.contracts.features import SCHEMA
from tests.fakes.inference import scores_of


@dataclass
class FakeBatchScorer:
    """Scores slices one after the other.

    Attributes:
        root: Folder of the artifact store.
        faults: Raised before the slices given, once each; by slice.
        gate: Every slice waits for it.
        spoiled: Slices whose file is changed after its digest was told, once each.
    """

    root: Path
    faults: dict[int, Exception] = field(default_factory=dict)
    gate: asyncio.Event | None = None
    spoiled: set[int] = field(default_factory=set)
    orders: list[ScoringOrder] = field(default_factory=list)
    closed: int = 0

    async def score_slices(self, order: ScoringOrder):
        self.orders.append(order)
        try:
            for slice_ in order.slices:
                if slice_ in self.faults:
                    raise self.faults.pop(slice_)
                if self.gate is not None:
                    await self.gate.wait()
                yield self._score(order, slice_)
                await asyncio.sleep(0)
        finally:
            self.closed += 1

    def _score(self, order: ScoringOrder, slice_: int) -> ScoredSlice:
        with pq.ParquetFile(BatchFolder(self.root, order.tenant_id, order.input_id).input) as file:
            column = file.read_row_group(slice_, columns=[VECTOR])[VECTOR]
        matrix = np.array([np.frombuffer(value, "<f4") for value in column.to_pylist()], np.float32)
        matrix[:, SCHEMA.index("horizon")] = order.horizon_days
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table(scores_of(order.target, matrix)), sink)
        data = sink.getvalue().to_pybytes()
        path = BatchFolder(self.root, order.tenant_id, order.batch_id).scores(slice_)
        if slice_ in self.spoiled:
            self.spoiled.discard(slice_)
            path.write_bytes(data[:-1])
        else:
            path.write_bytes(data)
        return ScoredSlice(slice_, len(matrix), hashlib.sha256(data).hexdigest(), 0.0)
