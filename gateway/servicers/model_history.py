"""ModelsService: what was live when, how a version did in its backtest, and the end of a training."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from cohortlens.analytics.models import ResourceMissing
from cohortlens.bootstrap.services import Services
from cohortlens.contracts.backtest import Backtest, BacktestRow
from cohortlens.core.ids import parse_uuid
from cohortlens.registry.models import AliasInterval
from cohortlens.v1 import model_versions_pb2 as versions_pb
from cohortlens.v1 import models_pb2 as pb
from gateway.interceptors.chain import Call
from gateway.servicers.analytics_mapping import timestamp
from gateway.servicers.models import training_run
from gateway.servicers.paging import read_page

_ALIASES = {
    versions_pb.MODEL_ALIAS_UNSPECIFIED: "",
    versions_pb.MODEL_ALIAS_CHAMPION: "CHAMPION",
    versions_pb.MODEL_ALIAS_CHALLENGER: "CHALLENGER",
}
_NUMBERS = ("mae", "rmse", "correlation", "lift10", "gini", "bias_ratio", "auc", "coverage80", "fit_cpu_s")


class ModelHistoryServicer:
    """One method per RPC of ``cohortlens.v1.ModelsService`` that looks back or ends a training.

    Args:
        services: The use cases.
    """

    def __init__(self, services: Services) -> None:
        self._training = services.analytics.training
        self._registry = services.registry
        self._backtests = services.analytics.backtests
        self._tokens = services.page_tokens

    async def CancelTrainingRun(
        self, request: pb.CancelTrainingRunRequest, call: Call
    ) -> pb.CancelTrainingRunResponse:
        """End a training run."""
        run_id = parse_uuid(request.run)
        if run_id is None:
            raise ResourceMissing("run")
        return pb.CancelTrainingRunResponse(
            run=training_run(await self._training.cancel(call.context, run_id))
        )

    async def ListAliasHistory(
        self, request: versions_pb.ListAliasHistoryRequest, call: Call
    ) -> versions_pb.ListAliasHistoryResponse:
        """What was active and what was compared, latest first."""
        alias = _ALIASES[request.alias]

        async def read(cursor: Any, limit: int) -> list[AliasInterval]:
            before = None if cursor is None else UUID(cursor)
            return await self._registry.history(call.context, request.model, alias, before, limit)

        filters = {"model": request.model, "alias": alias}
        rows, following = await read_page(
            self._tokens,
            call.context,
            "ListAliasHistory",
            filters,
            request,
            read,
            lambda row: str(row.interval_id),
        )
        return versions_pb.ListAliasHistoryResponse(
            intervals=[_interval(row) for row in rows], next_page_token=following
        )

    async def GetBacktest(
        self, request: versions_pb.GetBacktestRequest, call: Call
    ) -> versions_pb.GetBacktestResponse:
        """How a version did on periods that it had not seen."""
        version, found = await self._backtests.get(call.context, request.model, request.version)
        return _backtest(version, found)


def _interval(one: AliasInterval) -> versions_pb.AliasInterval:
    return versions_pb.AliasInterval(
        alias=f"MODEL_ALIAS_{one.alias}",
        version=one.version,
        start_time=timestamp(one.start),
        end_time=timestamp(one.end),
        action=f"ALIAS_ACTION_{one.action}",
        actor="" if one.actor is None else str(one.actor),
        reason=one.reason,
        forced=one.forced,
        share_ratio=one.share_ratio or 0.0,
    )


def _backtest(version: int, found: Backtest) -> versions_pb.GetBacktestResponse:
    return versions_pb.GetBacktestResponse(
        version=version,
        folds=[
            versions_pb.BacktestFold(
                cut_day=fold.cut_day, horizon_days=fold.horizon_days, customers=fold.customers
            )
            for fold in found.folds
        ],
        rows=[_row(row) for row in found.rows],
        choices=[
            versions_pb.BacktestChoice(target=one.target, weights=one.weights, beaten_by=one.beaten_by)
            for one in found.choices
        ],
    )


def _row(row: BacktestRow) -> versions_pb.BacktestRow:
    numbers = {name: value for name in _NUMBERS if (value := getattr(row, name)) is not None}
    if row.fold is not None:
        numbers["fold"] = row.fold
    return versions_pb.BacktestRow(
        model=row.model, kind=row.kind, target=row.target, status=row.status, reason=row.reason, **numbers
    )
