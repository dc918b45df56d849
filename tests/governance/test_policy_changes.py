"""A policy changes by somebody's proposal and somebody else's approval, and re-opens what it touches."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from audits.errors import Conflict, Forbidden, NotFound, Unprocessable
from audits.models import Event
from governance.dossier import assess
from governance.in_force import versions_in_force
from governance.models import (
    Placement,
    PolicyChange,
    PolicyChangeDecision,
    PolicyVersion,
    Promotion,
    PromotionCheck,
)
from governance.outdated import outdated_placements
from governance.services.acknowledging import acknowledge_policy
from governance.services.decisions import decide
from governance.services.policies import apply_policy
from governance.services.policy_changes import decide_policy_change, propose_policy, withdraw_policy_change
from governance.services.promotions import settle_promotion
from governance.services.settling import settle_waiting
from registry.models import ModelVersion
from tests import study
from tests.cast import Cast
from tests.governance.test_promotions import by, concurrently, to_homologation
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True)
STRICTER = study.HOMOLOGATION.replace("min: 0.8", "min: 0.85")
IMPOSSIBLE = study.HOMOLOGATION.replace("min: 0.8", "min: 0.9")


@pytest.fixture
def cast(committed_cast: Cast) -> Cast:
    return committed_cast


@pytest.fixture
def version(cast: Cast) -> ModelVersion:
    return study.study(cast)


def proposed(cast: Cast, text: str = STRICTER, name: str = "rita", **given: Any) -> PolicyChange:
    return propose_policy(command=cast.command(name), text=text, reason="stricter", **given).value


def decided(
    cast: Cast, change: PolicyChange, name: str = "bia", verdict: str = "approve", **given: Any
) -> PolicyChange:
    given = {"reason": "agreed", "digest": change.digest, **given}
    return decide_policy_change(
        command=cast.command(name), change_id=change.id, verdict=verdict, **given
    ).value


def in_force(cast: Cast, name: str = "study-homologation") -> int:
    return next(row.n for row in versions_in_force(cast.workspace.id) if row.name == name)


def test_approved_by_another_and_in_force_once_published(cast: Cast, version: ModelVersion) -> None:
    change = proposed(cast, commit="0123abcd")
    assert (change.state, change.base.n, change.commit) == ("proposed", 1, "0123abcd")
    assert change.diff == [
        {
            "direction": "tighter",
            "code": "policy_limit_tightened",
            "params": {
                "check": "bias.group_disparity",
                "metric": "demographic_parity_ratio",
                "attribute": "",
                "before": 0.8,
                "after": 0.85,
            },
        }
    ]
    approved = decided(cast, change)
    assert (approved.state, approved.version.n, approved.version.text) == ("approved", 2, STRICTER)
    assert in_force(cast) == 1, "the older version stays in force until the event is published"
    study.sequence()
    assert in_force(cast) == 2
    events = Event.objects.filter(subject_id=change.id).order_by("subject_seq")
    assert [(event.verb, event.actor_id) for event in events] == [
        ("policy_change.proposed", cast.people["rita"].id),
        ("policy_change.decided", cast.people["bia"].id),
    ]
    applied = Event.objects.get(id=approved.version.granted_event)
    assert (applied.verb, applied.subject_id, applied.subject_digest) == (
        "policy.applied",
        approved.version_id,
        change.digest,
    )


def test_a_policy_nobody_published_covers_nothing(cast: Cast) -> None:
    study.use_case_with_policies(cast)
    study.dataset_version(cast)
    version = study.model_version(cast)
    PolicyVersion.objects.filter(name="study-development").update(current=False)
    PolicyVersion.objects.filter(name="development").update(current=False)
    renamed = study.OPEN.format(environment="development").replace("study-", "new-")
    apply_policy(command=study.shell(cast), text=renamed)
    with unchanged(refusals=1), pytest.raises(Unprocessable, match="no_policy"):
        study.ask(cast, version, "development")
    study.sequence()
    assert study.ask(cast, version, "development").policy.name == "new-development"


def test_nobody_but_crivo_itself_applies_directly(cast: Cast, version: ModelVersion) -> None:
    for name in ("rita", "bia", "ana", "pipeline"):
        with unchanged(refusals=1), pytest.raises(Forbidden, match="not_permitted"):
            apply_policy(command=cast.command(name), text=STRICTER)


@pytest.mark.parametrize("name", ["ana", "bruno", "clara", "pipeline", "bia"])
def test_who_may_not_propose(cast: Cast, version: ModelVersion, name: str) -> None:
    with unchanged(refusals=1), pytest.raises(Forbidden, match="not_permitted"):
        proposed(cast, name=name)


@pytest.mark.parametrize(
    ("name", "error", "code"),
    [
        ("rita", Forbidden, "policy_change_own"),
        ("ana", Forbidden, "not_permitted"),
        ("bruno", Forbidden, "not_permitted"),
        ("pipeline", Forbidden, "not_permitted"),
        ("davi", NotFound, "not_found"),
    ],
)
def test_who_may_not_approve(cast: Cast, version: ModelVersion, name: str, error: Any, code: str) -> None:
    change = proposed(cast)
    with unchanged(refusals=0 if name == "davi" else 1), pytest.raises(error, match=code):
        decided(cast, change, name)


@pytest.mark.parametrize("before", [True, False])
def test_whoever_waits_under_the_policy_has_no_say(
    cast: Cast, version: ModelVersion, before: bool, settings: Any
) -> None:
    from governance.services.identity import bind_role

    bind_role(command=study.shell(cast), role="approver", person=cast.people["ana"])
    if before:
        to_homologation(cast, version)
        change = proposed(cast)
    else:
        change = proposed(cast)
        to_homologation(cast, version)  # asked for after the proposal: copied when somebody decides
    with unchanged(refusals=1), pytest.raises(Forbidden, match="policy_change_own"):
        decided(cast, change, "ana")
    refusal = Event.objects.filter(subject_id=change.id).latest("subject_seq")
    assert refusal.reason == {"code": "policy_change_own", "params": {"duties": ["beneficiary"]}}
    assert decided(cast, change, "bia").state == "approved"


def test_a_raw_insert_does_not_get_past_it(cast: Cast, version: ModelVersion) -> None:
    change = proposed(cast)
    with pytest.raises(IntegrityError, match="proposed this change or gains by it"), transaction.atomic():
        PolicyChangeDecision.objects.create(
            change=change,
            person_id=cast.people["rita"].id,
            verdict="approve",
            digest=change.digest,
            event_id=change.id,
        )
    from django.db import ProgrammingError

    for field in ("text", "digest", "body", "proposer_id"):
        with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
            PolicyChange.objects.filter(id=change.id).update(**{field: getattr(change, field)})
    with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
        PolicyVersion.objects.update(digest="sha256:0")


@pytest.mark.parametrize(
    ("given", "error", "code"),
    [
        ({"reason": " "}, Unprocessable, "reason_missing"),
        ({"verdict": "sure"}, Unprocessable, "verdict_unknown"),
        ({"digest": "sha256:" + "0" * 64}, Conflict, "policy_change_another"),
    ],
)
def test_a_decision_that_is_none(
    cast: Cast, version: ModelVersion, given: dict[str, str], error: Any, code: str
) -> None:
    change = proposed(cast)
    with unchanged(refusals=1), pytest.raises(error, match=code):
        decided(cast, change, **given)


def test_a_change_is_settled_once(cast: Cast, version: ModelVersion) -> None:
    rejected = decided(cast, proposed(cast), verdict="reject")
    assert (rejected.state, rejected.version) == ("rejected", None)
    withdrawn = withdraw_policy_change(
        command=cast.command("rita"), change_id=proposed(cast).id, reason="a mistake"
    ).value
    assert withdrawn.state == "withdrawn"
    for change in (rejected, withdrawn):
        with unchanged(refusals=1), pytest.raises(Conflict, match="policy_change_settled"):
            decided(cast, change)
        with unchanged(refusals=1), pytest.raises(Conflict, match="policy_change_settled"):
            withdraw_policy_change(command=cast.command("rita"), change_id=change.id, reason="again")
    assert PolicyVersion.objects.filter(name="study-homologation").count() == 1


def test_only_the_proposer_takes_it_back(cast: Cast, version: ModelVersion) -> None:
    from governance.services.identity import bind_role

    bind_role(command=study.shell(cast), role="risk_manager", person=cast.people["bruno"])
    change = proposed(cast)
    with unchanged(refusals=1), pytest.raises(Forbidden, match="policy_change_not_yours"):
        withdraw_policy_change(command=cast.command("bruno"), change_id=change.id, reason="no")


def test_the_same_proposal_is_one_and_no_change_is_none(cast: Cast, version: ModelVersion) -> None:
    assert proposed(cast).id == proposed(cast, "# the same\n" + STRICTER).id
    with unchanged(refusals=1), pytest.raises(Conflict, match="policy_unchanged"):
        proposed(cast, study.HOMOLOGATION)


def test_a_proposal_is_about_the_version_it_was_made_against(cast: Cast, version: ModelVersion) -> None:
    first, second = proposed(cast), proposed(cast, IMPOSSIBLE)
    decided(cast, first)
    with unchanged(refusals=1), pytest.raises(Conflict, match="policy_change_outdated"):
        decided(cast, second)


def test_two_policies_for_one_step_are_refused_when_proposed(cast: Cast, version: ModelVersion) -> None:
    with unchanged(refusals=1), pytest.raises(Unprocessable, match="policies_overlap"):
        proposed(cast, study.HOMOLOGATION.replace("study-homologation", "another"))
    tier = "policy: more\napplies_to: {environment: test, risk_tier: [high]}\nchecks: []\napprovals: []"
    with unchanged(refusals=1), pytest.raises(Unprocessable, match="policies_overlap"):
        proposed(cast, tier)


def test_two_approvals_at_once_are_one(cast: Cast, version: ModelVersion) -> None:
    change = proposed(cast)
    outcomes = concurrently(lambda: decided(cast, change), times=4)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict"] * 3 + ["PolicyChange"]
    assert PolicyVersion.objects.filter(name="study-homologation").count() == 2


def changed(cast: Cast, text: str) -> None:
    decided(cast, proposed(cast, text))
    study.sequence()


def test_an_open_request_is_checked_again_under_the_new_version(cast: Cast, version: ModelVersion) -> None:
    promotion = to_homologation(cast, version)
    assert promotion.state == "awaiting_approval"
    seen = promotion.dossier_digest
    decided(cast, proposed(cast, STRICTER))
    settle_waiting()
    promotion.refresh_from_db()
    assert promotion.policy.n == 1, "not in force yet"
    study.sequence()
    with unchanged(refusals=1), pytest.raises(Conflict, match="policy_changed"):
        by(cast, "bruno", promotion, digest=seen)
    settle_waiting()
    promotion.refresh_from_db()
    assert (promotion.policy.n, promotion.round, promotion.state) == (2, 1, "checking")
    assert PromotionCheck.every.filter(promotion=promotion).count() == 2
    assert promotion.checks.count() == 1, "the limit is a parameter of the check: it is measured again"
    study.finish_checks(promotion)
    assert promotion.state == "awaiting_approval"
    assert promotion.dossier_digest != seen
    with unchanged(refusals=1), pytest.raises(Conflict, match="dossier_changed"):
        by(cast, "bruno", promotion, digest=seen)
    by(cast, "bruno", promotion)
    promotion.refresh_from_db()
    assert promotion.state == "granted"
    verbs = [
        event.verb
        for event in Event.objects.filter(subject_id=promotion.id, outcome="done").order_by("subject_seq")
    ]
    assert verbs == [
        "promotion.requested",
        "promotion.checked",
        "promotion.reopened",
        "promotion.checked",
        "promotion.decided",
        "promotion.granted",
    ]


def test_decisions_under_the_old_version_are_void(cast: Cast, version: ModelVersion) -> None:
    two = study.HOMOLOGATION.replace("count: 1", "count: 2")
    study.put_in_force(cast, two)
    promotion = to_homologation(cast, version)
    by(cast, "bruno", promotion)
    promotion.refresh_from_db()
    assert promotion.state == "awaiting_approval"
    changed(cast, study.HOMOLOGATION)  # one approval is enough now, but it was not given to this dossier
    settle_waiting()
    promotion.refresh_from_db()
    assert promotion.state == "awaiting_approval"
    assert promotion.decisions.count() == 1
    by(cast, "bruno", promotion)
    promotion.refresh_from_db()
    assert promotion.state == "granted"


def test_what_is_granted_is_granted_under_the_policy_in_force_then(cast: Cast, version: ModelVersion) -> None:
    """The check finishes after the policy came into force, before any sweep: the old limit no longer counts."""
    for environment in ("development", "test"):
        study.ask(cast, version, environment)
        study.sequence()
    promotion = study.ask(cast, version, "homologation")
    study.put_in_force(cast, IMPOSSIBLE)
    study.finish_checks(
        promotion, study.ratio_result(0.86)
    )  # settles: held against version 2, measured again
    assert (promotion.policy.n, promotion.state) == (2, "checking")
    study.finish_checks(promotion, study.ratio_result(0.86))
    assert promotion.state == "refused"
    assert promotion.outcome["reasons"][0]["params"]["limit"] == 0.9
    assert not Placement.objects.filter(environment__name="homologation").exists()


def test_a_request_no_policy_covers_any_more_is_refused(cast: Cast, version: ModelVersion) -> None:
    promotion = to_homologation(cast, version)
    PolicyVersion.objects.filter(environment="homologation").update(current=False)
    settle_waiting()
    promotion.refresh_from_db()
    assert (promotion.state, promotion.outcome["code"]) == ("refused", "no_policy")


def test_settling_again_changes_nothing(cast: Cast, version: ModelVersion) -> None:
    promotion = to_homologation(cast, version)
    changed(cast, STRICTER)
    settle_waiting()
    with unchanged(refusals=0):
        settle_waiting()
        settle_promotion(command=study.shell(cast), promotion_id=promotion.id)


def test_more_duties_exclude_more_people(cast: Cast, version: ModelVersion) -> None:
    study.put_in_force(cast, study.HOMOLOGATION + "separation_of_duties: []\n")
    promotion = to_homologation(cast, version)
    assert not promotion.exclusions.exists()
    changed(cast, study.HOMOLOGATION)
    settle_waiting()
    assert set(promotion.exclusions.values_list("person_id", flat=True)) == {cast.people["ana"].id}


def test_what_is_live_under_another_version_is_listed(cast: Cast, version: ModelVersion) -> None:
    by(cast, "bruno", to_homologation(cast, version))
    study.sequence()
    assert outdated_placements(Placement.objects.all(), timezone.now()) == []
    changed(cast, STRICTER)
    (found,) = outdated_placements(Placement.objects.all(), timezone.now())
    assert (found.placement.environment.name, found.pinned.n, found.in_force.n) == ("homologation", 1, 2)
    assert (found.policy_outdated, found.stale) == (True, [])
    later = timezone.now() + timezone.timedelta(days=31)
    (found,) = outdated_placements(Placement.objects.all(), later)
    assert [run.check_slug for run in found.stale] == ["bias.group_disparity"]


ACKNOWLEDGED = study.HOMOLOGATION + "acknowledge: [validator]\n"


def test_who_is_asked_acknowledges_before_deciding(cast: Cast, version: ModelVersion) -> None:
    study.put_in_force(cast, ACKNOWLEDGED)
    promotion = to_homologation(cast, version)
    with unchanged(refusals=1), pytest.raises(Conflict, match="policy_not_acknowledged"):
        by(cast, "bruno", promotion)
    given = {"name": "study-homologation", "n": 2}
    assert acknowledge_policy(command=cast.command("bruno"), **given).created
    with unchanged(refusals=0):
        assert not acknowledge_policy(command=cast.command("bruno"), **given).created
    by(cast, "bruno", promotion)
    promotion.refresh_from_db()
    assert promotion.state == "granted"


@pytest.mark.parametrize(
    ("name", "error", "code"),
    [("bia", Unprocessable, "acknowledgement_not_asked"), ("pipeline", Forbidden, "not_permitted")],
)
def test_who_is_not_asked(cast: Cast, version: ModelVersion, name: str, error: Any, code: str) -> None:
    study.put_in_force(cast, ACKNOWLEDGED)
    with unchanged(refusals=1), pytest.raises(error, match=code):
        acknowledge_policy(command=cast.command(name), name="study-homologation", n=2)


def test_a_new_version_is_to_be_acknowledged_again(cast: Cast, version: ModelVersion) -> None:
    study.put_in_force(cast, ACKNOWLEDGED)
    acknowledge_policy(command=cast.command("bruno"), name="study-homologation", n=2)
    promotion = to_homologation(cast, version)
    changed(cast, ACKNOWLEDGED.replace("count: 1", "count: 2"))
    settle_waiting()
    promotion.refresh_from_db()
    digest = assess(Promotion.objects.get(id=promotion.id), timezone.now()).digest
    with unchanged(refusals=1), pytest.raises(Conflict, match="policy_not_acknowledged"):
        decide(
            command=cast.command("bruno"),
            promotion_id=promotion.id,
            verdict="approve",
            reason="read",
            dossier_digest=digest,
        )
