"""What is said about a moment in the past is what was said at that moment: recorded answers are asked for again."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test import Client

from audits.errors import BadRequest, Forbidden, NotFound
from governance import as_of, gate
from governance.authority import roles_of_person
from governance.in_force import policy_for, versions_in_force
from governance.models import Environment, Placement, RoleBinding, UseCase
from governance.roles import ROLES
from governance.services.identity import bind_role, unbind_role
from governance.services.retirements import retire_version
from governance.services.rollbacks import roll_back
from governance.services.suspensions import reinstate_placement, suspend_placement, suspend_version
from registry.models import ModelVersion
from tests import study
from tests.cast import Cast

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass
class Recorder:
    """Asks everything, as it is asked now, and writes the answers down with the moment."""

    cast: Cast
    answers: list[tuple[datetime, dict[str, object]]] = field(default_factory=list)

    def now(self) -> None:
        time.sleep(0.02)  # an event's time is taken before its commit
        with connection.cursor() as cursor:
            cursor.execute("SELECT clock_timestamp()")
            at = cursor.fetchone()[0]
        self.answers.append((at, self.asked()))
        time.sleep(0.02)

    def asked(self) -> dict[str, object]:
        cast, told = self.cast, {}
        for version in ModelVersion.objects.order_by("n"):
            use_case = UseCase.objects.get(name=version.metadata["use_case"])
            for environment in Environment.objects.filter(workspace=cast.workspace):
                answer = gate.ask(
                    cast.workspace.id, version.artifact_digest, environment.name, version.model.name
                )
                policy = policy_for(use_case, environment)
                told[version.label, environment.name] = (
                    answer.allowed,
                    [reason.code for reason in answer.reasons],
                    policy.label if policy else None,
                )
        for name in ("ana", "bruno", "bia", "clara", "rita"):
            told[name] = sorted(roles_of_person(cast.workspace.id, cast.people[name].id))
        told["policies"] = sorted(version.label for version in versions_in_force(cast.workspace.id))
        return told

    def replayed(self, at: datetime, versions: list[str]) -> dict[str, object]:
        actor, told = self.cast.actor("clara"), {}
        state = None
        for label in versions:
            state = as_of.state_of(actor, label, at)
            policies = {row.environment: row.policy.label if row.policy else None for row in state.policies}
            for row in state.gate:
                told[label, row.environment] = (
                    row.answer.allowed,
                    [reason.code for reason in row.answer.reasons],
                    policies[row.environment],
                )
        roles = as_of.roles_at(self.cast.workspace.id, at)
        for name in ("ana", "bruno", "bia", "clara", "rita"):
            told[name] = sorted(row.role for row in roles if row.principal == self.cast.people[name].id)
        told["policies"] = sorted(
            row.label for row, _ in as_of.versions_in_force_at(self.cast.workspace.id, at)
        )
        return told


def to_production(cast: Cast, version: ModelVersion, recorder: Recorder) -> None:
    for environment in ("development", "test", "homologation", "production"):
        promotion = study.finish_checks(study.ask(cast, version, environment))
        recorder.now()
        promotion.refresh_from_db()
        for who in ("bruno", "bia"):
            promotion.refresh_from_db()
            if promotion.state == "awaiting_approval":
                from governance.services.decisions import decide

                decide(
                    command=cast.command(who),
                    promotion_id=promotion.id,
                    verdict="approve",
                    reason="within policy",
                    dossier_digest=promotion.dossier_digest,
                )
                recorder.now()
        study.sequence()
        recorder.now()


def life(cast: Cast) -> Recorder:
    """Two versions through everything that can become of them, with every answer recorded on the way."""
    recorder = Recorder(cast)
    first = study.study(cast)
    recorder.now()
    to_production(cast, first, recorder)
    second = study.model_version(cast, b"another model")
    to_production(cast, second, recorder)
    placement = Placement.objects.get(version=second, environment__name="production")
    suspend_placement(command=cast.command("bruno"), placement_id=placement.id, reason="drift")
    recorder.now()
    reinstate_placement(command=cast.command("bia"), placement_id=placement.id, reason="looked into")
    recorder.now()  # not effective yet
    study.sequence()
    recorder.now()
    roll_back(
        command=cast.command("bia"), model="progression", environment="production", reason="complaints", to=1
    )
    recorder.now()
    study.sequence()
    recorder.now()
    study.put_in_force(cast, study.PRODUCTION.replace("min: 0.8", "min: 0.85"))
    recorder.now()
    bind_role(command=study.shell(cast), role="validator", person=cast.people["rita"])
    recorder.now()
    unbind_role(
        command=study.shell(cast),
        binding=RoleBinding.objects.get(person=cast.people["bruno"], role="validator", revoked_at=None),
    )
    recorder.now()
    suspend_version(command=cast.command("bia"), version_id=first.id, reason="recall")
    recorder.now()
    retire_version(command=cast.command("bia"), version_id=second.id, reason="replaced")
    recorder.now()
    study.sequence()
    recorder.now()
    return recorder


def test_what_was_answered_then_is_what_is_answered_about_then(committed_cast: Cast) -> None:
    recorder = life(committed_cast)
    assert len(recorder.answers) > 25
    allowed = set()
    for at, recorded in recorder.answers:
        versions = [name[0] for name in recorded if isinstance(name, tuple)]
        assert recorder.replayed(at, list(dict.fromkeys(versions))) == recorded, at
        allowed.add(str([value[0] for key, value in recorded.items() if isinstance(key, tuple)]))  # type: ignore[index]
    assert len(allowed) > 6  # the answers were not all alike
    # The net below the door was on all the while, and every row is what its last event says.
    from audits.services.comparison import compare

    report = compare()
    assert (report.differences, report.holes, report.uncovered) == ([], [], 0)


def test_known_is_what_had_happened(committed_cast: Cast) -> None:
    recorder = Recorder(committed_cast)
    version = study.study(committed_cast)
    recorder.now()
    clara = committed_cast.actor("clara")
    before = as_of.state_of(clara, version.label, recorder.answers[0][0])
    assert ([told.event.verb for told in before.events], before.state) == (
        ["model_version.registered"],
        "registered",
    )
    suspend_version(command=committed_cast.command("bia"), version_id=version.id, reason="recall")
    after = as_of.state_of(clara, f"model_version:{version.id}", datetime.now(UTC))
    assert ([told.event.verb for told in after.events][-1], after.state) == (
        "model_version.suspended",
        "suspended",
    )
    long_ago = as_of.state_of(clara, version.label, datetime(2020, 1, 1, tzinfo=UTC))
    assert (long_ago.count, long_ago.events, long_ago.state, long_ago.roles, long_ago.policies, long_ago.gate) == (
        0, [], None, [], [], [],
    )  # fmt: skip
    assert as_of.state_of(clara, version.label, recorder.answers[0][0]).count == before.count


def test_who_may_ask_and_what_is_not_there(committed_cast: Cast) -> None:
    version = study.study(committed_cast)
    now = datetime.now(UTC)
    with pytest.raises(Forbidden):
        as_of.state_of(committed_cast.actor("ana"), version.label, now)
    for text in ("nobody@1", f"promotion:{version.id}"):
        with pytest.raises(NotFound):
            as_of.state_of(committed_cast.actor("clara"), text, now)
    for text in ("", "progression", "model_version:zzz", "promotion:" + "-" * 36):
        with pytest.raises(BadRequest):
            as_of.state_of(committed_cast.actor("clara"), text, now)


def test_over_http(committed_cast: Cast) -> None:
    version = study.study(committed_cast)
    client, headers = Client(), committed_cast.headers("clara")
    answer = client.get(f"/api/v1/audit/state?subject={version.label}", headers=headers).json()
    assert (answer["subject"]["label"], answer["state"], answer["count"]) == (version.label, "registered", 1)
    assert [row["environment"] for row in answer["gate"]] == [
        "development",
        "test",
        "homologation",
        "production",
    ]
    assert answer["gate"][0]["reasons"][0]["code"] == "not_promoted"
    assert {row["role"] for row in answer["roles"]} <= set(ROLES)
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
    answer = client.get(f"/api/v1/audit/state?subject={version.label}&at={yesterday}", headers=headers).json()
    assert (answer["count"], answer["roles"], answer["at"][:10]) == (0, [], yesterday)
    for at in ("yesterday", "2026-01-31T12:00:00", "2026-02-31"):
        bad = client.get(f"/api/v1/audit/state?subject={version.label}&at={at}", headers=headers)
        assert (bad.status_code, bad.json()["code"]) == (422, "invalid")


def test_the_page(committed_cast: Cast) -> None:
    version = study.study(committed_cast)
    client = Client()
    client.force_login(committed_cast.people["clara"])
    page = client.get("/admin/trail/state", {"subject": version.label})
    text = page.content.decode()
    assert page.status_code == 200
    for wanted in (version.label, "study-production@1", "Clara"):
        assert wanted in text
    assert client.get("/admin/trail/state", {"subject": "nobody@1"}).status_code == 404
    assert client.get("/admin/trail/state").status_code == 200
    client.force_login(committed_cast.people["ana"])
    assert client.get("/admin/trail/state").status_code == 403
