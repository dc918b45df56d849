"""The same thing asked by several at once, each on a connection and in a transaction of its own."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connections
from django.test import Client

from audits.actors import Command, system_actor
from audits.models import Event, IdempotencyRecord, SubjectHead
from governance.models import Decision, Placement, Promotion
from governance.services.identity import unbind_role
from governance.states import PlacementState
from registry.models import DatasetVersion, ModelVersion
from tests import study
from tests.cast import Cast

pytestmark = pytest.mark.django_db(transaction=True)
MANY = 6


@pytest.fixture
def cast(committed_cast: Cast) -> Cast:
    return committed_cast


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Results in the order of `calls`; all begin at the same moment."""
    barrier = Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        barrier.wait()
        try:
            return call()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def posting(cast: Cast, name: str, path: str, body: Any, **headers: str) -> Callable[[], Any]:
    given = {**cast.headers(name), **headers}

    def call() -> Any:
        client = Client(raise_request_exception=False)
        return client.post(f"/api/v1/{path}", body, content_type="application/json", headers=given)

    return call


def uploading(
    cast: Cast, path: str, part: str, content: bytes, metadata: Any, **headers: str
) -> Callable[[], Any]:
    given = {**cast.headers("pipeline"), **headers}

    def call() -> Any:
        data = {part: SimpleUploadedFile("upload", content), "metadata": json.dumps(metadata)}
        return Client(raise_request_exception=False).post(f"/api/v1/{path}", data, headers=given)

    return call


def statuses(answers: list[Any]) -> Counter[int]:
    return Counter(answer.status_code for answer in answers)


def gapless() -> None:
    """Every subject's events are numbered 1, 2, 3 … and its head stands at the last one."""
    for head in SubjectHead.objects.all():
        of_subject = Event.objects.filter(subject_kind=head.kind, subject_id=head.subject_id)
        numbers = sorted(of_subject.values_list("subject_seq", flat=True))
        assert numbers == list(range(1, head.seq + 1)), head.kind


def test_the_same_upload_is_one_version(cast: Cast) -> None:
    Client().post(
        "/api/v1/datasets",
        {"name": "patients"},
        content_type="application/json",
        headers=cast.headers("pipeline"),
    )
    declared = {"sensitive": {"sex": {}, "age": {"bins": [50]}}}
    upload = uploading(cast, "datasets/patients/versions", "file", study.CSV, declared)
    answers = at_once(*[upload] * MANY)
    assert statuses(answers) == {201: 1, 200: MANY - 1}
    assert DatasetVersion.objects.count() == 1

    study.use_case_with_policies(cast)
    Client().post(
        "/api/v1/models",
        {"name": "scoring"},
        content_type="application/json",
        headers=cast.headers("pipeline"),
    )
    upload = uploading(cast, "models/scoring/versions", "artifact", b"a model", study.metadata())
    answers = at_once(*[upload] * MANY)
    assert statuses(answers) == {201: 1, 200: MANY - 1}
    assert ModelVersion.objects.count() == 1
    gapless()


def test_different_uploads_are_numbered_without_a_gap(cast: Cast) -> None:
    study.study(cast)
    uploads = [
        uploading(cast, "models/progression/versions", "artifact", b"model %d" % n, study.metadata())
        for n in range(MANY)
    ]
    assert statuses(at_once(*uploads)) == {201: MANY}
    assert sorted(ModelVersion.objects.values_list("n", flat=True)) == list(range(1, MANY + 2))
    gapless()


@pytest.mark.parametrize("path", ["datasets", "models", "use-cases", "lineage"])
def test_the_same_name_is_one_row(cast: Cast, path: str) -> None:
    bodies = {
        "use-cases": {"name": "care", "purpose": "p", "risk_tier": "high"},
        "lineage": {
            "job": {"namespace": "n", "name": "split"},
            "run": {"runId": "r"},
            "inputs": [{"namespace": "s3", "name": f"in{n}"} for n in range(5)],
            "outputs": [{"namespace": "s3", "name": f"out{n}"} for n in range(5)],
        },
    }
    answers = at_once(*[posting(cast, "pipeline", path, bodies.get(path, {"name": "same"}))] * MANY)
    assert statuses(answers) == {201: 1, 200: MANY - 1}
    assert len({answer.json()["id"] for answer in answers}) == 1
    gapless()


