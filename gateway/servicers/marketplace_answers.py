"""MarketplaceService, questions and settlement: messages to the use cases, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from cohortlens.bootstrap.marketplace import Marketplace
from cohortlens.core.paging import PageTokens
from cohortlens.marketplace.queries import Words
from cohortlens.marketplace.query_rows import Asked
from cohortlens.v1 import marketplace_agreements_pb2 as agreements_pb
from cohortlens.v1 import marketplace_queries_pb2 as pb
from gateway.interceptors.chain import Call
from gateway.servicers.analytics_mapping import identifier_of, timestamp
from gateway.servicers.paging import read_page


class MarketplaceAnswersServicer:
    """The RPCs of ``cohortlens.v1.MarketplaceService`` about questions, budgets and settlement.

    Args:
        market: The use cases.
        tokens: Seals the tokens of lists.
    """

    def __init__(self, market: Marketplace, tokens: PageTokens) -> None:
        self._queries, self._settlements, self._tokens = market.queries, market.settlements, tokens

    async def RunQuery(self, request: pb.RunQueryRequest, call: Call) -> pb.RunQueryResponse:
        """Answer a question of a buyer."""
        agreement_id = identifier_of("agreement", request.agreement)
        asked = await self._queries.run(call.context, agreement_id, words_of(request.question))
        return pb.RunQueryResponse(query=_query(asked))

    async def RereadRunQuery(
        self, _request: pb.RunQueryRequest, made: Mapping[str, Any], call: Call
    ) -> pb.RunQueryResponse:
        """The question as stored, for a repeat of a call whose answer was lost."""
        asked = await self._queries.get(call.context, UUID(made["query"]))
        return pb.RunQueryResponse(query=_query(asked))

    async def ListQueries(self, request: pb.ListQueriesRequest, call: Call) -> pb.ListQueriesResponse:
        """Questions of an agreement, the newest first."""
        agreement_id = identifier_of("agreement", request.agreement)
        rows, following = await read_page(
            self._tokens,
            call.context,
            "ListQueries",
            {"agreement": request.agreement},
            request,
            lambda after, limit: self._queries.page(
                call.context, agreement_id, None if after is None else UUID(after), limit
            ),
            lambda row: str(row.id),
        )
        return pb.ListQueriesResponse(queries=[_query(one) for one in rows], next_page_token=following)

    async def GetPrivacyBudget(
        self, request: pb.GetPrivacyBudgetRequest, call: Call
    ) -> pb.GetPrivacyBudgetResponse:
        """What is left of the budgets."""
        agreement_id = identifier_of("agreement", request.agreement)
        budgets = await self._queries.budgets(call.context, agreement_id)
        return pb.GetPrivacyBudgetResponse(
            budgets=[
                pb.PrivacyBudget(
                    scope=one.scope,
                    spent_milli=one.spent_milli,
                    total_milli=one.total_milli,
                    reset_time=timestamp(one.resets_at),
                )
                for one in budgets
            ]
        )

    async def GetSettlement(
        self, request: agreements_pb.GetSettlementRequest, call: Call
    ) -> agreements_pb.GetSettlementResponse:
        """How an agreement was settled."""
        report = await self._settlements.get(call.context, identifier_of("agreement", request.agreement))
        of = report.settlement
        steps = (
            ("PAID", of.created_at),
            ("BOOKED", of.booked_at),
            ("REWARDED", of.owed_at),
            ("CREDENTIAL", of.credited_at),
            ("PINNED", of.pinned_at),
        )
        return agreements_pb.GetSettlementResponse(
            settlement=str(of.id),
            steps=[agreements_pb.SettlementStep(step=name, time=timestamp(at)) for name, at in steps],
            accounts=[
                agreements_pb.SettlementAccount(
                    account=one.account, currency=one.currency, amount=one.amount, entries=one.entries
                )
                for one in report.accounts
            ],
            accrued_micro=report.accrued_micro,
            rewards=report.rewards,
            credential_json=(of.credential_json or b"").decode(),
            cid=of.cid or "",
            last_reason=of.last_reason,
        )


def words_of(question: pb.MarketQuestion) -> Words:
    """A question as its caller wrote it."""
    filters = [(one.dimension, list(one.values)) for one in question.filters]
    return list(question.measures), list(question.dimensions), filters


def answer_message(answer: bytes | None) -> pb.MarketAnswer | None:
    """Stored bytes as a message."""
    if answer is None:
        return None
    values = json.loads(answer)
    cells = [
        pb.MarketCell(
            values=one["values"],
            is_suppressed=one.get("suppressed", False),
            count=one.get("count", 0),
            sum_minor=one.get("sum_minor"),
            mean_minor=one.get("mean_minor"),
        )
        for one in values.pop("cells")
    ]
    return pb.MarketAnswer(cells=cells, **values)


def _query(asked: Asked) -> pb.MarketQuery:
    return pb.MarketQuery(
        query=str(asked.id),
        question=pb.MarketQuestion(
            measures=asked.question["measures"],
            dimensions=asked.question["dimensions"],
            filters=[pb.MarketFilter(**one) for one in asked.question["filters"]],
        ),
        charged_milli=asked.charged_milli,
        answer=answer_message(asked.answer),
        create_time=timestamp(asked.created_at),
    )
