"""AnalyticsService: messages to values of analytics and back."""

# ruff: noqa: ARG002 - the methods of a servicer are named like its RPCs and take the same arguments

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any
from uuid import UUID

from cohortlens.analytics.models import (
    Assignment,
    Prediction,
    SegmentationRun,
)
from cohortlens.bootstrap.services import Services
from cohortlens.contracts.features import SCHEMA
from cohortlens.contracts.sequences import SEQUENCE
from cohortlens.core.ids import CustomerId
from cohortlens.v1 import analytics_pb2 as pb
from gateway.interceptors.chain import Call
from gateway.servicers import analytics_mapping as mapping
from gateway.servicers.analytics_replies import AssignmentsReply, PredictionsReply
from gateway.servicers.analytics_streams import PredictStreams
from gateway.servicers.batch_predictions import BatchPredictionsServicer
from gateway.servicers.paging import read_page


class AnalyticsServicer(BatchPredictionsServicer):
    """One method per RPC of ``cohortlens.v1.AnalyticsService``.

    Args:
        services: The use cases.
    """

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self._analytics = services.analytics
        self._streams = PredictStreams(services.analytics.predictions)
        self._features = services.features
        self._customers = services.customers
        self._tokens = services.page_tokens

    async def Predict(self, request: Any, call: Call) -> PredictionsReply:
        """Predict for customers or vectors; those of customers are stored first."""
        message, vectors = mapping.opened(request)
        made = await self._analytics.predictions.predict(
            call.context,
            mapping.task_of(message.task),
            mapping.subjects_of(message, vectors),
            message.horizon_days,
            mapping.options_of(message),
        )
        return PredictionsReply(made)

    async def RereadPredict(self, request: Any, made: Mapping[str, Any], call: Call) -> pb.PredictResponse:
        """The answer of predictions that were stored, for a repeat of a call whose answer was lost."""
        stored = await self._analytics.predictions.made(
            call.context, [UUID(one) for one in made["predictions"]]
        )
        # Whoever is missing of the customers asked about was left out.
        asked = len(mapping.opened(request)[0].customers)
        return pb.PredictResponse(
            predictions=[mapping.prediction_message(one) for one in stored],
            excluded_no_consent=asked - len(stored),
        )

    async def Segment(self, request: Any, call: Call) -> AssignmentsReply:
        """Assign customers or vectors to segments."""
        subjects = mapping.subjects_of(*mapping.opened(request))
        return AssignmentsReply(await self._analytics.segmentation.segment(call.context, subjects))

    def PredictStream(self, requests: AsyncIterator[Any], call: Call) -> AsyncGenerator[Any, None]:
        """Predict vectors message by message, answered as they are ready."""
        return self._streams.predict(requests, call)

    def ScoreTensor(
        self, requests: AsyncIterator[pb.ScoreTensorRequest], call: Call
    ) -> AsyncGenerator[pb.ScoreTensorResponse, None]:
        """Score a table chunk by chunk."""
        return self._streams.score(requests, call)

    async def GetPrediction(self, request: pb.GetPredictionRequest, call: Call) -> pb.GetPredictionResponse:
        """One stored prediction."""
        stored = await self._analytics.predictions.get(
            call.context, mapping.identifier_of("prediction", request.prediction)
        )
        return mapping.stored_prediction_message(stored)

    async def ListPredictions(
        self, request: pb.ListPredictionsRequest, call: Call
    ) -> pb.ListPredictionsResponse:
        """Stored predictions, newest first."""
        ctx = call.context
        task = mapping.task_of(request.task) if request.task else None
        customer: CustomerId | None = None
        if request.customer:
            ((customer, _),) = await self._customers.resolve(ctx, [request.customer], ["customer"])

        async def read(cursor: Any, limit: int) -> list[Prediction]:
            before = None if cursor is None else UUID(cursor)
            return await self._analytics.predictions.page(
                ctx, customer_id=customer, task=task, before=before, limit=limit
            )

        filters = {"customer": "" if customer is None else str(customer), "task": request.task}
        rows, following = await read_page(
            self._tokens, ctx, "ListPredictions", filters, request, read, lambda row: str(row.prediction_id)
        )
        return pb.ListPredictionsResponse(
            predictions=[mapping.prediction_message(row) for row in rows], next_page_token=following
        )

    async def StartSegmentation(
        self, request: pb.StartSegmentationRequest, call: Call
    ) -> pb.StartSegmentationResponse:
        """Start a run over all customers."""
        run = await self._analytics.segmentation.start(call.context)
        return pb.StartSegmentationResponse(run=mapping.run_message(run))

    async def GetSegmentationRun(
        self, request: pb.GetSegmentationRunRequest, call: Call
    ) -> pb.GetSegmentationRunResponse:
        """One run."""
        run = await self._analytics.reads.run(call.context, mapping.identifier_of("run", request.run))
        return pb.GetSegmentationRunResponse(run=mapping.run_message(run))

    async def ListSegments(self, request: pb.ListSegmentsRequest, call: Call) -> pb.ListSegmentsResponse:
        """Segments of a run, or of the published one."""
        run, profiles = await self._analytics.reads.segments(
            call.context, mapping.optional_identifier("run", request.run)
        )
        return mapping.segments_message(run, profiles)

    async def ListSegmentMembers(
        self, request: pb.ListSegmentMembersRequest, call: Call
    ) -> pb.ListSegmentMembersResponse:
        """Members of a segment, page by page of one run even when another is published meanwhile."""
        ctx, asked = call.context, mapping.optional_identifier("run", request.run)
        seen: list[SegmentationRun] = []

        async def read(cursor: Any, limit: int) -> list[Assignment]:
            run_id, after = (asked, None) if cursor is None else (UUID(cursor[0]), UUID(cursor[1]))
            run, members = await self._analytics.reads.members(ctx, request.segment, run_id, after, limit)
            seen.append(run)
            return members

        filters = {"segment": request.segment, "run": request.run}
        rows, following = await read_page(
            self._tokens,
            ctx,
            "ListSegmentMembers",
            filters,
            request,
            read,
            lambda row: [str(seen[0].run_id), str(row.customer_id)],
        )
        return pb.ListSegmentMembersResponse(
            members=[mapping.assignment_message(row) for row in rows], next_page_token=following
        )

    async def GetFeatureSchema(
        self, request: pb.GetFeatureSchemaRequest, call: Call
    ) -> pb.GetFeatureSchemaResponse:
        """The feature schema."""
        return mapping.schema_message(SCHEMA, SEQUENCE)

    async def GetFeatures(self, request: pb.GetFeaturesRequest, call: Call) -> pb.GetFeaturesResponse:
        """The current features of one customer."""
        ctx = call.context
        ((customer, _),) = await self._customers.resolve(ctx, [request.customer], ["customer"])
        return mapping.features_message(await self._customers.features(ctx, [customer], wide=True))
