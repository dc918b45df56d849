"""The queue's bookkeeping: leases that are kept while somebody computes, and work that is sent again."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import InterfaceError, OperationalError
from django.utils import timezone

from audits import dispatch
from audits.models import CheckRun, Event
from audits.services import check_runs, confined, execution
from audits.services.check_runs import claim, renew, resend_waiting
from audits.states import CheckRunState
from governance.models import Promotion
from governance.services import settling
from tests import study
from tests.cast import Cast

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def run(committed_cast: Cast, monkeypatch: pytest.MonkeyPatch) -> CheckRun:
    """A queued check, which computes at once; on the way to homologation."""
    version = study.study(committed_cast)
    for environment in ("development", "test"):
        study.ask(committed_cast, version, environment)
        study.sequence()
    study.ask(committed_cast, version, "homologation")
    monkeypatch.setattr(execution, "computed", lambda run, lost: (study.ratio_result(), {}))
    monkeypatch.setattr(execution, "PAUSES", (0.0, 0.0))
    return CheckRun.objects.get()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    ids: list[str] = []
    monkeypatch.setattr(dispatch, "send", lambda task, run, **_: bool(ids.append(run)) or True)
    return ids


def test_the_lease_is_kept_while_the_check_computes(run: CheckRun, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def slow(row: CheckRun, lost: Any) -> Any:
        for _ in range(3):
            seen.append(CheckRun.objects.get(id=row.id).lease_until)
            time.sleep(0.2)
        return study.ratio_result(), {}

    monkeypatch.setattr(confined, "RENEW_SECONDS", 0.05)
    monkeypatch.setattr(execution, "computed", slow)
    finished = execution.run_check(run.id)
    assert finished is not None
    assert finished.state == CheckRunState.COMPLETED
    assert seen[0] < seen[1] < seen[2]
    assert finished.lease_until is None


def test_only_the_holder_renews(run: CheckRun) -> None:
    assert not renew(run.id, 0), "queued: nobody holds it"
    first = claim(run.id)
    assert first is not None
    assert claim(run.id) is None, "the lease has not run out"
    assert renew(run.id, first.fence)
    CheckRun.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    second = claim(run.id)
    assert second is not None
    assert (second.fence, second.attempts) == (2, 2)
    assert not renew(run.id, first.fence)
    assert renew(run.id, second.fence)


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_a_result_outlives_a_restart_of_the_database(
    run: CheckRun, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    real, broken = execution.complete_check_run, [error("gone"), error("starting up")]

    def complete(**given: Any) -> Any:
        if broken:
            raise broken.pop()
        return real(**given)

    monkeypatch.setattr(execution, "complete_check_run", complete)
    finished = execution.run_check(run.id)
    assert finished is not None
    assert (finished.state, finished.attempts) == (CheckRunState.COMPLETED, 1)
    assert Event.objects.filter(verb="check_run.completed").count() == 1


def test_a_database_that_stays_away_is_an_error_of_the_task(
    run: CheckRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(**given: Any) -> Any:
        raise OperationalError("gone")

    monkeypatch.setattr(execution, "complete_check_run", gone)
    with pytest.raises(OperationalError):
        execution.run_check(run.id)
    run.refresh_from_db()
    assert run.state == CheckRunState.RUNNING, "the sweep finds it when its lease has run out"


def _since(run: UUID, *, queued: float, sent: float, **more: Any) -> None:
    now = timezone.now()
    CheckRun.objects.filter(id=run).update(
        queued_at=now - timedelta(seconds=queued), sent_at=now - timedelta(seconds=sent), **more
    )


@pytest.mark.parametrize(
    ("queued", "ago", "again"),
    [
        (19, 19, False),
        (21, 21, True),
        (60, 25, False),  # had waited 35 s when it was last sent
        (75, 40, True),
        (3600, 290, False),
        (3600, 301, True),  # however long the queue
    ],
)
def test_a_queued_run_is_sent_again_ever_more_rarely(
    run: CheckRun, sent: list[str], queued: float, ago: float, again: bool
) -> None:
    _since(run.id, queued=queued, sent=ago)
    assert resend_waiting() == ([run.id] if again else [])
    assert sent == ([str(run.id)] if again else [])
    assert resend_waiting() == []


def test_a_lost_worker_s_run_is_sent_again_when_its_lease_ends(run: CheckRun, sent: list[str]) -> None:
    assert claim(run.id) is not None
    _since(run.id, queued=3600, sent=3600)
    assert resend_waiting() == []
    CheckRun.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert resend_waiting() == [run.id]
    assert sent == [str(run.id)]
    assert timedelta(minutes=1) >= check_runs.LEASE, "nobody waits for minutes after a crash"


def test_one_promotion_that_cannot_be_settled_does_not_stop_the_next(
    run: CheckRun, committed_cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = study.model_version(committed_cast, b"another model")
    for environment in ("development", "test"):
        study.ask(committed_cast, second, environment)
        study.sequence()
    study.ask(committed_cast, second, "homologation")
    for row in CheckRun.objects.all():
        assert execution.run_check(row.id) is not None
    waiting = Promotion.objects.filter(state="checking").order_by("id")
    first, other = waiting
    real = settling.settle_promotion

    def settle(**given: Any) -> Any:
        if given["promotion_id"] == first.id:
            raise RuntimeError("damaged")
        return real(**given)

    monkeypatch.setattr(settling, "settle_promotion", settle)
    with pytest.raises(RuntimeError, match="damaged"):
        settling.settle_waiting()
    other.refresh_from_db()
    assert other.state == "awaiting_approval"
    assert waiting.get() == first
