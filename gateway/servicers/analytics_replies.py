"""Replies of Predict, Segment and Explain, written from columns for either door."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any
from uuid import UUID

import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray

from cohortlens.analytics.columns import Assignments, Columns, Explanations, Predictions
from cohortlens.contracts.explanations import LOW_FIDELITY_R2, SAMPLES
from cohortlens.contracts.features import SCHEMA
from cohortlens.contracts.varints import varint
from cohortlens.v1 import analytics_pb2 as pb
from cohortlens.v1.explanations_pb2 import LimeFit
from gateway.servicers.analytics_mapping import (
    BASIS_NUMBERS,
    LOSS_NUMBERS,
    METHOD_NUMBERS,
    TASK_NUMBERS,
    assignment_message,
    day_text,
    timestamp,
)
from gateway.wire.rows import (
    Characters,
    ColumnReply,
    Dump,
    RowWriter,
    characters,
    tag,
    text_field,
)

_LENGTH_DELIMITED, _FIXED64 = 2, 1
# Below it, messages cost less than columns.
_FEW = 3
_PREDICTIONS = pb.PredictResponse.DESCRIPTOR.fields_by_name["predictions"]
_ASSIGNMENTS = pb.SegmentResponse.DESCRIPTOR.fields_by_name["assignments"]
_EXPLANATIONS = pb.ExplainResponse.DESCRIPTOR.fields_by_name["explanations"]
_VALUES = ("value", "lower", "upper")
_OF_VECTORS = RowWriter(_PREDICTIONS, _VALUES, ("snapshot_id",))
_OF_CUSTOMERS = RowWriter(_PREDICTIONS, _VALUES, ("snapshot_id", "prediction", "customer"))
_ASSIGNED_VECTORS = RowWriter(_ASSIGNMENTS, ("distance",), ("snapshot_id",))
_ASSIGNED_CUSTOMERS = RowWriter(_ASSIGNMENTS, ("distance",), ("snapshot_id", "customer"))
_EXPLAINED = (
    "value",
    "base_value",
    "other_contribution",
    "additivity_residual",
    "surrogate_residual",
    "fidelity_r2",
)
_EXPLAINED_VECTORS = RowWriter(_EXPLANATIONS, _EXPLAINED, ("snapshot_id",))
_EXPLAINED_CUSTOMERS = RowWriter(_EXPLANATIONS, _EXPLAINED, ("snapshot_id", "customer"))
_LIME = pb.Explanation.DESCRIPTOR.fields_by_name["lime"]
_ATTRIBUTIONS = pb.Explanation.DESCRIPTOR.fields_by_name["attributions"]
_ATTRIBUTION = pb.Attribution.DESCRIPTOR.fields_by_name
# An attribution on the wire: tag and length, contribution, factor, value, then what does not change.
_NUMBERS = tuple(_ATTRIBUTION[name].number for name in ("contribution", "factor", "value"))
_DOUBLE_FIELD, _LENGTH_AT = 9, 1
_NUMBERS_AT = (3, 12, 21)
_VALUE_AT = 20


class PredictionsReply(ColumnReply):
    """A ``PredictResponse``.

    Args:
        made: The predictions.
    """

    __slots__ = ("_made",)

    def __init__(self, made: Predictions) -> None:
        self._made = made

    def SerializeToString(self, **_: Any) -> bytes:
        """The bytes of the reply."""
        if len(self._made) < _FEW:
            few = pb.PredictResponse(
                predictions=map(self._message, range(len(self._made))),
                excluded_no_consent=self._made.rows.excluded_no_consent,
            )
            return few.SerializeToString()
        made, texts = self._made, [_snapshots(self._made)]
        writer = _OF_VECTORS
        if made.prediction_ids:
            writer = _OF_CUSTOMERS
            texts += [_identifiers(made.prediction_ids), _identifiers(made.rows.customer_ids)]
        constant = self._constant().SerializeToString()
        fixed = writer.fixed(len(made), constant, (made.value, made.lower, made.upper), texts)
        if not made.prediction_ids:
            return writer.equal(fixed)
        rest = [b""] * len(made)
        rows = writer.varying(fixed, _with_externals(rest, made, pb.Prediction.DESCRIPTOR))
        return rows + _left_out(made, pb.PredictResponse)

    def json_value(self, dump: Dump) -> dict[str, Any]:
        """The JSON value of the reply."""
        made, same = self._made, dump(self._constant())
        rows = zip(made.value.tolist(), made.lower.tolist(), made.upper.tolist(), _names(made), strict=True)
        found = [
            {**same, "value": value, "lower": lower, "upper": upper, "snapshotId": snapshot}
            for value, lower, upper, snapshot in rows
        ]
        _name_customers(found, made)
        for row, identifier in zip(found, made.prediction_ids, strict=False):
            row["prediction"] = str(identifier)
        return {"predictions": found, "excludedNoConsent": made.rows.excluded_no_consent}

    def _message(self, at: int) -> pb.Prediction:
        # Straight from the columns: a row's object in between would cost as much as the message.
        made = self._made
        return pb.Prediction(
            prediction=str(made.prediction_ids[at]) if made.prediction_ids else "",
            customer=str(made.rows.customer_ids[at]) if made.rows.customer_ids else "",
            external_id=made.external_id(at),
            task=TASK_NUMBERS[made.task],
            horizon_days=made.horizon_days,
            value=made.value[at],
            lower=made.lower[at],
            upper=made.upper[at],
            level_ratio=made.level_ratio,
            unit=made.unit,
            model_version=made.model_version,
            snapshot_id=made.snapshot(at),
            data_as_of=day_text(made.as_of),
            create_time=timestamp(made.created_at),
            basis=BASIS_NUMBERS[made.basis],
            loss=LOSS_NUMBERS[made.loss],
            annual_discount_ratio=made.annual_discount_ratio,
        )

    def _constant(self) -> pb.Prediction:
        made = self._made
        return pb.Prediction(
            task=TASK_NUMBERS[made.task],
            horizon_days=made.horizon_days,
            level_ratio=made.level_ratio,
            unit=made.unit,
            model_version=made.model_version,
            data_as_of=day_text(made.as_of),
            create_time=timestamp(made.created_at),
            basis=BASIS_NUMBERS[made.basis],
            loss=LOSS_NUMBERS[made.loss],
            annual_discount_ratio=made.annual_discount_ratio,
        )


class AssignmentsReply(ColumnReply):
    """A ``SegmentResponse``.

    Args:
        made: The assignments.
    """

    __slots__ = ("_made",)

    def __init__(self, made: Assignments) -> None:
        self._made = made

    def SerializeToString(self, **_: Any) -> bytes:
        """The bytes of the reply."""
        if len(self._made) < _FEW:
            few = pb.SegmentResponse(
                assignments=map(assignment_message, self._made),
                excluded_no_consent=self._made.rows.excluded_no_consent,
            )
            return few.SerializeToString()
        made, texts, writer = self._made, [_snapshots(self._made)], _ASSIGNED_VECTORS
        if made.rows.customer_ids:
            writer = _ASSIGNED_CUSTOMERS
            texts.append(_identifiers(made.rows.customer_ids))
        constant = pb.SegmentAssignment(model_version=made.model_version).SerializeToString()
        fixed = writer.fixed(len(made), constant, (made.distance,), texts)
        named = [
            pb.SegmentAssignment(segment=one.key, name=one.name).SerializeToString() for one in made.segments
        ]
        rest = [named[at] for at in made.places.tolist()]
        rows = writer.varying(fixed, _with_externals(rest, made, pb.SegmentAssignment.DESCRIPTOR))
        return rows + _left_out(made, pb.SegmentResponse)

    def json_value(self, dump: Dump) -> dict[str, Any]:
        """The JSON value of the reply."""
        made = self._made
        same = [
            dump(pb.SegmentAssignment(segment=one.key, name=one.name, model_version=made.model_version))
            for one in made.segments
        ]
        found = [
            {**same[at], "distance": distance, "snapshotId": snapshot}
            for at, distance, snapshot in zip(
                made.places.tolist(), made.distance.tolist(), _names(made), strict=True
            )
        ]
        _name_customers(found, made)
        return {"assignments": found, "excludedNoConsent": made.rows.excluded_no_consent}


class ExplanationsReply(ColumnReply):
    """An ``ExplainResponse``.

    Args:
        made: The explanations.
    """

    __slots__ = ("_made",)

    def __init__(self, made: Explanations) -> None:
        self._made = made

    def SerializeToString(self, **_: Any) -> bytes:
        """The bytes of the reply."""
        made, texts, writer = self._made, [_snapshots(self._made)], _EXPLAINED_VECTORS
        if made.rows.customer_ids:
            writer = _EXPLAINED_CUSTOMERS
            texts.append(_identifiers(made.rows.customer_ids))
        columns = (made.value, *_sums(made))
        fixed = writer.fixed(len(made), self._constant().SerializeToString(), columns, texts)
        rest = [*map(bytes.__add__, _attributions(made), _lines(made))]
        rows = writer.varying(fixed, _with_externals(rest, made, pb.Explanation.DESCRIPTOR))
        return rows + _left_out(made, pb.ExplainResponse)

    def json_value(self, dump: Dump) -> dict[str, Any]:
        """The JSON value of the reply."""
        made, same = self._made, dump(self._constant())
        numbers = (column.tolist() for column in (made.value, *_sums(made)))
        rows = zip(*numbers, _names(made), strict=True)
        found = [
            {
                **same,
                "value": value,
                "baseValue": base,
                "attributions": shares,
                "otherContribution": other,
                "additivityResidual": residual,
                "surrogateResidual": surrogate,
                "fidelityR2": fidelity,
                "snapshotId": snapshot,
            }
            for (value, base, other, residual, surrogate, fidelity, snapshot), shares in zip(
                rows, _shares(made), strict=True
            )
        ]
        for at, row in enumerate(found):
            if made.seeds:
                row["lime"] = dump(_line(made, at))
        _name_customers(found, made)
        return {"explanations": found, "excludedNoConsent": made.rows.excluded_no_consent}

    def _constant(self) -> pb.Explanation:
        made = self._made
        return pb.Explanation(
            unit=made.unit,
            horizon_days=made.horizon_days,
            space=pb.EXPLANATION_SPACE_LOG,
            model_version=made.model_version,
            method=METHOD_NUMBERS[made.method],
        )


def _sums(made: Explanations) -> tuple[NDArray[np.float64], ...]:
    return made.base_value, made.other, made.residual, made.surrogate, made.fidelity


def _line(made: Explanations, at: int) -> LimeFit:
    r2 = float(made.fidelity[at])
    return LimeFit(
        seed=made.seeds[at],
        samples=SAMPLES,
        r2=r2,
        low_fidelity=r2 < LOW_FIDELITY_R2,
        imputed=[SCHEMA.names[column] for column in made.imputed[at]] if made.imputed else (),
    )


def _lines(made: Explanations) -> list[bytes]:
    """What LIME says of each row, as it stands in its record; nothing for other methods."""
    if not made.seeds:
        return [b""] * len(made)
    texts = (_line(made, at).SerializeToString() for at in range(len(made)))
    return [tag(_LIME.number, _LENGTH_DELIMITED) + varint(len(one)) + one for one in texts]


def _attributions(made: Explanations) -> list[bytes]:
    """The attributions of each row, in their order, as they stand in its record."""
    shown = made.order
    values = np.take_along_axis(made.rows.matrix, shown, axis=1).astype(np.float64)
    contributions = np.take_along_axis(made.contributions, shown, axis=1)
    template, used = _templates(made.units)
    records, mask = template[shown], used[shown]
    for at, column in zip(_NUMBERS_AT, (contributions, np.exp(contributions), values), strict=True):
        raw = np.ascontiguousarray(column, "<f8").view(np.uint8).reshape(*shown.shape, 8)
        records[:, :, at : at + 8] = raw
    missing = np.isnan(values)
    if missing.any():
        # The value is optional: a missing one is not on the wire at all.
        records[missing, _LENGTH_AT] -= _DOUBLE_FIELD
        mask[missing, _VALUE_AT : _VALUE_AT + _DOUBLE_FIELD] = False
    data = records[mask].tobytes()
    ends = mask.sum(axis=(1, 2)).cumsum().tolist()
    return [data[start:end] for start, end in pairwise([0, *ends])]


@lru_cache(maxsize=64)
def _templates(units: tuple[str, ...]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The record of each feature with its numbers left out, padded, and which of its bytes are used."""
    records = []
    for name, unit in zip(SCHEMA.names, units, strict=True):
        body = b"".join(tag(number, _FIXED64) + bytes(8) for number in _NUMBERS)
        body += text_field(_ATTRIBUTION["feature"].number, name)
        body += text_field(_ATTRIBUTION["unit"].number, unit)
        size = varint(len(body))
        if len(size) != 1:
            raise ValueError(f"the attribution of {name} takes {len(body)} bytes; there is room for 127")
        records.append(tag(_ATTRIBUTIONS.number, _LENGTH_DELIMITED) + size + body)
    widest = max(map(len, records))
    template = np.zeros((len(records), widest), np.uint8)
    used = np.zeros((len(records), widest), np.bool_)
    for at, record in enumerate(records):
        template[at, : len(record)] = np.frombuffer(record, np.uint8)
        used[at, : len(record)] = True
    return template, used


