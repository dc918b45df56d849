"""The gate: now and as of a time, one question or five hundred, always the same number of queries."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.renderers import JSONRenderer

from audits import verbs
from audits.ledger.notary import Notary
from audits.ledger.signing import checkpoint_key
from audits.models import Checkpoint
from governance import gate, glass, hindrances, standings
from governance.api.serializers import GateOut
from governance.api.shapes import gate_answer
from governance.models import Placement
from governance.services.decisions import decide
from governance.services.rollbacks import roll_back
from governance.services.suspensions import (
    reinstate_placement,
    reinstate_version,
    suspend_placement,
    suspend_version,
    withdraw_placement,
)
from registry.models import ModelVersion
from tests import study
from tests.cast import Cast
from tests.governance.test_api import Caller, problem
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def cast(committed_cast: Cast) -> Cast:
    return committed_cast


@pytest.fixture
def notary(cast: Cast) -> Iterator[Notary]:
    notary = Notary(checkpoint_key())
    assert notary.acquire()
    yield notary
    notary.release()


def now() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        moment: datetime = cursor.fetchone()[0]
    return moment.astimezone(UTC)


def to_production(cast: Cast, notary: Notary, version: ModelVersion) -> Placement:
    for environment in ("development", "test", "homologation", "production"):
        promotion = study.finish_checks(study.ask(cast, version, environment))
        for person in {"homologation": ["bruno"], "production": ["bruno", "bia"]}.get(environment, []):
            decide(
                command=cast.command(person),
                promotion_id=promotion.id,
                verdict="approve",
                reason="seen",
                dossier_digest=promotion.dossier_digest,
            )
        if environment != "production":
            notary.run_pass()
    return Placement.objects.get(version=version, environment__name="production")


def suspend(cast: Cast, placement: Placement) -> None:
    suspend_placement(command=cast.command("rita"), placement_id=placement.id, reason="odd answers")


def reinstate(cast: Cast, placement: Placement) -> None:
    reinstate_placement(command=cast.command("bia"), placement_id=placement.id, reason="looked at it")


def withdraw(cast: Cast, placement: Placement) -> None:
    withdraw_placement(command=cast.command("rita"), placement_id=placement.id, reason="over")


def test_what_was_answered_then(cast: Cast, notary: Notary) -> None:
    first = study.study(cast)
    second = study.model_version(cast, b"another model")
    question = (cast.workspace.id, first.artifact_digest, "production")
    other = (cast.workspace.id, second.artifact_digest, "production")
    before = first.created_at - timedelta(seconds=1)
    registered = now()
    placement = to_production(cast, notary, first)
    granted = now()
    notary.run_pass()
    effective = now()
    replacing = to_production(cast, notary, second)
    waiting = now()
    notary.run_pass()
    replaced = now()
    suspend(cast, replacing)
    suspended = now()
    reinstate(cast, replacing)
    pending = now()
    notary.run_pass()
    reinstated = now()
    roll_back(command=cast.command("rita"), model=first.model.name, environment="production", reason="worse")
    gap = now()
    notary.run_pass()
    restored = now()
    withdraw(cast, placement)

    def told(which: tuple[Any, str, str], at: datetime) -> tuple[bool, list[str]]:
        answer = gate.ask(*which, at=at)
        return answer.allowed, [reason.code for reason in answer.reasons]

    assert told(question, before) == (False, ["unknown_digest"])
    assert told(question, registered) == (False, ["not_promoted"])
    assert told(question, granted) == (False, ["not_effective_yet"])
    assert told(question, effective) == (True, [])
    assert told(question, waiting) == (True, []), "its successor is granted and not effective yet"
    assert told(other, waiting) == (False, ["not_effective_yet"])
    assert told(question, replaced) == (False, ["superseded"])
    assert told(other, replaced) == (True, [])
    assert told(other, suspended) == (False, ["placement_suspended"])
    assert told(other, pending) == (False, ["reinstatement_not_effective_yet"])
    assert told(other, reinstated) == (True, [])
    assert told(question, reinstated) == (False, ["superseded"])
    assert told(question, gap) == (False, ["not_effective_yet"])
    assert told(other, gap) == (False, ["placement_withdrawn"])
    assert told(question, restored) == (True, [])
    assert told(other, now()) == (False, ["placement_withdrawn"])
    assert told(question, now()) == (False, ["placement_withdrawn"])
    for which in (question, other):
        answer = gate.ask(*which)
        assert told(which, now()) == (answer.allowed, [reason.code for reason in answer.reasons])
    published = Checkpoint.objects.filter(published_at__gt=granted).order_by("size")[0].published_at
    assert told(question, published - timedelta(microseconds=1))[0] is False
    assert told(question, published)[0] is True
    assert [row.placement.id for row in gate.ask(*question, at=effective).standings] == [placement.id]


def test_a_version_suspended_for_a_time(cast: Cast, notary: Notary) -> None:
    version = study.study(cast)
    question = (cast.workspace.id, version.artifact_digest, "development")
    study.ask(cast, version, "development")
    notary.run_pass()
    moments = [now()]
    suspend_version(command=cast.command("rita"), version_id=version.id, reason="odd answers")
    moments.append(now())
    reinstate_version(command=cast.command("bia"), version_id=version.id, reason="looked at it")
    moments.append(now())
    assert not gate.ask(*question).allowed
    notary.run_pass()
    assert gate.ask(*question).allowed
    moments.append(now())
    assert [gate.ask(*question, at=at).allowed for at in moments] == [True, False, False, True]
    assert gate.ask(*question, at=moments[2]).reasons[0].code == "reinstatement_not_effective_yet"
    assert gate.ask(*question, at=moments[1]).reasons[0].code == "version_suspended"


def test_every_verb_that_moves_a_placement_or_version_is_in_the_history() -> None:
    """A verb missing here would let history answer yes where the answer was no."""
    tables = {
        "placement.": standings.PLACEMENT_STATE_AFTER,
        "model_version.": standings.VERSION_STATE_AFTER,
        "finding.": hindrances.FINDING_STATE_AFTER,
        "waiver.": hindrances.WAIVER_STATE_AFTER,
        "condition.": hindrances.CONDITION_STATE_AFTER,
        "glass.": glass.GLASS_STATE_AFTER,
    }
    tell = {"placement.flagged", "waiver.expired", "condition.missed"}  # and move nothing
    for verb in verbs.all_verbs():
        for kind, table in tables.items():
            assert not verb.startswith(kind) or verb in table or verb in tell, verb


def queries(ask: Any) -> int:
    with CaptureQueriesContext(connection) as captured:
        ask()
    return len(captured)


def test_the_number_of_queries_is_fixed(cast: Cast, notary: Notary) -> None:
    first = study.study(cast)
    to_production(cast, notary, first)
    notary.run_pass()
    workspace = cast.workspace.id
    question = gate.Question(first.artifact_digest, "production")
    many = [question]
    for n in range(1, 6):
        version = study.model_version(cast, b"model %d" % n)
        to_production(cast, notary, version)  # six versions that wait on each other
        many += [gate.Question(version.artifact_digest, name) for name in ("production", "test", "moon")]
    assert queries(lambda: gate.ask_all(workspace, [question])) == 6
    several = queries(lambda: gate.ask_all(workspace, many))
    assert several <= 10
    then = now()
    assert queries(lambda: gate.ask_all(workspace, many, then)) <= 12
    assert queries(lambda: gate.ask(workspace, "sha256:" + "0" * 64, "production")) <= 9
    pipeline = Caller(cast, "pipeline")
    path = f"gate?digest={first.artifact_digest}&environment=production"
    assert pipeline.get(path).status_code == 200
    assert queries(lambda: pipeline.get(path)) <= 9, "token, roles, access log, and the six of the gate"
    notary.run_pass()
    assert queries(lambda: gate.ask_all(workspace, many)) == several
    assert queries(lambda: gate.ask_all(workspace, 9 * many)) == several


def test_an_answer_has_the_shape_that_describes_it(cast: Cast, notary: Notary) -> None:
    """It does not pass through the serializer, for speed: what it would have made of it is the same, to the byte."""
    version = study.study(cast)
    to_production(cast, notary, version)
    notary.run_pass()
    workspace, digest = cast.workspace.id, version.artifact_digest
    past = now().astimezone(timezone.get_fixed_timezone(-180))
    for environment, at in (("production", None), ("production", past), ("test", None), ("moon", None)):
        told = gate_answer(digest, environment, gate.ask(workspace, digest, environment, at=at), at)
        described = GateOut(told).data
        assert JSONRenderer().render(told) == JSONRenderer().render(described)
        assert set(told) == set(GateOut().fields)


def test_one_answer_for_each_question_in_their_order(cast: Cast, notary: Notary) -> None:
    version = study.study(cast)
    study.ask(cast, version, "development")
    notary.run_pass()
    pipeline = Caller(cast, "pipeline")
    unknown = "sha256:" + "0" * 64
    asked = [
        {"digest": version.artifact_digest, "environment": "development"},
        {"digest": unknown, "environment": "development"},
        {"digest": version.artifact_digest, "environment": "moon"},
        {"digest": version.artifact_digest, "environment": "development", "model": "other"},
        {"digest": version.artifact_digest, "environment": "production"},
    ]
    with unchanged(refusals=0):
        answer = pipeline.post("gate/questions", {"questions": asked * 100})
    assert answer.status_code == 200, answer.content
    answers = answer.json()["answers"]
    assert len(answers) == 500
    assert [row["allowed"] for row in answers[:5]] == [True, False, False, False, False]
    codes = [reason["code"] for row in answers[:5] for reason in row["reasons"]]
    assert codes == ["unknown_digest", "unknown_environment", "unknown_digest", "not_promoted"]
    for row, question in zip(answers, asked * 100, strict=True):
        assert (row["digest"], row["environment"]) == (question["digest"], question["environment"])
    single = pipeline.get(f"gate?digest={version.artifact_digest}&environment=development").json()
    assert single == answers[0]
    then = {"questions": asked[:1], "at": (version.created_at - timedelta(days=1)).isoformat()}
    assert pipeline.post("gate/questions", then).json()["answers"][0]["allowed"] is False


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"questions": []},
        {"questions": [{"digest": "sha256:" + "0" * 64, "environment": "test"}] * 501},
        {"questions": [{"digest": "md5:1", "environment": "test"}]},
        {"questions": [{"digest": "sha256:" + "0" * 64}]},
        {"questions": [{"digest": "sha256:" + "A" * 64, "environment": "test"}]},
        {"questions": "x"},
        {"questions": [{"digest": "sha256:" + "0" * 64, "environment": "test"}], "at": "tomorrow"},
        {"questions": [{"digest": "sha256:" + "0" * 64, "environment": "te\x00st"}]},
    ],
)
def test_a_malformed_list_of_questions(cast: Cast, body: Any) -> None:
    with unchanged(refusals=0):
        answer = Caller(cast, "pipeline").post("gate/questions", body)
    assert answer.status_code in (400, 422), answer.content


def test_a_future_answer_is_not_given(cast: Cast) -> None:
    at = (timezone.now() + timedelta(minutes=1)).isoformat()
    body = {"questions": [{"digest": "sha256:" + "0" * 64, "environment": "test"}], "at": at}
    problem(Caller(cast, "pipeline").post("gate/questions", body), 422, "at_in_future", "at")


def test_who_knows_the_answer_is_told_only_of_a_change(cast: Cast, notary: Notary) -> None:
    version = study.study(cast)
    path = f"/api/v1/gate?digest={version.artifact_digest}&environment=development"
    headers = cast.headers("pipeline")
    client = Client()
    first = client.get(path, headers=headers)
    tag = first.headers["ETag"]
    again = client.get(path, headers={**headers, "If-None-Match": tag})
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
    assert "no-cache" in first.headers["Cache-Control"]
    study.ask(cast, version, "development")
    notary.run_pass()
    changed = client.get(path, headers={**headers, "If-None-Match": tag})
    assert (changed.status_code, changed.json()["allowed"]) == (200, True)
    assert changed.headers["ETag"] != tag


def test_the_gate_asks_for_its_scope(cast: Cast) -> None:
    caller = Caller(cast, "davi")
    with unchanged(refusals=0):
        assert Client().post("/api/v1/gate/questions", {}, content_type="application/json").status_code == 401
        davi = caller.post(
            "gate/questions", {"questions": [{"digest": "sha256:" + "0" * 64, "environment": "test"}]}
        )
    assert davi.json()["answers"][0]["reasons"][0]["code"] == "unknown_digest"
