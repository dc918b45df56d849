"""Verdicts and quorums are pure: what is absent, stale, errored or undefined never passes, whatever else is there."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audits.checks.contract import CheckResult, Message, Metric
from governance.policy.quorum import met, slot_for, tally
from governance.policy.verdict import Evidence, judge, passed

NOW = datetime(2026, 1, 31, tzinfo=UTC)
LIMIT = NOW - timedelta(days=30)


def evidence(*metrics: Metric, **changes: Any) -> Evidence:
    result = {**asdict(CheckResult("completed", metrics=metrics)), **changes.pop("result", {})}
    return Evidence(**{"result": result, "finished_at": NOW, **changes})


def policy(**requirement: Any) -> dict[str, Any]:
    wanted = {"metric": "demographic_parity_ratio", "min": 0.8, **requirement}
    return {
        "checks": [
            {"check": "bias.group_disparity", "parameters": {"sensitive": ["sex"]}, "require": [wanted]}
        ]
    }


def ratio(value: float | None, low: float = 0.0, high: float = 1.0, **changes: Any) -> Metric:
    undefined = None if value is not None else Message("too_few_groups")
    return Metric(
        "demographic_parity_ratio",
        value,
        **{"attribute": "sex", "interval": (low, high), "undefined": undefined, **changes},
    )


@pytest.mark.parametrize(
    ("found", "requirement", "verdict", "code"),
    [
        (evidence(ratio(0.86, 0.82, 0.9)), {}, "passed", "limit_met_min"),
        (evidence(ratio(0.8, 0.8, 0.9)), {}, "passed", "limit_met_min"),
        (evidence(ratio(0.86, 0.7, 0.9)), {}, "inconclusive", "sample_cannot_decide"),
        (evidence(ratio(0.86, 0.7, 0.9)), {"bound": "point"}, "passed", "limit_met_min"),
        (evidence(ratio(0.79, 0.7, 0.9)), {"bound": "point"}, "failed", "limit_missed_min"),
        (evidence(ratio(0.79, 0.7, 0.9)), {}, "failed", "limit_missed_min"),
        (evidence(ratio(None, interval=None)), {}, "inconclusive", "too_few_groups"),
        # too few rows to pass at all: no disparity is claimed, unless the whole interval misses the limit
        (evidence(ratio(0.79, 0.7, 0.9, n=50, minimum_n=99)), {}, "inconclusive", "sample_below_minimum"),
        (evidence(ratio(0.79, 0.7, 0.9, n=99, minimum_n=99)), {}, "failed", "limit_missed_min"),
        (evidence(ratio(0.6, 0.5, 0.79, n=50, minimum_n=99)), {}, "failed", "limit_missed_min"),
        (
            evidence(ratio(0.79, 0.7, 0.9, n=50, minimum_n=99)),
            {"bound": "point"},
            "failed",
            "limit_missed_min",
        ),
        (evidence(ratio(0.86, attribute="age")), {}, "errored", "metric_absent"),
        (evidence(), {}, "errored", "metric_absent"),
        (
            evidence(ratio(0.9, 0.9, 0.9), finished_at=LIMIT - timedelta(seconds=1)),
            {},
            "stale",
            "evidence_stale",
        ),
        (
            evidence(result={"outcome": "errored", "error": {"code": "timeout", "params": {}}}),
            {},
            "errored",
            "timeout",
        ),
        (Evidence(None, None), {}, "pending", "check_pending"),
    ],
)
def test_a_requirement(found: Evidence, requirement: dict[str, Any], verdict: str, code: str) -> None:
    (line,) = judge(policy(**requirement), [found], not_before=LIMIT)
    assert (line.verdict, line.reason.code) == (verdict, code)


def test_a_maximum_looks_at_the_upper_end() -> None:
    found = evidence(Metric("equalized_odds_difference", 0.05, attribute="sex", interval=(0.0, 0.2)))
    about = {"metric": "equalized_odds_difference", "min": None, "max": 0.1}
    wanted = {name: value for name, value in about.items() if value is not None}
    entry = {"checks": [{"check": "bias.group_disparity", "require": [wanted]}]}
    assert judge(entry, [found], not_before=LIMIT)[0].verdict == "inconclusive"


def test_every_attribute_counts_and_a_group_does_not() -> None:
    entry = {
        "checks": [
            {"check": "bias.group_disparity", "require": [{"metric": "demographic_parity_ratio", "min": 0.8}]}
        ]
    }
    lines = judge(
        entry,
        [evidence(ratio(0.9, 0.85), ratio(0.5, attribute="age"), ratio(0.1, attribute="sex", group="1"))],
        not_before=LIMIT,
    )
    assert [(line.attribute, line.verdict) for line in lines] == [("sex", "passed"), ("age", "failed")]
    assert not passed(lines)


def test_a_column_may_have_the_sign_between_columns_in_its_name() -> None:
    """It was split like an intersection, found in nothing that was asked for, and called absent."""
    (line,) = judge(
        policy(attributes=["a×b"]), [evidence(ratio(0.9, 0.85, attribute="a×b"))], not_before=LIMIT
    )
    assert (line.attribute, line.verdict) == ("a×b", "passed")


def test_training_and_evaluation_data_both_count() -> None:
    entry = {"checks": [{"check": "data.quality", "require": [{"metric": "missing_ratio", "max": 0.1}]}]}
    metrics = [
        Metric("missing_ratio", value, group=group)
        for group, value in (("training", 0.0), ("evaluation", 0.5))
    ]
    lines = judge(entry, [evidence(*metrics)], not_before=LIMIT)
    assert [(line.attribute, line.verdict) for line in lines] == [
        ("training", "passed"),
        ("evaluation", "failed"),
    ]


def test_a_check_without_requirements_still_has_to_finish() -> None:
    entry = {"checks": [{"check": "data.quality", "require": []}]}
    assert passed(judge(entry, [evidence()], not_before=LIMIT))
    assert not passed(judge(entry, [Evidence(None, None)], not_before=LIMIT))


numbers = st.floats(0, 1)


@given(value=numbers, low=numbers, high=numbers, limit=numbers)
def test_conservative_never_passes_where_point_does_not(
    value: float, low: float, high: float, limit: float
) -> None:
    low, high = min(low, value), max(high, value)
    for side in ("min", "max"):
        by_bound = {}
        for bound in ("point", "conservative"):
            wanted = {"metric": "demographic_parity_ratio", side: limit, "bound": bound}
            entry = {"checks": [{"check": "bias.group_disparity", "require": [wanted]}]}
            by_bound[bound] = judge(entry, [evidence(ratio(value, low, high))], not_before=LIMIT)[0].verdict
        assert by_bound["point"] in ("passed", "failed")
        assert by_bound["conservative"] == "failed" or by_bound["point"] == "passed"
        assert (by_bound["point"] == "failed") == (by_bound["conservative"] == "failed")


APPROVALS = {"approvals": [{"role": "validator", "count": 1}, {"role": "approver", "count": 2}]}


@pytest.mark.parametrize(
    ("given_roles", "roles", "slot"),
    [
        ([], {"validator"}, "validator"),
        ([], {"validator", "approver"}, "validator"),
        (["validator"], {"validator", "approver"}, "approver"),
        (["validator"], {"validator"}, "validator"),
        (["validator", "approver", "approver"], {"approver"}, "approver"),
        ([], {"auditor"}, None),
        ([], set(), None),
    ],
)
def test_the_slot_somebody_fills(given_roles: list[str], roles: set[str], slot: str | None) -> None:
    assert slot_for(APPROVALS, given_roles, frozenset(roles)) == slot


@given(st.lists(st.sampled_from(["validator", "approver"]), max_size=6))
def test_a_quorum_is_met_exactly_when_nothing_is_missing(given_roles: list[str]) -> None:
    rows = tally(APPROVALS, given_roles)
    assert met(APPROVALS, given_roles) == all(row["given"] >= row["needed"] for row in rows)
