"""ModelsService: messages to values of trainings and the registry, and back."""

from __future__ import annotations

from datetime import UTC, date
from typing import Any
from uuid import UUID

from cohortlens.analytics.models import ResourceMissing
from cohortlens.analytics.shadow_totals import Comparison
from cohortlens.analytics.training_runs import TrainingRun
from cohortlens.bootstrap.services import Services
from cohortlens.core.errors import InvalidArgument, Violation
from cohortlens.core.ids import parse_uuid
from cohortlens.registry.models import Challenger, ModelVersion
from cohortlens.v1 import models_pb2 as pb
from gateway.interceptors.chain import Call
from gateway.servicers.analytics_mapping import day_text, state_number, timestamp, work_error
from gateway.servicers.paging import read_page


class ModelsServicer:
    """One method per RPC of ``cohortlens.v1.ModelsService``.

    Args:
        services: The use cases.
    """

    def __init__(self, services: Services) -> None:
        self._training = services.analytics.training
        self._retraining = services.analytics.retraining
        self._registry = services.registry
        self._promotions = services.promotions
        self._challengers = services.challengers
        self._shadow = services.analytics.shadow
        self._tokens = services.page_tokens

    async def StartTraining(self, request: pb.StartTrainingRequest, call: Call) -> pb.StartTrainingResponse:
        """Start a training of one model or of both."""
        await self._retraining.check_plan(call.context.tenant_id, request.model)
        as_of = _day("as_of", request.as_of)
        runs = await self._training.start(call.context, request.model, request.seed, as_of, request.segments)
        return pb.StartTrainingResponse(runs=[training_run(run) for run in runs])

    async def GetTrainingRun(
        self, request: pb.GetTrainingRunRequest, call: Call
    ) -> pb.GetTrainingRunResponse:
        """One training run."""
        run_id = parse_uuid(request.run)
        if run_id is None:
            raise ResourceMissing("run")
        return pb.GetTrainingRunResponse(run=training_run(await self._training.get(call.context, run_id)))

    async def ListTrainingRuns(
        self, request: pb.ListTrainingRunsRequest, call: Call
    ) -> pb.ListTrainingRunsResponse:
        """Training runs, newest first."""

        async def read(cursor: Any, limit: int) -> list[TrainingRun]:
            return await self._training.page(call.context, None if cursor is None else UUID(cursor), limit)

        rows, following = await read_page(
            self._tokens, call.context, "ListTrainingRuns", {}, request, read, lambda row: str(row.run_id)
        )
        return pb.ListTrainingRunsResponse(
            runs=[training_run(row) for row in rows], next_page_token=following
        )

    async def ListModelVersions(
        self, request: pb.ListModelVersionsRequest, call: Call
    ) -> pb.ListModelVersionsResponse:
        """Versions of one model, newest first."""

        async def read(cursor: Any, limit: int) -> list[ModelVersion]:
            return await self._registry.list_versions(
                call.context, request.model, below=cursor, limit=limit, live_at=live_at
            )

        live_at = request.live_at.ToDatetime(UTC) if request.HasField("live_at") else None
        filters = {"model": request.model, "live_at": request.live_at.ToJsonString() if live_at else ""}
        rows, following = await read_page(
            self._tokens, call.context, "ListModelVersions", filters, request, read, lambda row: row.version
        )
        return pb.ListModelVersionsResponse(
            versions=[_version(row) for row in rows], next_page_token=following
        )

    async def GetModelVersion(
        self, request: pb.GetModelVersionRequest, call: Call
    ) -> pb.GetModelVersionResponse:
        """One version, or the active one."""
        found = await self._registry.get_version(call.context, request.model, request.version)
        return pb.GetModelVersionResponse(version=_version(found))

    async def PromoteModel(self, request: pb.PromoteModelRequest, call: Call) -> pb.PromoteModelResponse:
        """Make a version the active one."""
        promoted = await self._promotions.promote(
            call.context, request.model, request.version, request.reason, force=request.force
        )
        return pb.PromoteModelResponse(version=_version(promoted))

    async def RollbackModel(self, request: pb.RollbackModelRequest, call: Call) -> pb.RollbackModelResponse:
        """Go back to the version that was active before."""
        restored = await self._promotions.roll_back(call.context, request.model, request.reason)
        return pb.RollbackModelResponse(version=_version(restored))

    async def SetChallenger(self, request: pb.SetChallengerRequest, call: Call) -> pb.SetChallengerResponse:
        """Let a version see a share of the calls."""
        challenger = await self._challengers.set(
            call.context, request.model, request.version, request.share_ratio, request.reason
        )
        return pb.SetChallengerResponse(challenger=_challenger(request.model, challenger))

    async def ClearChallenger(
        self, request: pb.ClearChallengerRequest, call: Call
    ) -> pb.ClearChallengerResponse:
        """End the comparison."""
        await self._challengers.clear(call.context, request.model)
        return pb.ClearChallengerResponse()

    async def GetChallenger(self, request: pb.GetChallengerRequest, call: Call) -> pb.GetChallengerResponse:
        """The challenger and its report."""
        challenger = await self._challengers.get(call.context, request.model)
        comparisons = await self._shadow.report(call.context, challenger)
        return pb.GetChallengerResponse(
            challenger=_challenger(request.model, challenger),
            comparisons=[_comparison(one) for one in comparisons],
        )