def _shares(made: Explanations) -> Iterator[list[dict[str, Any]]]:
    """The JSON values of the attributions, row by row."""
    shown = made.order
    named = [{"feature": name, "unit": unit} for name, unit in zip(SCHEMA.names, made.units, strict=True)]
    contributions = np.take_along_axis(made.contributions, shown, axis=1)
    values = np.take_along_axis(made.rows.matrix, shown, axis=1).astype(np.float64)
    columns = (shown, contributions, np.exp(contributions), values)
    for row in zip(*(column.tolist() for column in columns), strict=True):
        yield [
            {**named[at], "contribution": contribution, "factor": factor}
            | ({} if math.isnan(value) else {"value": value})
            for at, contribution, factor, value in zip(*row, strict=True)
        ]


def _snapshots(made: Columns[Any]) -> Characters:
    return characters(made.snapshots, len(made))


def _names(made: Columns[Any]) -> list[str]:
    return [made.snapshot(at) for at in range(len(made))]


def _identifiers(ids: Sequence[UUID]) -> Characters:
    return characters("".join(map(str, ids)), len(ids))


def _name_customers(found: list[dict[str, Any]], made: Columns[Any]) -> None:
    rows = made.rows
    for row, customer, external in zip(found, rows.customer_ids, rows.external_ids, strict=False):
        row["customer"], row["externalId"] = str(customer), external


def _left_out(made: Columns[Any], reply: Callable[..., Message]) -> bytes:
    """What a reply tells of those who were left out, behind its rows; nothing when nobody was."""
    if not made.rows.excluded_no_consent:
        return b""
    return reply(excluded_no_consent=made.rows.excluded_no_consent).SerializeToString()


def _with_externals(rest: list[bytes], made: Columns[Any], record: Any) -> list[bytes]:
    """What ends each record, with the customer's identifier in the tenant's data added."""
    if not made.rows.external_ids:
        return rest
    number = record.fields_by_name["external_id"].number
    return [
        own + text_field(number, external) for own, external in zip(rest, made.rows.external_ids, strict=True)
    ]
