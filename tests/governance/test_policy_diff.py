"""What a policy asks more or less than another: each difference once, in the right direction."""

from __future__ import annotations

import pytest

from governance.policy.diff import compare
from governance.policy.schema import parse

BASE = """
policy: p
applies_to: {risk_tier: high, environment: production}
checks:
  - check: bias.group_disparity
    parameters: {sensitive: [sex]}
    require:
      - {metric: demographic_parity_ratio, min: 0.8, bound: point}
      - {metric: forbidden_attribute_flips, max: 0}
approvals: [{role: validator, count: 1}]
separation_of_duties: [requester]
evidence_max_age: 30d
"""


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("min: 0.8", "min: 0.9", ("tighter", "policy_limit_tightened")),
        ("min: 0.8", "min: 0.7", ("looser", "policy_limit_loosened")),
        ("max: 0", "max: 2", ("looser", "policy_limit_loosened")),
        ("bound: point", "bound: conservative", ("tighter", "policy_bound_changed")),
        ("sensitive: [sex]", "sensitive: [sex, age]", ("other", "policy_parameters_changed")),
        ("      - {metric: forbidden_attribute_flips, max: 0}\n", "", ("looser", "policy_limit_removed")),
        ("count: 1", "count: 2", ("tighter", "policy_approvals_changed")),
        ("[requester]", "[requester, author]", ("tighter", "policy_names_added")),
        ("[requester]", "[]", ("looser", "policy_names_removed")),
        ("30d", "10d", ("tighter", "policy_field_changed")),
        ("30d", "31d", ("looser", "policy_field_changed")),
        ("30d", "30d\nartifact_formats: [skops, onnx]", ("looser", "policy_names_added")),
        ("30d", "30d\nconfinement_level: 2", ("tighter", "policy_field_changed")),
        ("30d", "30d\nenvironment_lock: kept", ("tighter", "policy_field_changed")),
        ("30d", "30d\nacknowledge: [validator]", ("tighter", "policy_names_added")),
        ("risk_tier: high", "risk_tier: limited", ("other", "policy_field_changed")),
    ],
)
def test_one_difference(old: str, new: str, expected: tuple[str, str]) -> None:
    (change,) = compare(parse(BASE), parse(BASE.replace(old, new, 1)))
    assert (change.direction, change.message.code) == expected


def test_checks_and_order() -> None:
    more = BASE.replace("approvals:", "  - check: explainability.shap\n    require: []\napprovals:")
    (added,) = compare(parse(BASE), parse(more))
    assert (added.direction, added.message.params) == ("tighter", {"check": "explainability.shap"})
    (removed,) = compare(parse(more), parse(BASE))
    assert (removed.direction, removed.message.code) == ("looser", "policy_check_removed")


def test_the_same_is_no_difference() -> None:
    assert compare(parse(BASE), parse("# a remark\n" + BASE.replace("30d", "720h", 1))) == []
    assert [change.message.code for change in compare(None, parse(BASE))] == ["policy_new"]


def test_a_field_of_later_versions_is_shown() -> None:
    later = {**parse(BASE), "valid_for": "180d"}
    (change,) = compare(parse(BASE), later)
    assert change.message.params == {"field": "valid_for", "before": "–", "after": "180d"}
