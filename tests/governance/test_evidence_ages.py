"""Evidence ages: what was measured longer ago than the policy accepts is no proof, whoever has approved meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from audits.models import CheckRun
from governance.models import Promotion
from tests import scenario
from tests.cast import Cast
from tests.governance.exceptional import ask, codes, move

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.past_the_door]
ACCEPTED = timedelta(days=30)  # what a policy accepts that says nothing


def aged(promotion: Promotion, by: timedelta) -> None:
    for run in scenario.runs_of(promotion).values():
        move("audits_check_run", run.id, finished_at=datetime.now(UTC) - by)


@pytest.mark.parametrize(
    ("by", "state"), [(ACCEPTED - timedelta(hours=1), "granted"), (ACCEPTED + timedelta(hours=1), "refused")]
)
def test_proof_that_ages_while_people_decide(committed_cast: Cast, by: timedelta, state: str) -> None:
    """The last approval comes too late: the verdict is taken again in its transaction."""
    promotion = scenario.awaiting_production(committed_cast)
    scenario.word(committed_cast, "bruno", promotion)
    aged(promotion, by)
    scenario.word(committed_cast, "bia", promotion)
    scenario.publish()
    assert promotion.state == state
    verdicts = {line["verdict"] for line in promotion.requirements}
    answer = ask(promotion.version)
    if state == "granted":
        assert (verdicts, answer.allowed) == ({"passed"}, True)
    else:
        assert (verdicts, answer.allowed) == ({"stale"}, False)
        assert {line["reason"]["code"] for line in promotion.requirements} == {"evidence_stale"}
        assert "allowed" not in codes(answer)


def test_what_is_too_old_is_measured_again(committed_cast: Cast) -> None:
    """And what is not is used again, without a run of its own."""
    promotion = scenario.awaiting_production(committed_cast)
    scenario.word(committed_cast, "bruno", promotion, verdict="reject")
    runs = CheckRun.objects.count()
    again = scenario.complete_checks(scenario.request(committed_cast, promotion.version, "production"))
    assert (again.state, CheckRun.objects.count()) == ("awaiting_approval", runs)
    scenario.word(committed_cast, "bruno", again, verdict="reject")
    aged(again, ACCEPTED + timedelta(hours=1))
    third = scenario.request(committed_cast, promotion.version, "production")
    assert third.state == "checking"
    fresh = scenario.runs_of(third)
    assert CheckRun.objects.count() == runs + len(fresh)
    assert not {run.id for run in fresh.values()} & {run.id for run in scenario.runs_of(again).values()}
