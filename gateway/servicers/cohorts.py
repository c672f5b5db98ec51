"""AnalyticsService, the part about cohorts: QueryCohorts, QuerySurvival, ProjectRetention."""

from __future__ import annotations

from cohortlens.analytics.cohorts.service import CohortsService
from cohortlens.analytics.survival.service import SurvivalService
from cohortlens.v1 import cohorts_pb2 as pb
from gateway.interceptors.chain import Call
from gateway.servicers import cohorts_mapping as mapping


class CohortsServicer:
    """The RPCs of ``cohortlens.v1.AnalyticsService`` about cohorts.

    Args:
        cohorts: Answers by cohort and period.
        survival: Answers by customer.
    """

    def __init__(self, cohorts: CohortsService, survival: SurvivalService) -> None:
        self._cohorts = cohorts
        self._survival = survival

    async def QueryCohorts(self, request: pb.QueryCohortsRequest, call: Call) -> pb.QueryCohortsResponse:
        """One measure by cohort and period."""
        query = mapping.cohort_query(request)
        return mapping.cohorts_message(query, await self._cohorts.query(call.context, query))

    async def QuerySurvival(self, request: pb.QuerySurvivalRequest, call: Call) -> pb.QuerySurvivalResponse:
        """Survival curves by cohort."""
        query = mapping.survival_query(request)
        return mapping.survival_message(query, await self._survival.survival(call.context, query))

    async def ProjectRetention(
        self, request: pb.ProjectRetentionRequest, call: Call
    ) -> pb.ProjectRetentionResponse:
        """Retention observed and projected by cohort."""
        query = mapping.retention_query(request)
        return mapping.retention_message(query, await self._survival.retention(call.context, query))
