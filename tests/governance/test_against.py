"""What stands against a grant says the same everywhere: at the gate now and as of a time, in a batch, in the signed
list of what was revoked, in the attestation, and to whoever wants to roll back to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from django.db import DatabaseError, connection, connections, transaction

from audits.errors import Conflict, Refusal, Unprocessable
from audits.ids import uuid7
from audits.ledger.body import timestamp
from audits.ledger.notary import Notary
from audits.ledger.signing import checkpoint_key, make_keys
from audits.models import Event
from governance import clock, gate
from governance.models import BrokenGlass, Condition, Decision, Exclusion, Promotion
from governance.services.attestations import statement
from governance.services.conditions import report_condition, verify_condition
from governance.services.decisions import decide
from governance.services.findings import answer_finding, close_finding, open_finding, verify_finding
from governance.services.glass import break_glass, end_glass
from governance.services.revocations import revoked
from governance.services.rollbacks import roll_back
from governance.services.waivers import approve_waiver, revoke_waiver
from registry.models import ModelVersion
from tests import scenario, study
from tests.cast import Cast
from tests.governance import lifecycle
from tests.governance.exceptional import (
    ask,
    closed,
    codes,
    give,
    later,
    live,
    move,
    opened,
    waived,
    waiver,
    with_terms,
)
from tests.governance.test_signoffs import OUTSIDE, invited, signed
from tests.governance.test_signoffs import waiting as waiting_for_customer
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "migrator"])
PAST = timedelta(seconds=-1)
TERMS = "waivers: {role: approver, max_days: 90}\nvalid_for: 90d\n"


@pytest.fixture
def cast(committed_cast: Cast) -> Cast:
    return committed_cast


def then(version: ModelVersion, at: datetime) -> list[str]:
    """What the gate answered at that time, as codes; empty: allowed."""
    question = (version.workspace_id, version.artifact_digest, "production", version.model.name)
    return codes(gate.ask(*question, at=at))


def test_a_finding_as_of_a_time(cast: Cast) -> None:
    version = with_terms(cast, "")
    live(cast, version)
    before = clock.now()
    finding = opened(cast, version)
    during = clock.now()
    answer_finding(command=cast.command("ana"), finding_id=finding.id, text="Done.")
    verify_finding(command=cast.command("bruno"), finding_id=finding.id, holds=True, text="Seen.")
    verified = clock.now()
    close_finding(command=cast.command("bia"), finding_id=finding.id, text="Settled.")
    committed = clock.now()
    scenario.publish()
    after = clock.now()
    assert then(version, before) == []
    assert then(version, during) == then(version, verified) == ["finding_open"]
    assert then(version, committed) == ["closing_not_effective_yet"]
    assert then(version, after) == codes(ask(version)) == []


def test_waiver_condition_and_glass_as_of_a_time(cast: Cast) -> None:
    version = with_terms(cast, TERMS, strict=True)
    row = waived(cast, version)
    scenario.publish()
    due = later(timedelta(seconds=30))
    promotion = live(cast, version, [{"text": "Recalibrate.", "due": due}])
    condition = Condition.objects.get(promotion=promotion)
    granted = clock.now()
    # as if the clock had moved on: due after the grant, and over by now
    move("governance_condition", condition.id, due=granted)
    overdue = clock.now()
    report_condition(command=cast.command("ana"), condition_id=condition.id, text="Done.")
    verify_condition(command=cast.command("bia"), condition_id=condition.id, holds=True, text="Seen.")
    scenario.publish()
    fulfilled = clock.now()
    revoke_waiver(command=cast.command("bia"), waiver_id=row.id, reason="No control.")
    revoked_at = clock.now()
    give(cast, "clara", "incident_manager")
    glass = break_glass(
        command=cast.command("clara"), version_id=version.id, environment="production", reason="R.", hours=2
    ).value
    unpublished = clock.now()
    scenario.publish()
    broken = clock.now()
    end_glass(command=cast.command("clara"), glass_id=glass.id, reason="Over.")
    ended = clock.now()
    assert then(version, granted - timedelta(microseconds=1)) == []
    assert then(version, overdue) == ["condition_overdue"]
    assert then(version, fulfilled) == []
    assert then(version, revoked_at) == then(version, unpublished) == ["waiver_revoked"]
    assert then(version, broken) == ["glass_was_broken", "waiver_revoked"]
    assert then(version, ended) == codes(ask(version)) == ["waiver_revoked"]


def listed(promotion: Promotion) -> str | None:
    return {entry.promotion: entry.status for entry in revoked()}.get(str(promotion.id))


@pytest.fixture
def attested(cast: Cast) -> tuple[ModelVersion, Promotion]:
    """Live on a waiver and a condition, for ninety days, with an attestation."""
    version = with_terms(cast, TERMS, strict=True)
    waived(cast, version)
    scenario.publish()
    promotion = live(cast, version, [{"text": "Recalibrate.", "due": later()}])
    scenario.as_owner(
        "INSERT INTO governance_attestation (promotion_id, n, envelope, key_id, issued_at) "
        "VALUES (%s, 1, %s, 'k', now())",
        promotion.id, '{"payload":""}',
    )  # fmt: skip
    assert ask(version).allowed
    assert listed(promotion) is None
    return version, promotion


def shut_by_finding(cast: Cast, promotion: Promotion) -> None:
    opened(cast, promotion.version)


def shut_by_condition(cast: Cast, promotion: Promotion) -> None:
    move("governance_condition", Condition.objects.get().id, due=later(PAST))


def shut_by_waiver(cast: Cast, promotion: Promotion) -> None:
    move("governance_waiver", promotion.version.waivers.get().id, expires_at=later(PAST))


def shut_by_revocation(cast: Cast, promotion: Promotion) -> None:
    waiver_id = promotion.version.waivers.get().id
    revoke_waiver(command=cast.command("bia"), waiver_id=waiver_id, reason="No control.")


def shut_by_review(cast: Cast, promotion: Promotion) -> None:
    move("governance_placement", promotion.placement.id, created_at=later(timedelta(days=-91)))


@pytest.mark.past_the_door
@pytest.mark.parametrize(
    "shut", [shut_by_finding, shut_by_condition, shut_by_waiver, shut_by_revocation, shut_by_review]
)
def test_whatever_shuts_the_gate_is_in_the_list(
    cast: Cast, attested: tuple[ModelVersion, Promotion], shut: Callable[[Cast, Promotion], None]
) -> None:
    version, promotion = attested
    shut(cast, promotion)
    assert not ask(version).allowed
    assert listed(promotion) == "blocked"


@pytest.mark.past_the_door
def test_it_leaves_the_list_as_the_gate_opens(cast: Cast, attested: tuple[ModelVersion, Promotion]) -> None:
    version, promotion = attested
    closed(cast, opened(cast, version))
    assert (ask(version).allowed, listed(promotion)) == (True, None)
    opened(cast, version, "medium")  # below what the policy names
    assert (ask(version).allowed, listed(promotion)) == (True, None)


def test_an_attestation_ends_when_the_gate_would_shut_by_itself(
    cast: Cast, settings: Any, tmp_path: Path
) -> None:
    settings.CRIVO_PUBLISH = str(tmp_path / "published")
    make_keys()
    with _notary() as notary:
        version = study.study(cast)
        for environment in ("development", "test"):
            study.ask(cast, version, environment)
            notary.run_pass()
        promotion = study.finish_checks(study.ask(cast, version, "homologation"))
        due = [later(timedelta(days=9)), later(timedelta(days=3))]
        decide(
            command=cast.command("bruno"),
            promotion_id=promotion.id,
            verdict="approve",
            reason="seen",
            dossier_digest=promotion.dossier_digest,
            conditions=[{"text": "Then.", "due": moment} for moment in due],
        )
        notary.run_pass()
        granted = Promotion.objects.select_related("placement", "policy").get(id=promotion.id)
        assert statement(granted)["predicate"]["validUntil"] == timestamp(due[1])


class _notary:
    def __enter__(self) -> Notary:
        self.notary = Notary(checkpoint_key())
        assert self.notary.acquire()
        return self.notary

    def __exit__(self, *_: object) -> None:
        self.notary.release()


def test_many_versions_cost_what_one_costs(cast: Cast) -> None:
    from django.test.utils import CaptureQueriesContext

    first = lifecycle.open_ways(cast)
    rows = [first, lifecycle.another(cast, 2), lifecycle.another(cast, 3)]
    for version in rows:
        homologated(cast, version)
        _finding(cast, version)
    questions = [gate.Question(row.artifact_digest, "homologation") for row in rows]
    counts = []
    for some in (questions[:1], questions):
        with CaptureQueriesContext(connection) as captured:
            answers = gate.ask_all(cast.workspace.id, some)
        counts.append(len(captured))
        assert [codes(answer) for answer in answers] == [["finding_open"]] * len(some)
    assert counts[0] == counts[1]


def homologated(cast: Cast, version: ModelVersion) -> None:
    lifecycle.step_to(cast, version, "homologation")
    study.sequence()


def _finding(cast: Cast, version: ModelVersion) -> None:
    open_finding(
        command=cast.command("bruno"),
        version_id=version.id,
        severity="critical",
        owner="ana",
        due=later(),
        text="Look again.",
    )


def test_no_way_back_to_what_the_gate_would_refuse(cast: Cast) -> None:
    first = lifecycle.open_ways(cast)
    second = lifecycle.another(cast, 2)
    for version in (first, second):
        lifecycle.live(cast, version)
    _finding(cast, first)

    def back(to: int | None) -> None:
        roll_back(
            command=cast.command("rita"), model="progression", environment="production", reason="r", to=to
        )

    for to, code in ((None, "nothing_to_roll_back_to"), (1, "hindered_there")):
        with pytest.raises(Conflict) as refusal, unchanged(refusals=1):
            back(to)
        assert refusal.value.code == code
        assert [reason.code for reason in refusal.value.reasons] == ["finding_open"]
    assert lifecycle.says(cast, second) == "allowed"


def test_a_link_does_not_go_over_a_finding_nor_past_expiry(cast: Cast) -> None:
    version = study.study(cast)
    study.put_in_force(cast, OUTSIDE)
    promotion = waiting_for_customer(cast, version)
    link = invited(cast, promotion)
    _finding(cast, version)
    promotion.refresh_from_db()
    with pytest.raises(Unprocessable) as blocked, unchanged(refusals=1):
        signed(link, promotion.dossier_digest)
    assert blocked.value.code == "findings_block"
    move("governance_promotion", promotion.id, created_at=later(timedelta(days=-31)))
    with pytest.raises(Conflict) as expired, unchanged(refusals=1):
        signed(link, promotion.dossier_digest)
    assert expired.value.code == "promotion_expired"


def test_same_bytes_with_and_without_a_finding_are_ambiguous(cast: Cast) -> None:
    """Whoever registers the artefact once more does not get past what was found in it, where both stand."""
    first = lifecycle.open_ways(cast)
    homologated(cast, first)
    same = study.model_version(cast, seed=99)
    assert (same.artifact_digest, same.id != first.id) == (first.artifact_digest, True)
    homologated(cast, same)
    assert gate.ask(cast.workspace.id, first.artifact_digest, "homologation").allowed
    _finding(cast, first)
    answer = gate.ask(cast.workspace.id, first.artifact_digest, "homologation")
    assert (answer.allowed, codes(answer)) == (False, ["ambiguous"])


def test_glass_is_not_broken_over_a_suspension_of_the_same_bytes(cast: Cast) -> None:
    from governance.services.suspensions import suspend_version

    first = lifecycle.open_ways(cast)
    same = study.model_version(cast, seed=99)
    give(cast, "clara", "incident_manager")
    glass = break_glass(
        command=cast.command("clara"), version_id=same.id, environment="production", reason="R.", hours=2
    ).value
    study.sequence()
    question = (cast.workspace.id, same.artifact_digest, "production")
    assert gate.ask(*question).break_glass
    suspend_version(command=cast.command("bruno"), version_id=first.id, reason="Leaks.")
    assert not gate.ask(*question).allowed
    end_glass(command=cast.command("clara"), glass_id=glass.id, reason="Over.")
    with pytest.raises(Conflict) as refusal, unchanged(refusals=1):
        break_glass(
            command=cast.command("clara"), version_id=same.id, environment="production", reason="R.", hours=2
        )
    assert refusal.value.code == "restriction_stands"


# At once, each on a connection of its own


def at_once(*calls: Callable[[], Any]) -> Iterator[str]:
    """What came of each: done, or the code of its refusal."""
    barrier = Barrier(len(calls))

    def run(call: Callable[[], Any]) -> str:
        barrier.wait()
        try:
            call()
        except Refusal as refusal:
            return refusal.code
        finally:
            connections.close_all()
        return "done"

    with ThreadPoolExecutor(len(calls)) as pool:
        return iter(list(pool.map(run, calls)))


def deciding(cast: Cast, name: str, promotion: Promotion) -> Callable[[], Any]:
    return lambda: decide(
        command=cast.command(name),
        promotion_id=promotion.id,
        verdict="approve",
        reason="Within policy.",
        dossier_digest=promotion.dossier_digest,
    )


def test_a_finding_and_the_last_approval_have_an_order(cast: Cast) -> None:
    """Whichever is first: nothing the finding is about is let through."""
    promotion = scenario.awaiting_production(cast)
    deciding(cast, "bruno", promotion)()
    version = promotion.version
    decision, finding = at_once(deciding(cast, "bia", promotion), lambda: opened(cast, version))
    assert (decision, finding) in (("done", "done"), ("dossier_changed", "done"))
    promotion.refresh_from_db()
    assert promotion.state == ("granted" if decision == "done" else "awaiting_approval")
    scenario.publish()
    assert not ask(version).allowed


def test_a_finding_voids_what_was_decided_before(cast: Cast) -> None:
    promotion = scenario.awaiting_production(cast)
    deciding(cast, "bruno", promotion)()
    seen = promotion.dossier_digest
    closed(cast, opened(cast, promotion.version))
    promotion.refresh_from_db()
    assert promotion.dossier_digest != seen
    deciding(cast, "bia", promotion)()
    promotion.refresh_from_db()
    assert promotion.state == "awaiting_approval", "Bruno's word was about another dossier"
    deciding(cast, "bruno", promotion)()
    promotion.refresh_from_db()
    assert promotion.state == "granted"


def test_two_who_approve_a_waiver_at_once_approve_it_once(cast: Cast) -> None:
    version = with_terms(cast, TERMS, strict=True)
    row = waiver(cast, version)
    give(cast, "rita", "approver")

    def approving(name: str) -> Callable[[], Any]:
        return lambda: approve_waiver(command=cast.command(name), waiver_id=row.id, reason="Until then.")

    assert sorted(at_once(approving("bia"), approving("rita"))) == ["done", "waiver_transition"]
    assert Event.objects.filter(verb="waiver.approved", outcome="done").count() == 1


# What even a raw statement cannot do


def test_a_raw_decision_of_somebody_excluded_is_refused_by_the_database(cast: Cast) -> None:
    promotion = scenario.awaiting_production(cast)
    excluded = Exclusion.objects.filter(promotion=promotion).values_list("person_id", flat=True).distinct()
    assert excluded.count() >= 1
    for person in excluded:
        with (
            pytest.raises(DatabaseError, match="excluded"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(
                "INSERT INTO governance_decision (id, workspace_id, promotion_id, person_id, role, verdict,"
                " dossier_digest, event_id, created_at) VALUES (%s, %s, %s, %s, 'approver', 'approve', %s, %s, now())",
                [uuid7(), cast.workspace.id, promotion.id, person, promotion.dossier_digest, uuid7()],
            )
    assert not Decision.objects.filter(promotion=promotion).exists()
    for statement_ in ("DELETE FROM governance_exclusion", "UPDATE governance_exclusion SET duty = 'none'"):
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement_)
    assert not BrokenGlass.objects.exists()
