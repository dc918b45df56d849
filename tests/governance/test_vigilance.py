"""After the yes: conditions, re-reviews, requests that wait too long, broken glass and its alarm."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.test import Client

from audits.actors import Command, system_actor
from audits.errors import Conflict, Forbidden, Unprocessable
from audits.models import Event, Webhook, WebhookDelivery
from audits.sealing import text_of
from audits.services import webhook_delivery
from governance import hindrances
from governance.models import Alarm, BrokenGlass, Condition, Placement, PlacementReview
from governance.services import sweeps
from governance.services.conditions import note_missed_condition, report_condition, verify_condition
from governance.services.decisions import decide
from governance.services.glass import break_glass, end_glass, sign_off_alarm
from governance.services.reviews import complete_review, note_overdue_review
from governance.services.suspensions import suspend_placement, withdraw_placement
from governance.standings import moment
from governance.states import PlacementState
from registry.models import ModelVersion
from tests import scenario
from tests.audits import hooks
from tests.cast import Cast
from tests.governance.exceptional import SOON, ask, codes, give, later, live, move, opened, with_terms
from tests.governance.test_at_once import at_once
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True)
PAST = timedelta(seconds=-1)
REASON = "Patients wait; the refused requirement is about a column that is not used."


@pytest.fixture
def cast(committed_cast: Cast) -> Cast:
    return committed_cast


# Conditions


def conditional(cast: Cast) -> tuple[ModelVersion, Condition]:
    version = with_terms(cast, "")
    live(cast, version, [{"text": "Recalibrate by then.", "due": later()}])
    return version, Condition.objects.get()


def test_a_missed_condition_shuts_the_gate_and_its_fulfilment_opens_it(cast: Cast) -> None:
    version, condition = conditional(cast)
    assert ask(version).allowed
    placement = Placement.objects.select_related("promotion__policy").get(promotion=condition.promotion)
    assert hindrances.hindrances([placement], moment(None))[placement.id].lapses_at == condition.due
    move("governance_condition", condition.id, due=later(PAST))
    assert codes(ask(version)) == ["condition_overdue"]
    report_condition(command=cast.command("ana"), condition_id=condition.id, text="Recalibrated.")
    assert codes(ask(version)) == ["condition_overdue"]  # said, not verified
    verify_condition(command=cast.command("bia"), condition_id=condition.id, holds=False, text="Not quite.")
    report_condition(command=cast.command("ana"), condition_id=condition.id, text="Recalibrated again.")
    verify_condition(command=cast.command("bia"), condition_id=condition.id, holds=True, text="Seen.")
    assert codes(ask(version)) == ["fulfilment_not_effective_yet"]
    scenario.publish()
    assert ask(version).allowed
    written = Event.objects.get(verb="promotion.decided", actor_id=cast.people["bruno"].id,
                                subject_id=condition.promotion_id)  # fmt: skip
    assert text_of(written.id, "condition_1") == "Recalibrate by then."


def told(verb: str) -> list[Event]:
    return list(Event.objects.filter(verb=verb, outcome="done").order_by("subject_id", "subject_seq"))


def hook(cast: Cast, verb: str) -> Webhook:
    return hooks.subscribe(cast, "https://hooks.example/in", name=verb, verbs=[verb])


def queued(webhook: Webhook) -> list[UUID]:
    """The events that wait to be sent to it."""
    scenario.publish()
    webhook_delivery.plan(webhook.id)
    return list(WebhookDelivery.objects.filter(webhook=webhook).values_list("event_id", flat=True))


def shell(cast: Cast) -> Command:
    return Command(system_actor("sweep", cast.workspace.id))


def test_a_missed_condition_leaves_one_event_however_many_sweeps(cast: Cast) -> None:
    _, condition = conditional(cast)
    wanted = hook(cast, "condition.missed")
    assert sweeps.note_missed_conditions() == []
    move("governance_condition", condition.id, due=later(PAST))
    before = Condition.objects.values().get()
    at_once(sweeps.sweep, sweeps.sweep, sweeps.sweep)
    (event,) = told("condition.missed")
    assert (event.subject_kind, event.subject_id, event.actor_kind) == ("condition", condition.id, "system")
    assert event.reason["code"] == "condition_overdue"  # type: ignore[index]
    assert event.detail["promotion"] == str(condition.promotion_id)
    assert Condition.objects.values().get() == before  # it tells, and moves nothing
    with unchanged(refusals=0):
        sweeps.sweep()
    assert queued(wanted) == [event.id]
    # Sent back it is as late as before; verified it is over.
    report_condition(command=cast.command("ana"), condition_id=condition.id, text="Recalibrated.")
    verify_condition(command=cast.command("bia"), condition_id=condition.id, holds=False, text="Not quite.")
    assert sweeps.note_missed_conditions() == []


def test_what_was_fulfilled_in_time_is_not_missed(cast: Cast) -> None:
    _, condition = conditional(cast)
    report_condition(command=cast.command("ana"), condition_id=condition.id, text="Recalibrated.")
    verify_condition(command=cast.command("bia"), condition_id=condition.id, holds=True, text="Seen.")
    move("governance_condition", condition.id, due=later(PAST))
    with unchanged(refusals=0):
        assert sweeps.note_missed_conditions() == []
        note_missed_condition(command=shell(cast), condition_id=condition.id)


def test_what_was_withdrawn_has_no_date_to_miss(cast: Cast) -> None:
    _, condition = conditional(cast)
    placement = Placement.objects.get(promotion=condition.promotion)
    withdraw_placement(command=cast.command("rita"), placement_id=placement.id, reason="Over.")
    move("governance_condition", condition.id, due=later(PAST))
    with unchanged(refusals=0):
        assert sweeps.note_missed_conditions() == []


def test_who_may_not_report_or_verify_a_condition(cast: Cast) -> None:
    _, condition = conditional(cast)
    with pytest.raises(Forbidden) as refusal, unchanged(refusals=1):
        report_condition(command=cast.command("bruno"), condition_id=condition.id, text="Done.")
    assert refusal.value.code == "own_condition"
    with pytest.raises(Conflict), unchanged(refusals=1):
        verify_condition(command=cast.command("bia"), condition_id=condition.id, holds=True, text="Seen.")
    report_condition(command=cast.command("ana"), condition_id=condition.id, text="Done.")
    with pytest.raises(Forbidden) as refusal, unchanged(refusals=1):
        verify_condition(command=cast.command("ana"), condition_id=condition.id, holds=True, text="Seen.")
    assert refusal.value.code == "own_report"
    with pytest.raises(IntegrityError, match="had a hand"), transaction.atomic():
        Condition.objects.update(verified_by=cast.people["ana"].id)
    for statement in (
        "UPDATE governance_condition SET due = due + interval '1 year'",
        "UPDATE governance_condition SET state = 'fulfilled'",
        "DELETE FROM governance_condition",
    ):
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)


@pytest.mark.parametrize(
    ("verdict", "text", "due", "count", "code"),
    [
        ("reject", "Then.", SOON, 1, "conditions_need_approval"),
        ("approve", " ", SOON, 1, "words_missing"),
        ("approve", "Then.", PAST, 1, "due_in_the_past"),
        ("approve", "Then.", SOON, 21, "conditions_too_many"),
    ],
)
def test_what_is_no_condition(
    cast: Cast, verdict: str, text: str, due: timedelta, count: int, code: str
) -> None:
    waiting = scenario.awaiting_production(cast)
    with pytest.raises(Unprocessable) as refusal, unchanged(refusals=1):
        decide(
            command=cast.command("bruno"),
            promotion_id=waiting.id,
            verdict=verdict,
            reason="r",
            dossier_digest=waiting.dossier_digest,
            conditions=[{"text": text, "due": later(due)}] * count,
        )
    assert refusal.value.code == code


# Requests that wait too long


def test_an_expired_request_is_not_decided_on_before_the_sweep_and_is_over_after_it(cast: Cast) -> None:
    version = with_terms(cast, "expires_after: 2d\n")
    waiting = scenario.complete_checks(scenario.request(cast, version, "production"))
    assert sweeps.expire_requests() == []
    move("governance_promotion", waiting.id, created_at=later(timedelta(days=-2)))
    with pytest.raises(Conflict) as refusal, unchanged(refusals=1):
        scenario.word(cast, "bruno", waiting)
    assert refusal.value.code == "promotion_expired"
    assert sweeps.expire_requests() == [waiting.id]
    assert sweeps.expire_requests() == []
    waiting.refresh_from_db()
    assert waiting.state == "expired"
    event = Event.objects.get(verb="promotion.expired", outcome="done")
    assert (event.subject_id, event.reason["code"]) == (waiting.id, "promotion_expired")  # type: ignore[index]
    assert scenario.request(cast, version, "production").state != "expired"  # asking again is free


# Re-review


def test_a_review_opens_before_it_is_due_and_renews_once_published(cast: Cast) -> None:
    version = with_terms(cast, "valid_for: 100d\nreview: {role: approver, notice: 10d}\n")
    promotion = live(cast, version)
    assert sweeps.open_reviews() == []
    move("governance_placement", promotion.placement.id, created_at=later(timedelta(days=-91)))
    assert sweeps.open_reviews() == [promotion.placement.id]
    assert sweeps.open_reviews() == []
    assert ask(version).allowed
    move("governance_placement", promotion.placement.id, created_at=later(timedelta(days=-100)))
    assert codes(ask(version)) == ["review_overdue"]
    review = PlacementReview.objects.get()
    for name, code in (("bruno", "review_role"), ("ana", "hand_in_version"), ("clara", "not_permitted")):
        with pytest.raises(Forbidden) as refusal, unchanged(refusals=1):
            complete_review(command=cast.command(name), review_id=review.id, reason="Fine.")
        assert refusal.value.code == code
    complete_review(command=cast.command("bia"), review_id=review.id, reason="Drift within bounds.")
    assert codes(ask(version)) == ["review_overdue"]  # a grant waits for its checkpoint
    scenario.publish()
    assert ask(version).allowed
    with pytest.raises(Conflict) as again, unchanged(refusals=1):
        complete_review(command=cast.command("bia"), review_id=review.id, reason="Again.")
    assert again.value.code == "review_transition"
    with pytest.raises(IntegrityError, match="had a hand"), transaction.atomic():
        PlacementReview.objects.update(completed_by=cast.people["ana"].id)


def test_an_overdue_review_leaves_one_event_for_each_time_it_falls_due(cast: Cast) -> None:
    version = with_terms(cast, "valid_for: 100d\nreview: {role: approver, notice: 10d}\n")
    placement = live(cast, version).placement
    wanted = hook(cast, "review.overdue")
    move("governance_placement", placement.id, created_at=later(timedelta(days=-91)))
    sweeps.sweep()
    review = PlacementReview.objects.get()
    assert told("review.overdue") == []
    move("governance_placement", placement.id, created_at=later(timedelta(days=-100)))
    at_once(sweeps.sweep, sweeps.sweep, sweeps.sweep)
    (event,) = told("review.overdue")
    assert (event.subject_id, event.reason["code"]) == (review.id, "review_overdue")  # type: ignore[index]
    assert event.detail["overdue"] == "block"
    assert event.before == event.after != ""
    with unchanged(refusals=0):
        sweeps.sweep()
    assert queued(wanted) == [event.id]
    complete_review(command=cast.command("bia"), review_id=review.id, reason="Drift within bounds.")
    scenario.publish()
    sweeps.sweep()
    assert len(told("review.overdue")) == 1
    # A hundred days later it falls due again.
    move("governance_placement_review", review.id, completed_at=later(timedelta(days=-100)))
    sweeps.sweep()
    assert [row.subject_id for row in told("review.overdue")] == [
        review.id,
        PlacementReview.objects.get(state="open").id,
    ]


def test_a_review_of_what_is_suspended_waits_for_its_reinstatement(cast: Cast) -> None:
    version = with_terms(cast, "valid_for: 100d\n")
    placement = live(cast, version).placement
    move("governance_placement", placement.id, created_at=later(timedelta(days=-99)))
    sweeps.sweep()
    suspend_placement(command=cast.command("rita"), placement_id=placement.id, reason="Odd answers.")
    move("governance_placement", placement.id, created_at=later(timedelta(days=-100)))
    with unchanged(refusals=0):
        assert sweeps.note_overdue_reviews() == []
        note_overdue_review(command=shell(cast), review_id=PlacementReview.objects.get().id)


def test_overdue_only_warns_where_the_policy_says_so(cast: Cast) -> None:
    version = with_terms(cast, "valid_for: 1d\nreview: {overdue: warn}\n")
    promotion = live(cast, version)
    move("governance_placement", promotion.placement.id, created_at=later(timedelta(days=-1)))
    answer = ask(version)
    assert (answer.allowed, [warning.code for warning in answer.warnings]) == (True, ["review_overdue"])


def test_the_tier_says_when_the_policy_does_not(cast: Cast) -> None:
    version = with_terms(cast, "")  # limited: 365 days
    promotion = live(cast, version)
    placement = promotion.placement
    move("governance_placement", placement.id, created_at=later(timedelta(days=-364)))
    assert ask(version).allowed
    move("governance_placement", placement.id, created_at=later(timedelta(days=-365)))
    assert codes(ask(version)) == ["review_overdue"]
    assert ask(version, "homologation").allowed


# Broken glass


def broken(cast: Cast, version: ModelVersion, by: str = "clara", hours: int = 4) -> BrokenGlass:
    give(cast, by, "incident_manager")
    return break_glass(
        command=cast.command(by), version_id=version.id, environment="production", reason=REASON, hours=hours
    ).value


def test_it_lets_a_refused_version_through_until_it_shuts(cast: Cast) -> None:
    version = with_terms(cast, "")
    assert codes(ask(version)) == ["not_promoted"]
    glass = broken(cast, version)
    assert not ask(version).allowed  # not in a checkpoint yet
    scenario.publish()
    answer = ask(version)
    assert (answer.allowed, answer.break_glass, answer.until) == (True, True, glass.expires_at)
    assert codes(answer) == ["glass_was_broken", "not_promoted"]
    told = (
        Client()
        .get(
            "/api/v1/gate",
            {"digest": version.artifact_digest, "environment": "production"},
            headers=cast.headers("pipeline"),
        )
        .json()
    )
    assert (told["allowed"], told["break_glass"], told["attestation"]) == (True, True, None)
    assert told["until"] is not None
    assert not Placement.objects.filter(version=version, environment__name="production").exists()
    move("governance_broken_glass", glass.id, expires_at=later(PAST))
    assert codes(ask(version)) == ["not_promoted"]
    assert Alarm.objects.get().state == "open"


@pytest.mark.past_the_door
def test_it_goes_over_a_finding_and_not_over_a_suspension(cast: Cast) -> None:
    version = with_terms(cast, "")
    live(cast, version)
    opened(cast, version)
    broken(cast, version)
    scenario.publish()
    assert ask(version).break_glass
    Placement.objects.filter(version=version, environment__name="production").update(
        state=PlacementState.SUSPENDED
    )
    assert codes(ask(version)) == ["placement_suspended"]
    BrokenGlass.objects.update(state="ended")
    with pytest.raises(Conflict) as refusal, unchanged(refusals=1):
        break_glass(
            command=cast.command("clara"),
            version_id=version.id,
            environment="production",
            reason=REASON,
            hours=1,
        )
    assert refusal.value.code == "restriction_stands"


def test_ended_early_it_shuts_at_commit(cast: Cast) -> None:
    version = with_terms(cast, "")
    glass = broken(cast, version)
    scenario.publish()
    assert ask(version).allowed
    end_glass(command=cast.command("clara"), glass_id=glass.id, reason="The old one runs again.")
    assert not ask(version).allowed
    assert Alarm.objects.get().state == "open"


@pytest.mark.parametrize(("hours", "code"), [(0, "glass_too_long"), (25, "glass_too_long")])
def test_not_longer_than_a_day_unless_the_policy_says_so(cast: Cast, hours: int, code: str) -> None:
    version = with_terms(cast, "")
    give(cast, "clara", "incident_manager")
    with pytest.raises(Unprocessable) as refusal, unchanged(refusals=1):
        break_glass(
            command=cast.command("clara"),
            version_id=version.id,
            environment="production",
            reason=REASON,
            hours=hours,
        )
    assert refusal.value.code == code


def test_nobody_without_the_permission_and_not_without_need(cast: Cast) -> None:
    version = with_terms(cast, "break_glass: {max_hours: 48}\n")
    for name in ("ana", "bruno", "bia", "clara", "rita", "pipeline"):
        with pytest.raises(Forbidden), unchanged(refusals=1):
            break_glass(
                command=cast.command(name),
                version_id=version.id,
                environment="production",
                reason=REASON,
                hours=1,
            )
    broken(cast, version, hours=48)
    with pytest.raises(Conflict) as refusal, unchanged(refusals=1):
        break_glass(
            command=cast.command("clara"),
            version_id=version.id,
            environment="production",
            reason=REASON,
            hours=1,
        )
    assert refusal.value.code == "glass_already_broken"
    with pytest.raises(Conflict) as refusal, unchanged(refusals=1):
        break_glass(
            command=cast.command("clara"),
            version_id=version.id,
            environment="homologation",
            reason=REASON,
            hours=1,
        )
    assert refusal.value.code == "glass_not_needed"


def test_two_who_break_it_at_once_break_it_once(cast: Cast) -> None:
    version = with_terms(cast, "")
    give(cast, "clara", "incident_manager")

    def attempt() -> str:
        try:
            break_glass(
                command=cast.command("clara"),
                version_id=version.id,
                environment="production",
                reason=REASON,
                hours=1,
            )
        except Conflict as refusal:
            return refusal.code
        return "broken"

    assert sorted(at_once(attempt, attempt, attempt)) == [
        "broken",
        "glass_already_broken",
        "glass_already_broken",
    ]
    assert (BrokenGlass.objects.count(), Alarm.objects.count()) == (1, 1)


def test_the_alarm_is_signed_off_outside_engineering_and_by_another(cast: Cast) -> None:
    version = with_terms(cast, "")
    broken(cast, version)
    alarm = Alarm.objects.get()
    with pytest.raises(Forbidden) as refusal, unchanged(refusals=1):
        sign_off_alarm(command=cast.command("clara"), alarm_id=alarm.id, reason="Seen.")
    assert refusal.value.code == "own_alarm"
    with pytest.raises(Forbidden) as refusal, unchanged(refusals=1):
        sign_off_alarm(command=cast.command("bruno"), alarm_id=alarm.id, reason="Seen.")
    assert refusal.value.code == "not_permitted"
    give(cast, "ana", "auditor")
    with pytest.raises(Forbidden) as refusal, unchanged(refusals=1):
        sign_off_alarm(command=cast.command("ana"), alarm_id=alarm.id, reason="Seen.")
    assert refusal.value.code == "alarm_outside_engineering"
    for person, constraint in (("ana", "outside engineering"), ("clara", "alarm_signed_off_by_other")):
        with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
            Alarm.objects.update(state="signed_off", signed_off_by=cast.people[person].id)
    sign_off_alarm(command=cast.command("rita"), alarm_id=alarm.id, reason="Justified; see the incident.")
    alarm.refresh_from_db()
    assert (alarm.state, alarm.signed_off_by) == ("signed_off", cast.people["rita"].id)
    with pytest.raises(Conflict), unchanged(refusals=1):
        sign_off_alarm(command=cast.command("rita"), alarm_id=alarm.id, reason="Again.")
    assert list(
        Event.objects.filter(subject_kind="alarm", outcome="done")
        .order_by("id")
        .values_list("verb", flat=True)
    ) == ["alarm.raised", "alarm.signed_off"]
