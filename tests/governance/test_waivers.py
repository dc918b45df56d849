"""A waiver: one requirement, two people, an end; shown as waived, and what rests on it falls with it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from audits.errors import Conflict, Forbidden, Unprocessable
from audits.models import Event
from governance.models import Promotion, Waiver
from governance.policy.verdict import passed
from governance.services import sweeps
from governance.services.waivers import approve_waiver, refuse_waiver, request_waiver, revoke_waiver
from registry.models import ModelVersion
from tests import scenario
from tests.cast import Cast
from tests.governance.exceptional import (
    SEX_DISPARITY,
    ask,
    codes,
    give,
    later,
    live,
    move,
    waived,
    waiver,
    with_terms,
)
from tests.governance.test_at_once import at_once
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True)
TERMS = "waivers: {role: approver, max_days: 90}\n"


@pytest.fixture
def cast(committed_cast: Cast) -> Cast:
    return committed_cast


@pytest.fixture
def version(cast: Cast) -> ModelVersion:
    """In homologation; its disparity misses what production asks for."""
    return with_terms(cast, TERMS, strict=True)


def line_of(promotion: Promotion) -> dict[str, Any]:
    return next(
        line
        for line in promotion.requirements
        if (line["check"], line["metric"], line["attribute"]) == SEX_DISPARITY
    )


def test_without_one_the_requirement_refuses(cast: Cast, version: ModelVersion) -> None:
    promotion = scenario.complete_checks(scenario.request(cast, version, "production"))
    assert (promotion.state, line_of(promotion)["verdict"]) == ("refused", "failed")


def test_effective_only_once_published_and_waived_is_not_passed(cast: Cast, version: ModelVersion) -> None:
    row = waived(cast, version)
    promotion = scenario.complete_checks(scenario.request(cast, version, "production"))
    # approved, not in a checkpoint yet: neither granted on it nor refused for good
    assert promotion.state == "checking"
    scenario.publish()
    from governance.services.settling import settle_waiting

    settle_waiting()
    promotion.refresh_from_db()
    assert promotion.state == "awaiting_approval"
    line = line_of(promotion)
    assert line["verdict"] == "waived"
    assert line["reason"]["code"] == "waived"
    assert line["reason"]["params"]["waiver"] == str(row.id)
    assert line["reason"]["params"]["found"] == "failed"
    assert line["reason"]["params"]["cause"]["code"] == "limit_missed_min"
    assert [entry["verdict"] for entry in promotion.requirements].count("waived") == 1


def test_its_expiry_shuts_the_gate_between_sweeps_and_is_flagged(cast: Cast, version: ModelVersion) -> None:
    row = waived(cast, version)
    scenario.publish()
    live(cast, version)
    assert ask(version).allowed
    move("governance_waiver", row.id, expires_at=later(timedelta(seconds=-1)))
    answer = ask(version)
    assert (answer.allowed, codes(answer)) == (False, ["waiver_expired"])
    assert sweeps.flag_waivers() == [row.id]
    assert sweeps.flag_waivers() == []
    flagged = Event.objects.get(verb="placement.flagged")
    assert flagged.reason is not None
    assert flagged.reason["code"] == "waiver_expired"
    assert Event.objects.filter(verb="waiver.expired", subject_id=row.id).count() == 1


def test_a_new_one_opens_it_again(cast: Cast, version: ModelVersion) -> None:
    row = waived(cast, version)
    scenario.publish()
    live(cast, version)
    move("governance_waiver", row.id, expires_at=later(timedelta(seconds=-1)))
    waived(cast, version)
    assert codes(ask(version)) == ["waiver_expired"]
    scenario.publish()
    assert ask(version).allowed


def test_a_revocation_binds_at_commit(cast: Cast, version: ModelVersion) -> None:
    row = waived(cast, version)
    scenario.publish()
    live(cast, version)
    revoke_waiver(command=cast.command("rita"), waiver_id=row.id, reason="The control is not in place.")
    assert codes(ask(version)) == ["waiver_revoked"]


def test_expiry_while_people_decide_refuses(cast: Cast, version: ModelVersion) -> None:
    row = waived(cast, version)
    scenario.publish()
    promotion = scenario.complete_checks(scenario.request(cast, version, "production"))
    scenario.word(cast, "bruno", promotion)
    move("governance_waiver", row.id, expires_at=later(timedelta(seconds=-1)))
    with pytest.raises(Conflict) as refusal, unchanged(refusals=1):
        scenario.word(cast, "bia", promotion)
    assert refusal.value.code == "dossier_changed"
    sweeps.flag_waivers()
    promotion.refresh_from_db()
    assert promotion.state == "refused"


def test_one_that_takes_effect_voids_decisions(cast: Cast) -> None:
    version = with_terms(cast, TERMS)
    promotion = scenario.complete_checks(scenario.request(cast, version, "production"))
    scenario.word(cast, "bruno", promotion)
    before = promotion.dossier_digest
    waived(cast, version)
    scenario.publish()
    assert sweeps.reassess_changed() == [promotion.id]
    assert sweeps.reassess_changed() == []
    promotion.refresh_from_db()
    assert promotion.dossier_digest != before
    assert line_of(promotion)["verdict"] == "passed"  # what is met is met, whatever was waived
    scenario.word(cast, "bia", promotion)
    assert promotion.state == "awaiting_approval"


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"environment": "nowhere"}, "environment_unknown"),
        ({"environment": "test"}, "waivers_not_allowed"),
        ({"metric": "accuracy"}, "requirement_unknown"),
        ({"attribute": "age"}, "requirement_unknown"),
        ({"reason": " "}, "words_missing"),
        ({"compensating_control": ""}, "words_missing"),
        ({"expires_at": timedelta(days=91)}, "waiver_expiry"),
        ({"expires_at": timedelta(0)}, "waiver_expiry"),
    ],
)
def test_what_cannot_be_waived(cast: Cast, version: ModelVersion, given: dict[str, Any], code: str) -> None:
    check, metric, attribute = SEX_DISPARITY
    whole = {
        "environment": "production",
        "check": check,
        "metric": metric,
        "attribute": attribute,
        "reason": "r",
        "compensating_control": "c",
        "expires_at": timedelta(days=1),
        **given,
    }
    whole["expires_at"] = later(whole["expires_at"])
    with pytest.raises(Unprocessable) as refusal, unchanged(refusals=1):
        request_waiver(command=cast.command("ana"), version_id=version.id, **whole)
    assert refusal.value.code == code


def test_who_may_not_approve(cast: Cast, version: ModelVersion) -> None:
    row = waiver(cast, version)
    give(cast, "ana", "approver")
    for name, code in (
        ("ana", "own_waiver"),
        ("bruno", "waiver_role"),
        ("clara", "not_permitted"),
        ("pipeline", "not_permitted"),
    ):
        with pytest.raises(Forbidden) as refusal, unchanged(refusals=1):
            approve_waiver(command=cast.command(name), waiver_id=row.id, reason="yes")
        assert refusal.value.code == code
    with pytest.raises(Conflict) as conflict, unchanged(refusals=1):
        waiver(cast, version)
    assert conflict.value.code == "waiver_already_requested"
    refuse_waiver(command=cast.command("bia"), waiver_id=row.id, reason="no")
    with pytest.raises(Conflict), unchanged(refusals=1):
        approve_waiver(command=cast.command("bia"), waiver_id=row.id, reason="after all")
    scenario.publish()
    promotion = scenario.complete_checks(scenario.request(cast, version, "production"))
    assert promotion.state == "refused"


def test_the_author_does_not_approve_what_another_asked_for(cast: Cast, version: ModelVersion) -> None:
    check, metric, attribute = SEX_DISPARITY
    row = request_waiver(
        command=cast.command("bruno"),
        version_id=version.id,
        environment="production",
        check=check,
        metric=metric,
        attribute=attribute,
        reason="r",
        compensating_control="c",
        expires_at=later(),
    ).value
    give(cast, "ana", "approver")
    with pytest.raises(Forbidden) as refusal, unchanged(refusals=1):
        approve_waiver(command=cast.command("ana"), waiver_id=row.id, reason="mine")
    assert refusal.value.code == "hand_in_version"
    ana, bruno = cast.people["ana"].id, cast.people["bruno"].id
    with pytest.raises(IntegrityError, match="had a hand"), transaction.atomic():
        Waiver.objects.filter(id=row.id).update(decided_by=ana)
    with pytest.raises(IntegrityError, match="waiver_decided_by_another"), transaction.atomic():
        Waiver.objects.filter(id=row.id).update(decided_by=bruno)
    for statement in (
        "UPDATE governance_waiver SET state = 'approved'",
        "UPDATE governance_waiver SET expires_at = expires_at + interval '1 year'",
        "DELETE FROM governance_waiver",
    ):
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)


def test_a_double_click_approves_once(cast: Cast, version: ModelVersion) -> None:
    row = waiver(cast, version)

    def approve() -> str:
        try:
            approve_waiver(command=cast.command("bia"), waiver_id=row.id, reason="yes")
        except Conflict as refusal:
            return refusal.code
        return "approved"

    assert sorted(at_once(approve, approve, approve)) == [
        "approved",
        "waiver_transition",
        "waiver_transition",
    ]
    assert Event.objects.filter(verb="waiver.approved", outcome="done").count() == 1


def test_pending_is_never_waived() -> None:
    from audits.checks.contract import Message
    from governance.policy.verdict import RequirementVerdict, waive

    def line(verdict: Any) -> RequirementVerdict:
        return RequirementVerdict("c", "m", None, "min", 1.0, "point", 0.5, None, 9, verdict, Message("x"))

    found = waive(
        [line(verdict) for verdict in ("passed", "failed", "inconclusive", "errored", "stale", "pending")],
        {("c", "m", ""): {"until": "t"}},
    )
    assert [row.verdict for row in found] == ["passed", "waived", "waived", "waived", "waived", "pending"]
    assert passed(found[:5])
    assert not passed(found)
    assert waive([line("failed")], {("c", "m", "sex"): {}})[0].verdict == "failed"
