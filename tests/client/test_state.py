"""`crivo audit state`: one question, everything that was so then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.client.double import Double, answer, problem

Run = Callable[..., Any]
FOUND: dict[str, Any] = {
    "subject": {"kind": "model_version", "id": "0199", "label": "progression@1"},
    "at": "2026-01-31T23:59:59Z",
    "log_size": 1234,
    "state": "suspended",
    "count": 2,
    "events": [
        {"at": "2026-01-30T10:00:00Z", "outcome": "done", "sentence": "Ana registered progression@1"},
        {"at": "2026-01-31T10:00:00Z", "outcome": "done", "sentence": "Bia suspended progression@1"},
    ],
    "policies": [
        {"environment": "test", "policy": "base@2", "in_force_since": "2026-01-02T00:00:00Z", "reason": None},
        {
            "environment": "production",
            "policy": None,
            "in_force_since": None,
            "reason": {"text": "No policy."},
        },
    ],
    "roles": [{"role": "approver", "name": "Bia", "since": "2026-01-01T00:00:00Z"}],
    "gate": [
        {"environment": "test", "allowed": True, "reasons": []},
        {"environment": "production", "allowed": False, "reasons": [{"text": "It is suspended."}]},
    ],
}


def test_state_says_everything(run: Run, double: Double) -> None:
    double.replies = [answer(200, FOUND)]
    ran = run("audit", "state", "progression@1", "--at", "2026-01-31")
    assert ran.code == 0
    assert double.asked[0].path == "/api/v1/audit/state?subject=progression%401&at=2026-01-31"
    for line in (
        "test: allowed",
        "production: no. It is suspended.",
        "test: base@2 (in force since 2026-01-02T00:00:00)",
        "production: No policy.",
        "approver: Bia (since 2026-01-01T00:00:00)",
        "2026-01-31T10:00:00  done     Bia suspended progression@1",
        "2 (the log had 1,234 entries)",
    ):
        assert line in ran.out, line


def test_state_of_what_is_not_there(run: Run, double: Double) -> None:
    double.replies = [problem(404, "not_found")]
    assert run("audit", "state", "nobody@1").code == 1
    assert double.asked[0].path == "/api/v1/audit/state?subject=nobody%401"
