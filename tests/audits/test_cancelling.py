"""A check is ended before it has a result: by somebody who may, or because nobody waits for it any more."""

from __future__ import annotations

import threading
from typing import Any
from uuid import UUID

import pytest
from django.test import Client
from django.urls import reverse

from audits.actors import Command, system_actor
from audits.checks.contract import CheckResult
from audits.errors import Conflict
from audits.models import CheckPart, CheckRun, Event
from audits.sealing import texts_of
from audits.services import check_parts, check_runs, confined, execution, mapping
from audits.states import CheckPartState, CheckRunState
from governance.models import Promotion
from governance.services.promotions import withdraw_promotion
from governance.services.retirements import retire_version
from governance.services.settling import cancel_unneeded, settle_after_check, settle_waiting
from tests import study
from tests.audits.test_check_parts import Child, child, laid_out, run, sent  # noqa: F401
from tests.audits.test_reproductions import waiting
from tests.cast import Cast
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True)


def cancelled(cast: Cast, run_id: UUID, name: str = "ana", reason: str = "the wrong version") -> Any:
    return Client().post(
        f"/api/v1/check-runs/{run_id}/cancellation",
        {"reason": reason},
        content_type="application/json",
        headers=cast.headers(name),
    )


def promotion_of(run_id: UUID) -> Promotion:
    return Promotion.objects.get(checks__run_id=run_id)


def test_a_cancelled_check_says_so_and_its_request_goes_on_as_with_an_errored_one(
    committed_cast: Cast,
) -> None:
    row = waiting(committed_cast)
    answer = cancelled(committed_cast, row.id)
    assert answer.status_code == 200, answer.content
    body = answer.json()
    assert (body["state"], body["error"]["code"]) == ("errored", "check_cancelled")
    event = Event.objects.get(verb="check_run.cancelled")
    assert (event.subject_id, event.reason["code"]) == (row.id, "check_cancelled")
    assert texts_of([event.id]) == {(event.id, "reason"): "the wrong version"}
    assert check_runs.claim(row.id) is None
    assert execution.run_check(row.id) is None
    settle_after_check(row.id)
    promotion = promotion_of(row.id)
    assert promotion.state == "refused"
    assert [line["verdict"] for line in promotion.requirements] == ["errored"]
    assert promotion.requirements[0]["reason"]["code"] == "check_cancelled"
    again = study.ask(committed_cast, promotion.version, "homologation")
    assert again.checks.get().run_id != row.id, "asked again, it is computed"


def test_who_may_not_changes_nothing(committed_cast: Cast) -> None:
    row = waiting(committed_cast)
    with unchanged(refusals=1):
        assert cancelled(committed_cast, row.id, "bia").status_code == 403
    with unchanged(refusals=0):
        assert cancelled(committed_cast, row.id, "davi").status_code == 404


@pytest.mark.parametrize(("reason", "status"), [("", 400), ("x" * 4001, 400)])
def test_a_reason_is_given(committed_cast: Cast, reason: str, status: int) -> None:
    row = waiting(committed_cast)
    with unchanged(refusals=0):
        assert cancelled(committed_cast, row.id, reason=reason).status_code == status


def test_what_is_finished_stays_as_it_is(committed_cast: Cast) -> None:
    row = waiting(committed_cast)
    study.finish(row, study.ratio_result())
    with unchanged(refusals=1):
        answer = cancelled(committed_cast, row.id)
    assert (answer.status_code, answer.json()["code"]) == (409, "check_run_finished")


def test_a_cancelled_check_cannot_be_reproduced(committed_cast: Cast) -> None:
    row = waiting(committed_cast)
    assert cancelled(committed_cast, row.id).status_code == 200
    address = f"/api/v1/check-runs/{row.id}/reproductions"
    with unchanged(refusals=1):
        answer = Client().post(
            address, {}, content_type="application/json", headers=committed_cast.headers("ana")
        )
    assert (answer.status_code, answer.json()["code"]) == (409, "reproduction_cancelled")


