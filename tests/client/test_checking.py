"""crivo check reproduce against the real service."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest

from audits.checks.contract import CheckResult
from audits.models import CheckPart
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
        "audits.dispatch.send", lambda task, row, **_: reproducing.run_reproduction(UUID(row)) is not None
    )
    ran = command("ana", "check", "reproduce", run.id)
    assert (ran.code, said in ran.out) == (code, True), ran
    as_json = json.loads(command("ana", "check", "reproduce", run.id, "--json").out)
    assert as_json["run"] == str(run.id)
    refused = command("bia", "check", "reproduce", run.id)
    assert refused.code == 1


def test_a_check_is_shown_and_cancelled(
    command: Any,  # noqa: F811
    committed_cast: Cast,
) -> None:
    run = waiting(committed_cast)
    CheckPart.objects.bulk_create(
        CheckPart(
            workspace_id=run.workspace_id, run=run, index=index, rows=1500, state=state,
            counted_digest="sha256:00" if state == "done" else "",
        )
        for index, state in enumerate(["done", "done", "running"])
    )  # fmt: skip
    ran = command("ana", "check", "show", run.id)
    assert ran.code == 4, ran
    assert "is queued" in ran.out
    assert "2 of 3 parts, 3,000 of 4,500 rows" in ran.out
    again = command("ana", "check", "show", run.id, "--wait", "3")
    assert (again.code, "2 of 3 parts" in again.err) == (4, True), again
    asked = command("ana", "status", run.id)
    assert asked.code != 0, "the id of a run is not that of a promotion"
    assert command("bia", "check", "cancel", run.id, "--reason", "no").code == 1
    with pytest.raises(SystemExit):  # without a reason
        command("ana", "check", "cancel", run.id)
    ran = command("ana", "check", "cancel", run.id, "--reason", "the wrong version")
    assert (ran.code, "cancelled before it had a result" in ran.out) == (0, True), ran
    assert json.loads(command("ana", "check", "show", run.id, "--json").out)["state"] == "errored"
    assert command("ana", "check", "show", run.id).code == 1
    assert command("ana", "check", "cancel", run.id, "--reason", "once more").code == 1
