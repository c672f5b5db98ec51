"""AnalyticsService, the part about why: Explain and GetGlobalImportance."""

from __future__ import annotations

from typing import Any

from cohortlens.analytics.importance import ranked
from cohortlens.analytics.models import MethodUnsupported
from cohortlens.analytics.serving import named
from cohortlens.bootstrap import Services
from cohortlens.v1 import analytics_pb2 as pb
from cohortlens.v1 import explanations_pb2
from gateway.interceptors.chain import Call
from gateway.servicers import analytics_mapping as mapping
from gateway.servicers.analytics_replies import ExplanationsReply

_METHODS = {pb.EXPLANATION_METHOD_UNSPECIFIED, pb.EXPLANATION_METHOD_SHAP}


class ExplanationsServicer:
    """The RPCs of ``cohortlens.v1.AnalyticsService`` that explain.

    Args:
        services: The use cases.
    """

    def __init__(self, services: Services) -> None:
        self._analytics = services.analytics
        self._registry = services.registry

    async def Explain(self, request: Any, call: Call) -> ExplanationsReply:
        """Explain predictions of customers or vectors."""
        message, vectors = mapping.opened(request)
        if message.method not in _METHODS:
            raise MethodUnsupported
        made = await self._analytics.explanations.explain(
            call.context,
            mapping.task_of(message.task),
            mapping.subjects_of(message, vectors),
            message.horizon_days,
            message.top,
        )
        return ExplanationsReply(made)

    async def GetGlobalImportance(
        self, request: explanations_pb2.GetGlobalImportanceRequest, call: Call
    ) -> explanations_pb2.GetGlobalImportanceResponse:
        """The features of a version by what they move."""
        version = await named(self._registry, call.context.tenant_id, request.model, request.version)
        return explanations_pb2.GetGlobalImportanceResponse(
            model=version.model,
            version=version.version,
            targets=[
                explanations_pb2.TargetImportance(
                    target=one.target,
                    features=[
                        explanations_pb2.FeatureImportance(
                            feature=name, importance=importance, share_ratio=share
                        )
                        for name, importance, share in one.features
                    ],
                    fidelity_r2=one.fidelity_r2,
                )
                for one in ranked(version.manifest, request.top)
            ],
        )
