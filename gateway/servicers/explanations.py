"""AnalyticsService, the part about why: Explain and GetGlobalImportance."""

from __future__ import annotations

from typing import Any

from cohortlens.analytics.counterfactuals import Counterfactual, Goal
from cohortlens.analytics.explanations import How
from cohortlens.analytics.importance import ranked
from cohortlens.analytics.methods import Method, chosen
from cohortlens.analytics.models import MethodUnsupported
from cohortlens.analytics.serving import named
from cohortlens.billing.models import PlanFeatureRequired
from cohortlens.bootstrap.services import Services
from cohortlens.core.errors import Internal
from cohortlens.v1 import analytics_pb2, explanations_pb2
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

    async def Explain(self, request: Any, call: Call) -> ExplanationsReply | analytics_pb2.ExplainResponse:
        """Explain predictions of customers or vectors, or a stored one."""
        message, vectors = mapping.opened(request)
        method = await self._method(message.method, call)
        task, subjects = mapping.task_of(message.task), mapping.subjects_of(message, vectors)
        if method is Method.COUNTERFACTUAL:
            if message.prediction:
                raise MethodUnsupported("a counterfactual acts on a history; name the customer")
            found = await self._analytics.counterfactuals.find(
                call.context, task, subjects, message.horizon_days, _goal(message)
            )
            return analytics_pb2.ExplainResponse(
                explanations=map(_counterfactual, found),
                excluded_no_consent=len(subjects.customers) - len(found),
            )
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


def _goal(message: Any) -> Goal:
    goal = message.goal
    asks_churn = goal.WhichOneof("statement") == "churn_below_ratio"
    return Goal(goal.churn_below_ratio if asks_churn else None, goal.segment, goal.other_segment)


def _counterfactual(one: Counterfactual) -> analytics_pb2.Explanation:
    churn, segments, action = one.churn, one.segments, one.action
    return analytics_pb2.Explanation(
        customer=str(one.customer_id),
        external_id=one.external_id,
        value=one.value,
        unit=one.unit,
        horizon_days=one.horizon_days,
        model_version=one.model_version,
        method=analytics_pb2.EXPLANATION_METHOD_COUNTERFACTUAL,
        counterfactual=explanations_pb2.Counterfactual(
            holds_already=one.holds_already,
            found=action is not None,
            purchase_days=action.purchase_days if action else 0,
            amount=action.amount if action else 0.0,
            currency=one.currency,
            churn_before=churn[0] if churn else None,
            churn_after=churn[1] if len(churn) > 1 else None,
            segment_before=segments[0] if segments else "",
            segment_after=segments[1] if len(segments) > 1 else "",
            tried=one.tried,
        ),
    )
