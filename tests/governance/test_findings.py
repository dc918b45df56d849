"""A finding: who may do what to it, what it shuts, and that decisions on the dossier before it are void."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from audits.errors import Conflict, Forbidden, NotFound, Unprocessable
from audits.models import Event
from governance.models import Finding, Promotion
from governance.services.findings import answer_finding, close_finding, open_finding, verify_finding
from tests import scenario
from tests.cast import Cast
from tests.governance.exceptional import (
    ask,
    closed,
    codes,
    later,
    live,
    opened,
    production_policy,
    with_terms,
)
from tests.governance.test_at_once import at_once
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def cast(committed_cast: Cast) -> Cast:
    return committed_cast


def test_an_open_finding_shuts_the_gate_at_once_and_its_closing_opens_it(cast: Cast) -> None:
    version = with_terms(cast, "")
    live(cast, version)
    assert ask(version).allowed
    finding = opened(cast, version)  # not published: a restriction binds at commit
    answer = ask(version)
    assert (answer.allowed, codes(answer)) == (False, ["finding_open"])
    assert answer.reasons[0].params == {"finding": str(finding.id), "severity": "high", "state": "open"}
    closed(cast, finding)
    assert ask(version).allowed


@pytest.mark.parametrize(
    ("severity", "block_at", "allowed"),
    [("medium", "high", True), ("high", "high", False), ("critical", "high", False), ("low", "low", False),
     ("high", "critical", True)],
)  # fmt: skip
def test_only_from_the_severity_the_policy_names(
    cast: Cast, severity: str, block_at: str, allowed: bool
) -> None:
    version = with_terms(cast, f"findings: {{block_at: {block_at}}}\n")
    live(cast, version)
    opened(cast, version, severity)
    assert ask(version).allowed is allowed


def test_answered_and_verified_are_still_open(cast: Cast) -> None:
    version = with_terms(cast, "")
    live(cast, version)
    finding = opened(cast, version)
    answer_finding(command=cast.command("ana"), finding_id=finding.id, text="Done.")
    assert codes(ask(version)) == ["finding_open"]
    verify_finding(command=cast.command("bruno"), finding_id=finding.id, holds=True, text="Seen.")
    assert codes(ask(version)) == ["finding_open"]
    with pytest.raises(Forbidden) as refusal, unchanged(refusals=1):
        close_finding(command=cast.command("bruno"), finding_id=finding.id, text="And closed.")
    assert refusal.value.code == "finding_closed_by_another"
    close_finding(command=cast.command("rita"), finding_id=finding.id, text="Settled.")
    assert codes(ask(version)) == ["closing_not_effective_yet"]  # it lets something through: like a grant
    scenario.publish()
    assert ask(version).allowed
    finding.refresh_from_db()
    people = cast.people
    assert (finding.state, finding.answered_by, finding.verified_by, finding.closed_by) == (
        "closed",
        people["ana"].id,
        people["bruno"].id,
        people["rita"].id,
    )
    assert list(
        Event.objects.filter(subject_kind="finding").order_by("subject_seq").values_list("verb", flat=True)
    ) == ["finding.opened", "finding.answered", "finding.verified", "finding.closed", "finding.closed"]


def test_an_answer_that_does_not_hold_opens_it_again(cast: Cast) -> None:
    finding = opened(cast, with_terms(cast, ""))
    answer_finding(command=cast.command("ana"), finding_id=finding.id, text="Done.")
    verify_finding(command=cast.command("bruno"), finding_id=finding.id, holds=False, text="It is not.")
    finding.refresh_from_db()
    assert (finding.state, finding.verified_by) == ("open", None)
    with pytest.raises(Conflict) as refusal, unchanged(refusals=1):
        close_finding(command=cast.command("bia"), finding_id=finding.id, text="Settled.")
    assert refusal.value.code == "finding_transition"


def test_it_voids_decisions_and_holds_a_request_until_it_is_closed(cast: Cast) -> None:
    waiting = scenario.awaiting_production(cast)
    scenario.word(cast, "bruno", waiting)
    before = waiting.dossier_digest
    finding = opened(cast, waiting.version, by="bruno")
    waiting.refresh_from_db()
    assert waiting.dossier_digest != before
    assert waiting.state == "awaiting_approval"
    with pytest.raises(Unprocessable) as blocked, unchanged(refusals=1):
        scenario.word(cast, "bia", waiting)
    assert (blocked.value.code, [reason.code for reason in blocked.value.reasons]) == (
        "findings_block",
        ["finding_open"],
    )
    closed(cast, finding)
    waiting.refresh_from_db()
    assert waiting.state == "awaiting_approval"  # Bruno's approval was of another dossier
    scenario.word(cast, "bia", waiting)
    assert waiting.state == "awaiting_approval"
    scenario.word(cast, "bruno", waiting)
    assert waiting.state == "granted"


def test_a_decision_on_the_dossier_before_the_finding_is_refused(cast: Cast) -> None:
    from governance.services.decisions import decide

    waiting = scenario.awaiting_production(cast)
    seen = waiting.dossier_digest
    opened(cast, waiting.version, "low")
    with pytest.raises(Conflict) as refusal, unchanged(refusals=1):
        decide(
            command=cast.command("bia"),
            promotion_id=waiting.id,
            verdict="approve",
            reason="yes",
            dossier_digest=seen,
        )
    assert refusal.value.code == "dossier_changed"


def test_closing_the_last_one_grants_what_waited_for_nothing_else(cast: Cast) -> None:
    scenario.policies(cast)
    version = scenario.register(cast)
    promotion = scenario.request(cast, version, "development")
    finding = opened(cast, version)
    assert scenario.complete_checks(promotion).state == "awaiting_approval"
    closed(cast, finding)
    promotion.refresh_from_db()
    assert promotion.state == "granted"


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"severity": "grave"}, "severity_unknown"),
        ({"owner": "nobody"}, "owner_unknown"),
        ({"owner": "davi"}, "owner_unknown"),
        ({"due": timedelta(seconds=-1)}, "due_in_the_past"),
        ({"text": "  "}, "words_missing"),
        ({"text": "x" * 4001}, "words_missing"),
        ({"evidence_digest": "sha256:ab"}, "digest_malformed"),
    ],
)
def test_what_is_no_finding_is_refused(cast: Cast, given: dict[str, Any], code: str) -> None:
    scenario.policies(cast)
    version = scenario.register(cast)
    whole = {"severity": "low", "owner": "ana", "due": later(), "text": "Look."}
    if "due" in given:
        given = {"due": later(given["due"])}
    with pytest.raises(Unprocessable) as refusal, unchanged(refusals=1):
        open_finding(command=cast.command("bruno"), version_id=version.id, **{**whole, **given})
    assert refusal.value.code == code


def test_who_may_not(cast: Cast) -> None:
    version = with_terms(cast, "")
    for name in ("pipeline", "bia", "clara"):
        with pytest.raises(Forbidden), unchanged(refusals=1):
            opened(cast, version, by=name)
    with pytest.raises(NotFound), unchanged(refusals=0):
        opened(cast, version, by="davi")
    finding = opened(cast, version, by="rita")
    with pytest.raises(Forbidden) as refusal, unchanged(refusals=1):
        answer_finding(command=cast.command("bruno"), finding_id=finding.id, text="Done.")
    assert refusal.value.code == "finding_not_yours"
    answer_finding(command=cast.command("ana"), finding_id=finding.id, text="Done.")
    with pytest.raises(Forbidden) as refusal, unchanged(refusals=1):
        verify_finding(command=cast.command("ana"), finding_id=finding.id, holds=True, text="It is.")
    assert refusal.value.code == "finding_is_yours"


def test_whoever_had_a_hand_in_the_version_does_not_judge_it(cast: Cast) -> None:
    version = with_terms(cast, "")
    finding = open_finding(
        command=cast.command("rita"),
        version_id=version.id,
        severity="high",
        owner="bruno",
        due=later(),
        text="Look.",
    ).value
    answer_finding(command=cast.command("bruno"), finding_id=finding.id, text="Looked.")
    with pytest.raises(Forbidden) as refusal, unchanged(refusals=1):
        verify_finding(command=cast.command("ana"), finding_id=finding.id, holds=True, text="Fine.")
    assert refusal.value.code == "hand_in_version"
    with pytest.raises(IntegrityError, match="had a hand"), transaction.atomic():
        Finding.objects.filter(id=finding.id).update(verified_by=cast.people["ana"].id)
    with pytest.raises(IntegrityError, match="finding_not_verified_by_owner"), transaction.atomic():
        Finding.objects.filter(id=finding.id).update(verified_by=cast.people["bruno"].id)


def test_a_raw_statement_neither_closes_deletes_nor_softens_it(cast: Cast) -> None:
    version = with_terms(cast, "")
    finding = opened(cast, version)
    for statement in (
        "UPDATE governance_finding SET state = 'closed'",
        "UPDATE governance_finding SET severity = 'low'",
        "UPDATE governance_finding SET state = 'gone'",
        "DELETE FROM governance_finding",
        f"UPDATE governance_finding SET state = 'closed', verified_by = '{cast.people['bruno'].id}', "
        f"closed_by = '{cast.people['bruno'].id}'",
    ):
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    finding.refresh_from_db()
    assert (finding.state, finding.severity) == ("open", "high")


def test_a_finding_and_the_last_approval_at_once_never_pass_each_other(cast: Cast) -> None:
    waiting = scenario.awaiting_production(cast)
    scenario.word(cast, "bruno", waiting)
    outcomes: list[str] = []

    def approve() -> None:
        try:
            scenario.word(cast, "bia", Promotion.objects.get(id=waiting.id))
            outcomes.append("approved")
        except (Conflict, Unprocessable) as refusal:
            outcomes.append(refusal.code)

    at_once(approve, lambda: opened(cast, waiting.version))
    waiting.refresh_from_db()
    scenario.publish()
    assert not ask(waiting.version).allowed  # whichever came first
    if outcomes == ["approved"]:
        assert waiting.state == "granted"
    else:
        assert outcomes[0] in ("dossier_changed", "findings_block")
        assert waiting.state == "awaiting_approval"


def test_two_who_close_at_once_close_once(cast: Cast) -> None:
    version = with_terms(cast, "")
    finding = opened(cast, version)
    answer_finding(command=cast.command("ana"), finding_id=finding.id, text="Done.")
    verify_finding(command=cast.command("bruno"), finding_id=finding.id, holds=True, text="Seen.")

    def close(name: str) -> str:
        try:
            close_finding(command=cast.command(name), finding_id=finding.id, text="Settled.")
        except Conflict as refusal:
            return refusal.code
        return "closed"

    assert sorted(at_once(lambda: close("bia"), lambda: close("rita"))) == ["closed", "finding_transition"]
    assert Event.objects.filter(verb="finding.closed", outcome="done").count() == 1


def test_a_later_policy_does_not_change_what_was_pinned(cast: Cast) -> None:
    version = with_terms(cast, "findings: {block_at: low}\n")
    live(cast, version)
    production_policy(cast, "findings: {block_at: critical}\n")
    opened(cast, version, "low")
    assert codes(ask(version)) == ["finding_open"]