def test_whoever_computes_it_is_stopped_and_writes_nothing(
    committed_cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = waiting(committed_cast)
    stopped = threading.Event()

    def slow(found: CheckRun, lost: threading.Event) -> Any:
        assert cancelled(committed_cast, found.id).status_code == 200
        if lost.wait(30):
            stopped.set()
        return study.ratio_result(), {}

    monkeypatch.setattr(confined, "RENEW_SECONDS", 0.05)
    monkeypatch.setattr(execution, "computed", slow)
    assert execution.run_check(row.id) is None
    assert stopped.is_set()
    row.refresh_from_db()
    assert row.result["error"]["code"] == "check_cancelled"
    assert not Event.objects.filter(verb="check_run.completed").exists()
    late: CheckResult = study.ratio_result()
    with pytest.raises(Conflict):
        check_runs.complete_check_run(
            command=Command(system_actor("worker", row.workspace_id)),
            run_id=row.id, fence=row.fence, result=late, run_environment={},
        )  # fmt: skip


def test_the_parts_of_a_cancelled_check_are_dropped(
    committed_cast: Cast,
    run: CheckRun,  # noqa: F811
    sent: list[tuple[str, str]],  # noqa: F811
) -> None:
    first, second, third = laid_out(run)
    assert mapping.run_part(first.id)
    held = check_parts.claim(second.id)
    assert held is not None
    told = Client().get(f"/api/v1/check-runs/{run.id}", headers=committed_cast.headers("ana")).json()
    assert told["progress"] == {"parts": 3, "parts_done": 1, "rows": 1000, "rows_done": 300}
    of_request = Client().get(
        f"/api/v1/promotions/{promotion_of(run.id).id}", headers=committed_cast.headers("ana")
    )
    assert of_request.json()["checks"][0]["progress"] == told["progress"]
    sent.clear()
    assert cancelled(committed_cast, run.id).status_code == 200
    assert not check_parts.renew(second.id, held.fence), "its worker ends the child"
    assert not check_parts.finish(held, {}, {})
    assert not mapping.run_part(third.id)
    states = CheckPart.objects.order_by("index").values_list("state", "asked", "counted")
    assert list(states) == [
        (CheckPartState.DONE, None, None), (CheckPartState.DROPPED, None, None),
        (CheckPartState.DROPPED, None, None),
    ]  # fmt: skip
    assert (check_runs.RUN_TASK, str(run.id)) not in sent


def withdraw(cast: Cast, promotion: Promotion) -> None:
    withdraw_promotion(command=cast.command("pipeline"), promotion_id=promotion.id, reason="a mistake")


def test_the_checks_of_a_withdrawn_request_are_ended(committed_cast: Cast) -> None:
    row = waiting(committed_cast)
    promotion = promotion_of(row.id)
    cancel_unneeded(promotion.id)
    row.refresh_from_db()
    assert row.state == CheckRunState.QUEUED, "somebody waits for it"
    withdraw(committed_cast, promotion)
    cancel_unneeded(promotion.id)
    row.refresh_from_db()
    assert row.result["error"]["code"] == "check_not_needed"
    cancel_unneeded(promotion.id)
    settle_waiting()
    assert Event.objects.filter(verb="check_run.cancelled").count() == 1
    promotion.refresh_from_db()
    assert promotion.state == "withdrawn"


def test_a_check_that_another_request_waits_for_goes_on(committed_cast: Cast) -> None:
    row = waiting(committed_cast)
    promotion = promotion_of(row.id)
    withdraw(committed_cast, promotion)
    other = study.ask(committed_cast, promotion.version, "homologation")
    assert other.checks.get().run_id == row.id
    cancel_unneeded(promotion.id)
    settle_waiting()
    row.refresh_from_db()
    assert row.state == CheckRunState.QUEUED


def test_the_sweep_ends_the_checks_of_a_retired_version(committed_cast: Cast) -> None:
    row = waiting(committed_cast)
    version = promotion_of(row.id).version
    retire_version(command=committed_cast.command("rita"), version_id=version.id, reason="no longer used")
    settle_waiting()
    row.refresh_from_db()
    assert row.result["error"]["code"] == "check_not_needed"


def test_the_page_says_how_far_it_is_and_has_a_button(
    committed_cast: Cast,
    run: CheckRun,  # noqa: F811
    sent: list[tuple[str, str]],  # noqa: F811
) -> None:
    assert mapping.run_part(laid_out(run)[0].id)
    address = reverse("admin:promotion", args=[promotion_of(run.id).id])
    browser = Client()
    browser.force_login(committed_cast.people["ana"])
    page = browser.get(address).content.decode()
    assert "1 of 3 parts, 300 of 1,000 rows" in page
    assert '<progress value="300" max="1000"' in page
    act = reverse("admin:watch", args=["check", run.id, "cancel"])
    assert act in page
    reader = Client()
    reader.force_login(committed_cast.people["clara"])
    assert act not in reader.get(address).content.decode(), "an auditor reads"
    with unchanged(refusals=1):
        assert reader.post(act, {"text": "no"}).status_code == 403
    assert browser.post(act, {"text": "the wrong data", "back": address}).status_code == 302
    run.refresh_from_db()
    assert run.result["error"]["code"] == "check_cancelled"
    assert "cancelled before it had a result" in browser.get(address).content.decode()