def _day(field: str, text: str) -> date | None:
    """The day that a field names; None when it is empty.

    Raises:
        InvalidArgument: There is no such day.
    """
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        why = "there is no such day; give one such as 2026-01-31"
        raise InvalidArgument(f"{field}: {why}", violations=(Violation(field, why),)) from None


def training_run(run: TrainingRun) -> pb.TrainingRun:
    """The message of a training run."""
    return pb.TrainingRun(
        run=str(run.run_id),
        model=run.model,
        state=state_number(run.state),
        stage=run.stage,
        progress_ratio=run.progress_ratio,
        version=run.version,
        error=work_error(run.error_reason, run.error_message),
        create_time=timestamp(run.created_at),
        end_time=timestamp(run.ended_at),
        cause=f"TRAINING_CAUSE_{run.cause.value}",
        outcome=f"TRAINING_OUTCOME_{run.outcome or 'UNSPECIFIED'}",
        data_as_of=day_text(run.as_of),
        purchase_days=run.purchase_days or 0,
        champion_version=run.champion_version or 0,
        seed=run.seed,
        cpu_s=run.cpu_s,
        drift_report="" if run.drift_report is None else str(run.drift_report),
        excluded_no_consent=run.excluded_no_consent,
        consent_version=run.consent_version or 0,
    )


def _version(version: ModelVersion) -> pb.ModelVersion:
    manifest = version.manifest
    return pb.ModelVersion(
        model=version.model,
        version=version.version,
        state=f"VERSION_STATE_{version.state}",
        active=version.active,
        artifact_digest=version.artifact_digest,
        schema_hash=manifest.schema_hash,
        data_sha256=manifest.data_sha256,
        metrics=manifest.metrics,
        gate=[
            pb.GateCriterion(name=one.name, value=one.value, threshold=one.threshold, passed=one.passed)
            for one in manifest.gate
        ],
        horizons_days=manifest.horizons_days,
        data_as_of=manifest.as_of,
        seed=manifest.seed,
        create_time=timestamp(version.created_at),
        active_since=timestamp(version.active_since),
        challenger=version.is_challenger,
        training_run="" if version.training_run_id is None else str(version.training_run_id),
        code_version=manifest.code_version,
        basis=manifest.basis,
        notes=manifest.notes,
    )


def _challenger(model: str, challenger: Challenger) -> pb.Challenger:
    return pb.Challenger(
        model=model,
        version=challenger.version,
        share_ratio=challenger.share_ratio,
        set_time=timestamp(challenger.since),
    )


def _comparison(one: Comparison) -> pb.ShadowComparison:
    key, totals = one.key, one.totals
    timed = max(1, totals.timed_calls)
    return pb.ShadowComparison(
        champion_version=key.champion_version,
        task=f"PREDICTION_TASK_{key.task.value}",
        horizon_days=key.horizon_days,
        rows=totals.rows,
        champion_mean=totals.champion_mean,
        challenger_mean=totals.challenger_mean,
        mean_difference=totals.mean_difference,
        mean_absolute_difference=totals.mean_absolute_difference,
        correlation=totals.correlation,
        outside_interval_ratio=totals.outside_ratio,
        timed_calls=totals.timed_calls,
        champion_ms=totals.champion_ms / timed,
        challenger_ms=totals.challenger_ms / timed,
        update_time=timestamp(one.updated_at),
    )
