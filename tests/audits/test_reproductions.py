"""A finished check computed again: what is refused, what is said, and that the run stays what it was."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db.utils import DatabaseError
from django.test import Client
from django.utils import timezone

from audits import dispatch
from audits.checks.catalogue import CATALOGUE
from audits.checks.contract import CheckResult
from audits.models import CheckRun, Event, Reproduction
from audits.services import reproducing
from audits.services.reproductions import claim, complete_reproduction, renew, resend_waiting
from tests import study
from tests.cast import Cast
from tests.snapshot import digests, unchanged

pytestmark = pytest.mark.django_db(transaction=True)


def waiting(cast: Cast) -> CheckRun:
    version = study.study(cast)
    for environment in ("development", "test"):
        study.ask(cast, version, environment)
        study.sequence()
    study.ask(cast, version, "homologation")
    for name in ("ana", "clara", "davi", "bia"):
        cast.token(name)
    return CheckRun.objects.get()


@pytest.fixture
def run(committed_cast: Cast) -> CheckRun:
    """A check that found 0.9."""
    row = waiting(committed_cast)
    study.finish(row, study.ratio_result())
    row.refresh_from_db()
    return row


def asked(cast: Cast, run: CheckRun, name: str = "ana", **headers: str) -> Any:
    address = f"/api/v1/check-runs/{run.id}/reproductions"
    return Client().post(
        address, {}, content_type="application/json", headers={**cast.headers(name), **headers}
    )


def again(cast: Cast, run: CheckRun, monkeypatch: pytest.MonkeyPatch, result: CheckResult) -> dict[str, Any]:
    """Asked for, and computed with this outcome; the answer as JSON."""
    monkeypatch.setattr(reproducing, "computed", lambda row, lost: (result, {"seconds": 1.0}))
    answer = asked(cast, run)
    assert answer.status_code == 202, answer.content
    assert (answer.json()["state"], answer.json()["matches"]) == ("queued", None)
    before = CheckRun.objects.filter(id=run.id).values().get()
    assert reproducing.run_reproduction(Reproduction.objects.latest("id").id) is not None
    assert CheckRun.objects.filter(id=run.id).values().get() == before
    body: dict[str, Any] = Client().get(answer.headers["Location"], headers=cast.headers("ana")).json()
    return body


def moved(by: float) -> CheckResult:
    result = study.ratio_result()
    value = result.metrics[0].value
    assert value is not None
    return replace(result, metrics=(replace(result.metrics[0], value=value + by),))


def test_the_same_bytes(committed_cast: Cast, run: CheckRun, monkeypatch: pytest.MonkeyPatch) -> None:
    body = again(committed_cast, run, monkeypatch, study.ratio_result())
    assert (body["state"], body["outcome"], body["matches"]) == ("completed", "identical", True)
    assert body["recorded_digest"] == body["computed_digest"] == run.result_digest
    assert body["differences"] == []
    events = Event.objects.filter(subject_kind="check_run", subject_id=run.id).order_by("subject_seq")
    assert [event.verb for event in events] == [
        "check_run.completed",
        "check_run.reproduction_requested",
        "check_run.reproduced",
    ]
    listed = Client().get(
        f"/api/v1/check-runs/{run.id}/reproductions", headers=committed_cast.headers("clara")
    )
    assert [item["id"] for item in listed.json()["results"]] == [body["id"]]


def test_other_bytes_within_tolerance(
    committed_cast: Cast, run: CheckRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = again(committed_cast, run, monkeypatch, moved(1e-12))
    assert (body["outcome"], body["matches"], body["difference_count"]) == ("within_tolerance", True, 0)
    assert body["computed_digest"] != run.result_digest
    assert body["tolerance"] == CATALOGUE[run.check_slug].tolerance


def test_another_number_is_named(
    committed_cast: Cast, run: CheckRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = again(committed_cast, run, monkeypatch, moved(0.01))
    assert (body["state"], body["outcome"], body["matches"]) == ("completed", "differs", False)
    first = study.ratio_result().metrics[0].value
    assert body["differences"] == [
        {
            "where": "metrics[demographic_parity_ratio · sex].value",
            "recorded": first,
            "computed": moved(0.01).metrics[0].value,
        }
    ]
    event = Event.objects.get(verb="check_run.reproduced")
    assert event.outcome == "done"


def test_no_second_result_says_nothing_about_the_first(
    committed_cast: Cast, run: CheckRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = again(committed_cast, run, monkeypatch, study.errored_result())
    assert (body["state"], body["outcome"], body["matches"]) == ("errored", "errored", None)
    assert body["error"]["code"] == "timeout"


def test_an_error_that_comes_again_is_reproduced(
    committed_cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = waiting(committed_cast)
    study.finish(row, study.errored_result())
    assert again(committed_cast, row, monkeypatch, study.errored_result())["outcome"] == "identical"
    assert again(committed_cast, row, monkeypatch, study.ratio_result())["outcome"] == "differs"


def test_a_stored_result_that_was_changed_reproduces_nothing(
    committed_cast: Cast, run: CheckRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = {**run.result, "metrics": [{**run.result["metrics"][0], "value": 0.99}]}
    CheckRun.objects.filter(id=run.id).update(result=result)
    wanted = replace(study.ratio_result(), metrics=(replace(study.ratio_result().metrics[0], value=0.99),))
    body = again(committed_cast, run, monkeypatch, wanted)
    assert (body["outcome"], body["differences"][0]["where"]) == ("differs", "stored result")


def test_what_cannot_be_asked(committed_cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    row = waiting(committed_cast)
    with unchanged(refusals=1):
        answer = asked(committed_cast, row)
        assert (answer.status_code, answer.json()["code"]) == (409, "reproduction_not_finished")
    study.finish(row, study.ratio_result())
    definition = CATALOGUE[row.check_slug]
    monkeypatch.setitem(CATALOGUE, row.check_slug, replace(definition, version="99"))
    with unchanged(refusals=1):
        answer = asked(committed_cast, row)
        assert (answer.status_code, answer.json()["code"]) == (422, "reproduction_other_version")
    monkeypatch.setitem(CATALOGUE, row.check_slug, replace(definition, repeatable=False))
    with unchanged(refusals=1):
        answer = asked(committed_cast, row)
        assert (answer.status_code, answer.json()["code"]) == (422, "reproduction_not_repeatable")


def test_who_may_not(committed_cast: Cast, run: CheckRun) -> None:
    with unchanged(refusals=1):
        assert asked(committed_cast, run, "bia").status_code == 403
    with unchanged(refusals=0):
        assert asked(committed_cast, run, "davi").status_code == 404
    made = asked(committed_cast, run, "clara")
    assert made.status_code == 202
    assert Client().get(made.headers["Location"], headers=committed_cast.headers("davi")).status_code == 404


def test_the_same_key_asks_once(committed_cast: Cast, run: CheckRun) -> None:
    first, second = (asked(committed_cast, run, **{"Idempotency-Key": "k"}) for _ in range(2))
    assert first.json()["id"] == second.json()["id"]
    assert Reproduction.objects.count() == 1


def test_one_worker_at_a_time_and_one_effect(committed_cast: Cast, run: CheckRun) -> None:
    asked(committed_cast, run)
    row = Reproduction.objects.get()
    first = claim(row.id)
    assert first is not None
    assert claim(row.id) is None
    Reproduction.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    second = claim(row.id)
    assert second is not None
    assert not renew(row.id, first.fence)
    assert renew(row.id, second.fence)
    from audits.actors import Command, system_actor
    from audits.errors import Conflict

    command = Command(system_actor("worker", row.workspace_id))
    given = {"reproduction_id": row.id, "result": study.ratio_result(), "run_environment": {}}
    before = digests()
    with pytest.raises(Conflict):
        complete_reproduction(command=command, fence=first.fence, **given)
    assert digests() == before
    complete_reproduction(command=command, fence=second.fence, **given)
    with pytest.raises(Conflict):
        complete_reproduction(command=command, fence=second.fence, **given)
    assert Event.objects.filter(verb="check_run.reproduced").count() == 1
    with pytest.raises(DatabaseError, match="never changed"):
        Reproduction.objects.update(outcome="differs")


def test_a_lost_message_is_sent_again(
    committed_cast: Cast, run: CheckRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked(committed_cast, run)
    ids: list[str] = []
    monkeypatch.setattr(dispatch, "send", lambda task, row, **_: bool(ids.append(row)) or True)
    assert resend_waiting() == []
    Reproduction.objects.update(sent_at=timezone.now() - timedelta(minutes=5))
    assert resend_waiting() == [Reproduction.objects.get().id]
    assert resend_waiting() == []
