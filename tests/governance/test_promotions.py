"""The way to production, by services: what opens the gate, what keeps it shut, and that a refusal changes nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, connections, transaction
from django.utils import timezone

from audits.errors import Conflict, Forbidden, NotFound, Unprocessable
from audits.models import CheckRun, Event
from audits.services.check_runs import obtain_run
from governance import gate, selectors
from governance.dossier import assess
from governance.models import Decision, Placement, PolicyVersion, Promotion
from governance.services.decisions import decide
from governance.services.evidence import questions
from governance.services.promotions import withdraw_promotion
from governance.services.reopening import outdated
from registry.models import ModelVersion
from tests import study
from tests.cast import Cast
from tests.governance.exceptional import later, move
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def cast(committed_cast: Cast) -> Cast:
    return committed_cast


@pytest.fixture
def version(cast: Cast) -> ModelVersion:
    return study.study(cast)


def to_homologation(cast: Cast, version: ModelVersion) -> Promotion:
    for environment in ("development", "test"):
        study.ask(cast, version, environment)
        study.sequence()
    return study.finish_checks(study.ask(cast, version, "homologation"))


def by(cast: Cast, name: str, promotion: Promotion, verdict: str = "approve", digest: str = "") -> Decision:
    return decide(
        command=cast.command(name),
        promotion_id=promotion.id,
        verdict=verdict,
        reason="read and understood",
        dossier_digest=digest or promotion.dossier_digest,
    ).value


def to_production(cast: Cast, version: ModelVersion) -> Promotion:
    by(cast, "bruno", to_homologation(cast, version))
    study.sequence()
    return study.finish_checks(study.ask(cast, version, "production"))


def test_the_whole_way(cast: Cast, version: ModelVersion) -> None:
    promotion = to_production(cast, version)
    assert promotion.state == "awaiting_approval"
    by(cast, "bruno", promotion)
    promotion.refresh_from_db()
    assert promotion.state == "awaiting_approval", "the approver is still missing"
    by(cast, "bia", promotion)
    promotion.refresh_from_db()
    assert promotion.state == "granted"
    question = (cast.workspace.id, version.artifact_digest, "production")
    waiting = gate.ask(*question)
    assert not waiting.allowed
    assert waiting.reasons[0].code == "not_effective_yet"
    study.sequence()
    assert gate.ask(*question).allowed
    assert not gate.ask(cast.workspace.id, "sha256:" + "0" * 64, "production").allowed
    assert selectors.effect_of(promotion.placement).at is not None
    assert [
        event.verb for event in Event.objects.filter(subject_id=promotion.id).order_by("subject_seq")
    ] == [
        "promotion.requested",
        "promotion.checked",
        "promotion.decided",
        "promotion.decided",
        "promotion.granted",
    ]


def test_every_training_set_is_read_by_the_checks(cast: Cast, version: ModelVersion) -> None:
    """Not only the first: else a row of the second that is in the evaluation data would pass as unseen."""
    second = study.dataset_version(cast, study.CSV + b"33,1,27.0,1\n")
    both = study.model_version(cast, training=["patients@1", "patients@2"])
    (question,) = questions(both, {"checks": [{"check": "evaluation.performance", "require": []}]})
    digests = {item.role: item.digest for item in question["materials"]}
    assert digests == {
        "artifact": both.artifact_digest,
        "training": version.evaluation.digest,
        "training:2": second.digest,
        "evaluation": both.evaluation.digest,
    }
    run = obtain_run(cast.actor("pipeline"), **question, confinement_level=1, fresh_since=timezone.now())
    assert [item["role"] for item in run.input["materials"]] == list(digests)
    assert run.input["materials"][1]["format"] == "csv"


def test_the_same_evidence_is_measured_once(cast: Cast, version: ModelVersion) -> None:
    to_production(cast, version)
    assert CheckRun.objects.count() == 1


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (study.ratio_result(0.628), "limit_missed_min"),
        (study.errored_result("timeout"), "timeout"),
        (study.ratio_result(0.86).__class__("completed"), "metric_absent"),
    ],
)
def test_what_is_not_passed_refuses(cast: Cast, version: ModelVersion, result: Any, code: str) -> None:
    for environment in ("development", "test"):
        study.ask(cast, version, environment)
        study.sequence()
    promotion = study.finish_checks(study.ask(cast, version, "homologation"), result)
    assert promotion.state == "refused"
    assert promotion.outcome["reasons"][0]["params"]["cause"]["code"] == code
    assert not Placement.objects.filter(environment__name="homologation").exists()
    # trying again is a new request; a finished run is evidence, an errored one is measured again
    again = study.ask(cast, version, "homologation")
    assert again.id != promotion.id
    assert again.state == ("checking" if code == "timeout" else "refused")


@pytest.mark.parametrize(
    ("name", "error", "code"),
    [
        ("ana", Forbidden, "separation_of_duties"),
        ("bia", Forbidden, "role_without_slot"),
        ("clara", Forbidden, "not_permitted"),
        ("pipeline", Forbidden, "not_permitted"),
        ("davi", NotFound, "not_found"),
    ],
)
def test_who_may_not_decide(cast: Cast, version: ModelVersion, name: str, error: Any, code: str) -> None:
    promotion = to_homologation(cast, version)
    with unchanged(refusals=0 if name == "davi" else 1), pytest.raises(error, match=code):
        by(cast, name, promotion)
    if name != "davi":
        refusal = Event.objects.filter(subject_id=promotion.id).latest("subject_seq")
        assert (refusal.verb, refusal.outcome, refusal.reason["code"]) == (
            "promotion.decided",
            "refused",
            code,
        )


def test_a_decision_is_pinned_to_the_dossier(cast: Cast, version: ModelVersion) -> None:
    promotion = to_homologation(cast, version)
    with unchanged(refusals=1), pytest.raises(Conflict, match="dossier_changed"):
        by(cast, "bruno", promotion, digest="sha256:" + "1" * 64)


@pytest.mark.parametrize(
    ("verdict", "code"), [("reject", "rejected_by_reviewer"), ("request_changes", "changes_requested")]
)
def test_a_no_is_final(cast: Cast, version: ModelVersion, verdict: str, code: str) -> None:
    promotion = to_homologation(cast, version)
    by(cast, "bruno", promotion, verdict)
    promotion.refresh_from_db()
    assert (promotion.state, promotion.outcome["code"]) == ("refused", code)
    with unchanged(refusals=1), pytest.raises(Conflict, match="promotion_not_awaiting"):
        by(cast, "bruno", promotion)


def test_evidence_that_aged_while_people_read_grants_nothing(cast: Cast, version: ModelVersion) -> None:
    """The verdict is taken again in the transaction of the last approval; who asks again has it measured again."""
    promotion = to_homologation(cast, version)
    assert promotion.state == "awaiting_approval"
    assert {line["verdict"] for line in promotion.requirements} == {"passed"}
    run = promotion.checks.get().run
    move("audits_check_run", run.id, finished_at=later(timedelta(days=-30)))
    by(cast, "bruno", promotion)
    promotion.refresh_from_db()
    assert promotion.state == "refused"
    assert promotion.outcome is not None
    assert promotion.outcome["reasons"][0]["params"]["cause"]["code"] == "evidence_stale"
    told = Event.objects.filter(subject_id=promotion.id).order_by("subject_seq")
    assert list(told.values_list("verb", flat=True))[-2:] == ["promotion.decided", "promotion.refused"]
    assert not Placement.objects.filter(environment__name="homologation").exists()
    again = study.ask(cast, version, "homologation")
    assert again.state == "checking"
    assert again.checks.get().run_id != run.id


def test_no_step_is_skipped(cast: Cast, version: ModelVersion) -> None:
    for to in ("test", "homologation", "production"):
        with unchanged(refusals=1), pytest.raises(Conflict, match="not_the_next_environment"):
            study.ask(cast, version, to)
    with unchanged(refusals=1), pytest.raises(Unprocessable, match="environment_unknown"):
        study.ask(cast, version, "moon")


def test_the_step_before_must_be_effective(cast: Cast, version: ModelVersion) -> None:
    study.ask(cast, version, "development")
    with unchanged(refusals=1), pytest.raises(Conflict, match="preceding_not_effective"):
        study.ask(cast, version, "test")
    study.sequence()
    assert study.ask(cast, version, "test").state == "granted"


def test_without_a_policy_the_answer_is_no(cast: Cast) -> None:
    version = study.study(cast)
    moved = study.OPEN.format(environment="development").replace(
        "environment: development}", "environment: test}"
    )
    study.put_in_force(cast, moved)
    PolicyVersion.objects.filter(name="development").update(current=False)  # the tier's own, too
    with unchanged(refusals=1), pytest.raises(Unprocessable, match="no_policy"):
        study.ask(cast, version, "development")


def test_two_policies_for_one_step_are_refused(cast: Cast, version: ModelVersion) -> None:
    study.put_in_force(
        cast, study.OPEN.format(environment="development").replace("study-development", "another")
    )
    with unchanged(refusals=1), pytest.raises(Unprocessable, match="policies_overlap"):
        study.ask(cast, version, "development")


def test_a_version_supersedes_the_one_before_only_once_effective(cast: Cast, version: ModelVersion) -> None:
    first = to_production(cast, version)
    by(cast, "bruno", first)
    by(cast, "bia", first)
    study.sequence()
    second_version = study.model_version(cast, artifact=b"a better model")
    second = to_production(cast, second_version)
    by(cast, "bruno", second)
    by(cast, "bia", second)
    old = (cast.workspace.id, version.artifact_digest, "production")
    new = (cast.workspace.id, second_version.artifact_digest, "production")
    assert (gate.ask(*old).allowed, gate.ask(*new).allowed) == (True, False)
    study.sequence()
    assert (gate.ask(*old).allowed, gate.ask(*new).allowed) == (False, True)
    assert gate.ask(*old).reasons[0].code == "superseded"


def test_withdrawn_is_final(cast: Cast, version: ModelVersion) -> None:
    promotion = to_homologation(cast, version)
    command = cast.command("pipeline")
    withdraw_promotion(command=command, promotion_id=promotion.id, reason="a mistake")
    with unchanged(refusals=1), pytest.raises(Conflict, match="promotion_transition"):
        withdraw_promotion(command=command, promotion_id=promotion.id, reason="a mistake")
    with unchanged(refusals=1), pytest.raises(Conflict, match="promotion_not_awaiting"):
        by(cast, "bruno", promotion)


def test_a_raw_insert_does_not_get_past_separation_of_duties(cast: Cast, version: ModelVersion) -> None:
    promotion = to_homologation(cast, version)
    with pytest.raises(IntegrityError, match="had a hand in this version"), transaction.atomic():
        Decision.objects.create(
            workspace=cast.workspace,
            promotion=promotion,
            person_id=cast.people["ana"].id,
            role="validator",
            verdict="approve",
            dossier_digest=promotion.dossier_digest,
            event_id=uuid4(),
        )


def test_two_clicks_are_one_decision(cast: Cast, version: ModelVersion) -> None:
    promotion = to_homologation(cast, version)
    outcomes = concurrently(lambda: by(cast, "bruno", promotion), times=4)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict"] * 3 + ["Decision"]
    assert Decision.objects.count() == 1
    assert Placement.objects.filter(environment__name="homologation").count() == 1


def test_checks_finishing_at_once_settle_once(cast: Cast, version: ModelVersion) -> None:
    promotion = to_homologation(cast, version)
    from governance.services.promotions import settle_promotion

    before = Event.objects.filter(subject_id=promotion.id).count()
    outcomes = concurrently(
        lambda: settle_promotion(command=cast.command("bruno"), promotion_id=promotion.id), times=4
    )
    assert not [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    assert Event.objects.filter(subject_id=promotion.id).count() == before


def test_the_dossier_digest_does_not_depend_on_decisions(cast: Cast, version: ModelVersion) -> None:
    from django.utils import timezone

    promotion = to_production(cast, version)
    before = assess(promotion, timezone.now()).digest
    by(cast, "bruno", promotion)
    assert assess(promotion, timezone.now()).digest == before


def concurrently(call: Callable[[], Any], times: int) -> list[Any]:
    barrier, outcomes = threading.Barrier(times), []

    def work() -> None:
        barrier.wait()
        try:
            outcomes.append(call())
        except Exception as error:
            outcomes.append(error)
        finally:
            connections["default"].close()

    threads = [threading.Thread(target=work) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert connection.alias == "default"
    return outcomes


class TestEnvironmentLock:
    """A policy may ask for the lock of the environment: what a version was made with can be looked up for good."""

    def asked(self, cast: Cast, wanted: str) -> None:
        text = study.OPEN.format(environment="development") + f"environment_lock: {wanted}\n"
        study.put_in_force(cast, text)

    def test_without_it_the_request_is_refused_and_nothing_changes(
        self, cast: Cast, version: ModelVersion
    ) -> None:
        self.asked(cast, "kept")
        with unchanged(refusals=1), pytest.raises(Unprocessable) as refusal:
            study.ask(cast, version, "development")
        assert refusal.value.code == "environment_lock_missing"
        study.kept_lock(cast, version)
        assert study.ask(cast, version, "development").state == "granted"

    def test_exact_asks_for_every_version(self, cast: Cast, version: ModelVersion) -> None:
        self.asked(cast, "exact")
        lock = b"numpy==2.4.0\npandas\n"
        loose = study.model_version(cast, environment_digest=f"sha256:{sha256(lock).hexdigest()}")
        study.kept_lock(cast, loose, lock)
        with unchanged(refusals=1), pytest.raises(Unprocessable) as refusal:
            study.ask(cast, loose, "development")
        assert (refusal.value.code, refusal.value.message.params["packages"]) == ("environment_lock_open", 1)
        study.kept_lock(cast, version)
        assert study.ask(cast, version, "development").state == "granted"

    def test_an_open_request_is_held_against_a_policy_that_asks_for_it_now(
        self, cast: Cast, version: ModelVersion
    ) -> None:
        promotion = to_homologation(cast, version)
        study.put_in_force(cast, study.HOMOLOGATION + "environment_lock: kept\n")
        assert outdated(promotion) == ""  # none in force that it could pass
        study.kept_lock(cast, version)
        assert outdated(promotion) == "study-homologation@2"
