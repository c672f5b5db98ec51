"""AnalyticsService, the part about why: Explain and GetGlobalImportance."""

from __future__ import annotations

from typing import Any

from cohortlens.analytics.explanations import How
from cohortlens.analytics.importance import ranked
from cohortlens.analytics.methods import Method, chosen
from cohortlens.analytics.models import MethodUnsupported
from cohortlens.analytics.serving import named
from cohortlens.billing.models import PlanFeatureRequired
from cohortlens.bootstrap import Services
from cohortlens.core.errors import Internal
from cohortlens.v1 import explanations_pb2
from gateway.interceptors.chain import Call
from gateway.servicers import analytics_mapping as mapping
from gateway.servicers.analytics_replies import ExplanationsReply

_METHODS = {number: method for method, number in mapping.METHOD_NUMBERS.items()}


class ExplanationsServicer:
    """The RPCs of ``cohortlens.v1.AnalyticsService`` that explain.

    Args:
        services: The use cases.
    """

    def __init__(self, services: Services) -> None:
        self._analytics = services.analytics
        self._registry = services.registry
        self._default = services.config.explain_method
        self._catalogue = services.billing.catalogue

    async def Explain(self, request: Any, call: Call) -> ExplanationsReply:
        """Explain predictions of customers or vectors, or a stored one."""
        message, vectors = mapping.opened(request)
        method = await self._method(message.method, call)
        task, subjects = mapping.task_of(message.task), mapping.subjects_of(message, vectors)
        seed = message.seed if message.HasField("seed") else None
        how = How(method, message.top, message.interventional, seed)
        explanations = self._analytics.explanations
        if message.prediction:
            stored = mapping.identifier_of("prediction", message.prediction)
            made = await explanations.explain_stored(call.context, task, stored, subjects, how)
        else:
            made = await explanations.explain(call.context, task, subjects, message.horizon_days, how)
        return ExplanationsReply(made)

    async def _method(self, number: int, call: Call) -> Method:
        """The method of a call, which its plan contains.

        Raises:
            PlanFeatureRequired: It does not.
            MethodUnsupported: There is no such method.
        """
        asked = _METHODS.get(number)  # type: ignore[call-overload]
        if number and asked is None:
            raise MethodUnsupported(f"method is {number}; there is no such method")
        plan = call.entitlement
        if plan is None:
            raise Internal("a call to explain came without its plan", reason="ENTITLEMENT_MISSING")
        method = chosen(asked, self._default, plan.features)
        if method.feature not in plan.features:
            better = await self._catalogue.with_feature(method.feature, plan.rank)
            raise PlanFeatureRequired(method.feature, better)
        return method

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
