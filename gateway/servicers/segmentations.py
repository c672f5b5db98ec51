"""Servicer of segmentation runs as resources: list, cancel, compare; ``analytics.py`` starts them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from cohortlens.analytics.models import SegmentationRun
from cohortlens.analytics.segment_moves import Comparison
from cohortlens.bootstrap.services import Services
from cohortlens.v1 import analytics_pb2 as pb
from gateway.interceptors.chain import Call
from gateway.servicers import analytics_mapping as mapping
from gateway.servicers.paging import read_page


class SegmentationsServicer:
    """Segmentation runs.

    Args:
        services: The use cases.
    """

    def __init__(self, services: Services) -> None:
        self._analytics = services.analytics
        self._tokens = services.page_tokens

    async def ListSegmentationRuns(
        self, request: pb.ListSegmentationRunsRequest, call: Call
    ) -> pb.ListSegmentationRunsResponse:
        """Runs, newest first."""

        async def read(cursor: Any, limit: int) -> list[SegmentationRun]:
            before = None if cursor is None else UUID(cursor)
            return await self._analytics.reads.runs(call.context, before, limit)

        rows, following = await read_page(
            self._tokens,
            call.context,
            "ListSegmentationRuns",
            {},
            request,
            read,
            lambda row: str(row.run_id),
        )
        return pb.ListSegmentationRunsResponse(
            runs=[mapping.run_message(row) for row in rows], next_page_token=following
        )

    async def CancelSegmentationRun(
        self, request: pb.CancelSegmentationRunRequest, call: Call
    ) -> pb.CancelSegmentationRunResponse:
        """End a run that is not finished."""
        run_id = mapping.identifier_of("run", request.run)
        run = await self._analytics.segmentation.cancel(call.context, run_id)
        return pb.CancelSegmentationRunResponse(run=mapping.run_message(run))

    async def CompareSegmentationRuns(
        self, request: pb.CompareSegmentationRunsRequest, call: Call
    ) -> pb.CompareSegmentationRunsResponse:
        """How customers moved from the segments of one run to those of another."""
        found = await self._analytics.moves.compare(
            call.context,
            mapping.optional_identifier("base_run", request.base_run),
            mapping.optional_identifier("run", request.run),
        )
        return comparison_message(found)


def comparison_message(found: Comparison) -> pb.CompareSegmentationRunsResponse:
    """Two runs side by side."""
    return pb.CompareSegmentationRunsResponse(
        base_run=mapping.run_message(found.base),
        run=mapping.run_message(found.later),
        movements=[
            pb.SegmentMovement(
                base_segment=one.base_key,
                base_name=found.names.get(one.base_key, ""),
                segment=one.later_key,
                name=found.names.get(one.later_key, ""),
                customers=one.customers,
            )
            for one in found.movements
        ],
        stayed_ratio=found.stayed_ratio,
        adjusted_rand_index=found.adjusted_rand_index,
    )
