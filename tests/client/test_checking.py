"""crivo check reproduce against the real service."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest

from audits.checks.contract import CheckResult
from audits.services import reproducing
from tests import study
from tests.audits.test_reproductions import moved, waiting
from tests.cast import Cast
from tests.client.test_live import command, crivo_of  # noqa: F401


@pytest.mark.parametrize(
    ("second", "code", "said"),
    [
        (study.ratio_result(), 0, "matches byte for byte"),
        (moved(1e-12), 0, "matches within the declared tolerance of 1e-09"),
        (moved(0.01), 1, "does not match: 1 cells differ"),
        (study.errored_result(), 1, "gave no second result"),
    ],
)
def test_whether_it_matches(
    command: Any,  # noqa: F811
    committed_cast: Cast,
    monkeypatch: pytest.MonkeyPatch,
    second: CheckResult,
    code: int,
    said: str,
) -> None:
    run = waiting(committed_cast)
    study.finish(run, study.ratio_result())
    monkeypatch.setattr(reproducing, "computed", lambda row, lost: (second, {}))
    monkeypatch.setattr(
        "audits.dispatch.send", lambda task, row: reproducing.run_reproduction(UUID(row)) is not None
    )
    ran = command("ana", "check", "reproduce", run.id)
    assert (ran.code, said in ran.out) == (code, True), ran
    as_json = json.loads(command("ana", "check", "reproduce", run.id, "--json").out)
    assert as_json["run"] == str(run.id)
    refused = command("bia", "check", "reproduce", run.id)
    assert refused.code == 1