def test_lineage_that_crosses_does_not_deadlock(cast: Cast) -> None:
    """The same nodes and edges, named in opposite orders."""
    names = [f"table{n}" for n in range(12)]

    def event(order: list[str], n: int) -> dict[str, Any]:
        nodes = [{"namespace": "s3", "name": name} for name in order]
        return {
            "job": {"namespace": "n", "name": "crossing"},
            "run": {"runId": f"run {n}"},
            "inputs": nodes[:6],
            "outputs": nodes[6:],
        }

    calls = [
        posting(cast, "pipeline", "lineage", event(names if n % 2 else names[::-1], n)) for n in range(MANY)
    ]
    assert statuses(at_once(*calls)) == {201: MANY}
    gapless()


@pytest.mark.parametrize("refused", [False, True])
def test_one_key_sent_at_once_has_one_effect(cast: Cast, refused: bool) -> None:
    """Whoever comes while it is answered is told so (409 request_in_flight) and may ask again."""
    name = "Not A Name" if refused else "patients"
    call = posting(cast, "pipeline", "datasets", {"name": name}, **{"Idempotency-Key": "once"})
    answers = at_once(*[call] * MANY)
    expected = 422 if refused else 201
    assert set(statuses(answers)) <= {expected, 409}
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} <= {"request_in_flight"}
    assert call().status_code == expected
    assert IdempotencyRecord.objects.count() == 1
    assert Event.objects.filter(verb="dataset.registered").count() == 1
    gapless()


def _two_awaiting(cast: Cast) -> list[Promotion]:
    versions = [study.study(cast), study.model_version(cast, b"another model")]
    for environment in ("development", "test"):
        for version in versions:
            study.ask(cast, version, environment)
        study.sequence()
    for version in versions:
        study.finish_checks(study.ask(cast, version, "homologation"))
    return list(Promotion.objects.filter(environment__name="homologation"))


def _decision(promotion: Promotion) -> dict[str, str]:
    promotion.refresh_from_db()
    return {"verdict": "approve", "reason": "figures seen", "dossier_digest": promotion.dossier_digest}


def test_two_requests_for_one_environment_are_one(cast: Cast) -> None:
    version = study.study(cast)
    study.ask(cast, version, "development")
    study.sequence()
    body = {"to": "test", "reason": "go on"}
    answers = at_once(*[posting(cast, "pipeline", "models/progression/versions/1/promotions", body)] * MANY)
    assert statuses(answers) == {201: 1, 409: MANY - 1}
    assert Promotion.objects.filter(environment__name="test").count() == 1
    assert Placement.objects.filter(environment__name="test").count() == 1
    gapless()


def test_one_person_decides_once(cast: Cast) -> None:
    promotion = _two_awaiting(cast)[0]
    call = posting(cast, "bruno", f"promotions/{promotion.id}/decisions", _decision(promotion))
    answers = at_once(*[call] * MANY)
    assert statuses(answers) == {201: 1, 409: MANY - 1}
    assert Decision.objects.filter(promotion=promotion).count() == 1
    assert Placement.objects.filter(promotion=promotion).count() == 1
    gapless()


def test_two_versions_reach_an_exclusive_environment_one_after_the_other(cast: Cast) -> None:
    for promotion in _two_awaiting(cast):
        posting(cast, "bruno", f"promotions/{promotion.id}/decisions", _decision(promotion))()
    study.sequence()
    waiting = [
        study.finish_checks(study.ask(cast, version, "production"))
        for version in ModelVersion.objects.order_by("n")
    ]
    calls = [
        posting(cast, person, f"promotions/{promotion.id}/decisions", _decision(promotion))
        for promotion in waiting
        for person in ("bruno", "bia")
    ]
    answers = at_once(*calls)
    assert statuses(answers) == {201: 4}
    placements = Placement.objects.filter(environment__name="production")
    assert sorted(placements.values_list("state", flat=True)) == ["live", "superseded"]
    assert placements.get(state=PlacementState.SUPERSEDED).successor == placements.get(
        state=PlacementState.LIVE
    )
    gapless()


def test_a_decision_and_the_end_of_its_role_have_an_order(cast: Cast) -> None:
    """Either the decision was first and stands, or the role was gone and it is refused. Never half of it."""
    promotion = _two_awaiting(cast)[0]
    binding = cast.people["bruno"].bindings.get(role="validator")
    decision = posting(cast, "bruno", f"promotions/{promotion.id}/decisions", _decision(promotion))

    def unbind() -> Any:
        return unbind_role(command=Command(system_actor("shell", cast.workspace.id)), binding=binding)

    answer, _ = at_once(decision, unbind)
    assert answer.status_code in (201, 403, 404)
    decided = Decision.objects.filter(promotion=promotion).count()
    assert decided == (1 if answer.status_code == 201 else 0)
    assert Event.objects.filter(verb="promotion.decided", outcome="done").count() == decided
    again = decision()
    assert again.status_code in (403, 404)
    gapless()
