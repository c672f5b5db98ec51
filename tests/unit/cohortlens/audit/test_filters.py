"""The filter language: what it lets through as SQL, and what it says of a fault."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cohortlens.audit.filters import parse_filter
from cohortlens.audit.models import FilterInvalid


@pytest.mark.parametrize(
    ("source", "sql", "values"),
    [
        ("", "true", []),
        ('actor = "user:1"', "actor = :f0", ["user:1"]),
        ("outcome != DENIED", "outcome <> :f0", ["DENIED"]),
        ('action = "identity.*"', "starts_with(action, :f0)", ["identity."]),
        ('NOT action != "a.*"', "(NOT (NOT starts_with(action, :f0)))", ["a."]),
        ("seq >= 5 AND seq<7", "(seq >= :f0 AND seq < :f1)", [5, 7]),
        ('time < "2026-01-01T00:00:00+01:00"', "created_at < :f0", [datetime(2025, 12, 31, 23, tzinfo=UTC)]),
        (
            'request_id = a OR resource = "x\\"y" AND outcome = OK',
            "((request_id = :f0 OR resource = :f1) AND outcome = :f2)",
            ["a", 'x"y', "OK"],
        ),
        (
            "(request_id = a AND request_id = b) OR outcome = OK",
            "((request_id = :f0 AND request_id = :f1) OR outcome = :f2)",
            ["a", "b", "OK"],
        ),
        ('actor = "\'; DROP TABLE audit_log; --"', "actor = :f0", ["'; DROP TABLE audit_log; --"]),
    ],
)
def test_a_filter_becomes_sql_with_bound_values(source, sql, values):
    condition = parse_filter(source)
    assert (condition.sql, list(condition.values.values())) == (sql, values)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("hash = x", "hash stands where one of actor,"),
        ("tenant_id = x", "tenant_id stands where"),
        ("actor", "the end after actor"),
        ("actor =", "the end stands where the value of actor"),
        ("actor < x", "actor is compared by = or != only"),
        ("outcome = MAYBE", "outcome is one of OK, DENIED, FAILED"),
        ("seq = five", "seq is a number"),
        ("seq = 99999999999999999999", "seq is a number"),
        ('time > "yesterday"', "time is an RFC 3339 time"),
        ('time > "2026-01-01T00:00:00"', "with its offset"),
        ('action = "*.created"', "an asterisk may stand at the end"),
        ("actor = a actor = b", "actor stands where AND, OR or the end is expected"),
        ("(actor = a", "the end stands where a closing parenthesis"),
        ("actor = a)", ") stands where AND, OR"),
        ('actor = "open', "cannot be read"),
        ("NOT " * 12 + "actor = a", "nested deeper than 10"),
        (" OR ".join(["seq = 1"] * 51), "more than 50 comparisons"),
        ("actor = " + "a" * 2000, "longer than 2000"),
    ],
)
def test_a_fault_names_what_stands_where_and_what_is_expected(source, told):
    with pytest.raises(FilterInvalid) as fault:
        parse_filter(source)
    assert told in fault.value.message
    assert fault.value.violations[0].field == "filter"
