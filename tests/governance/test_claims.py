"""What a version claims and our figures do not bear out: Crivo objects by itself, before anything is let through."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse

from audits.checks.contract import CheckResult, Message, Metric
from audits.models import CheckRun, Event
from governance.models import Finding, Promotion
from governance.services.promotions import withdraw_promotion
from governance.services.settling import settle_after_check, settle_waiting
from registry.models import ModelVersion
from tests import study
from tests.cast import Cast
from tests.governance.exceptional import closed
from tests.governance.test_api import Caller
from tests.governance.test_evaluation_sets import register as register_exam

pytestmark = pytest.mark.django_db(transaction=True)

POLICY = """
policy: study-development
applies_to: {{use_case: care, environment: development}}
checks:
  - check: evaluation.performance
    parameters: {parameters}
    require: [{{metric: accuracy, min: 0.5, bound: point}}]
approvals: {approvals}
"""


@pytest.fixture
def cast(committed_cast: Cast) -> Cast:
    return committed_cast


def performance(accuracy: float | None = 0.80, **others: float) -> CheckResult:
    """Recomputed figures; the interval of each is 0.05 to both sides."""
    figures = {"accuracy": accuracy, **others}
    undefined = Message("one_class_only")
    return CheckResult(
        "completed",
        tuple(
            Metric(name, None, undefined=undefined)
            if value is None
            else Metric(name, value, interval=(value - 0.05, value + 0.05), level=0.95, n=200)
            for name, value in figures.items()
        ),
    )


def asked(
    cast: Cast,
    approvals: str = "[]",
    parameters: str = "{}",
    extra: str = "",
    author: str = "ana",
    **claims: float,
) -> Promotion:
    """A request for development; the one check of its policy is queued."""
    study.use_case_with_policies(cast)
    study.put_in_force(cast, POLICY.format(approvals=approvals, parameters=parameters) + extra)
    study.dataset_version(cast)
    return study.ask(cast, study.model_version(cast, claimed_metrics=claims, author=author), "development")


def computed(promotion: Promotion, result: CheckResult) -> CheckRun:
    """What the worker writes down, and the message about it is lost."""
    run = promotion.checks.select_related("run").get().run
    study.complete(run, result)
    run.refresh_from_db()
    return run


def test_a_claim_that_says_too_much_opens_a_finding_before_anything_is_let_through(cast: Cast) -> None:
    promotion = asked(cast, accuracy=0.85)
    run = computed(promotion, performance(0.80))
    settle_after_check(run.id)
    finding = Finding.objects.get()
    version: ModelVersion = promotion.version
    assert (finding.severity, finding.state, finding.owner_id, finding.opened_by) == (
        "high",
        "open",
        cast.people["ana"].id,
        None,
    )
    assert (finding.metric, finding.measured_on, finding.evidence_digest) == (
        "accuracy",
        version.evaluation.digest,
        run.result_digest,
    )
    assert finding.reason == {
        "code": "claim_differs",
        "params": {"metric": "accuracy", "claimed": 0.85, "found": 0.8, "tolerance": 0.01},
    }
    event = Event.objects.get(verb="finding.opened")
    assert (event.actor_kind, event.reason, event.detail["check_run"]) == (
        "system",
        finding.reason,
        str(run.id),
    )
    promotion.refresh_from_db()
    assert promotion.state == "awaiting_approval", "nobody has to approve, and yet it waits"
    closed(cast, finding)
    promotion.refresh_from_db()
    assert promotion.state == "granted"


def test_the_sweep_alone_does_not_let_it_through_either(cast: Cast) -> None:
    promotion = asked(cast, accuracy=0.85)
    computed(promotion, performance(0.80))
    settle_waiting()
    promotion.refresh_from_db()
    assert (promotion.state, Finding.objects.count()) == ("awaiting_approval", 1)


def test_told_twice_it_objects_once_and_closed_it_stays_closed(cast: Cast) -> None:
    promotion = asked(cast, approvals="[{role: validator, count: 1}]", accuracy=0.85)
    run = computed(promotion, performance(0.80))
    for _ in range(3):
        settle_after_check(run.id)
        settle_waiting()
    closed(cast, Finding.objects.get())
    settle_after_check(run.id)
    assert [row.state for row in Finding.objects.all()] == ["closed"]
    # another request is answered by the same run
    withdraw_promotion(command=cast.command("pipeline"), promotion_id=promotion.id, reason="again")
    again = study.ask(cast, promotion.version, "development")
    assert again.checks.get().run_id == run.id
    assert Finding.objects.count() == 1


@pytest.mark.parametrize(
    ("claims", "found", "parameters", "severities"),
    [
        ({"accuracy": 0.809}, {"accuracy": 0.80}, "{}", []),
        ({"accuracy": 0.85}, {"accuracy": 0.80}, "{claim_tolerance: 0.1}", []),
        ({"accuracy": 0.805}, {"accuracy": 0.80}, "{claim_tolerance: 0.001}", ["high"]),
        ({"accuracy": 0.70}, {"accuracy": 0.80}, "{}", ["low"]),
        ({"auc": 0.95}, {"accuracy": 0.80, "roc_auc": 0.90}, "{}", ["high"]),
        ({"brier": 0.10}, {"accuracy": 0.80, "brier_score": 0.20}, "{}", ["high"]),
        ({"brier": 0.30}, {"accuracy": 0.80, "brier_score": 0.20}, "{}", ["low"]),
        ({"accuracy": 0.9, "auc": 0.9}, {"accuracy": 0.80, "roc_auc": 0.70}, "{}", ["high", "high"]),
        ({"lift_at_10": 3.0}, {"accuracy": 0.80}, "{}", []),
        ({"accuracy": 0.9}, {"accuracy": None}, "{}", []),
    ],
)
def test_which_claims_and_how_grave(
    cast: Cast, claims: dict[str, float], found: dict[str, Any], parameters: str, severities: list[str]
) -> None:
    promotion = asked(cast, parameters=parameters, **claims)
    settle_after_check(computed(promotion, performance(**found)).id)
    assert [row.severity for row in Finding.objects.order_by("id")] == severities


@pytest.mark.parametrize(("accuracy", "severity"), [(0.82, "medium"), (0.75, "high")])
def test_on_data_the_author_does_not_see_the_sample_may_explain_it(
    cast: Cast, accuracy: float, severity: str
) -> None:
    study.use_case_with_policies(cast)
    register_exam(cast)
    promotion = asked(cast, extra="evaluation_set: {dataset: exam}\n", author="davi", accuracy=0.85)
    settle_after_check(computed(promotion, performance(accuracy)).id)
    finding = Finding.objects.get()
    assert (finding.severity, finding.measured_on == promotion.version.evaluation.digest) == (severity, False)


def test_what_the_confined_process_says_about_a_claim_is_not_believed(cast: Cast) -> None:
    about = {"metric": "accuracy", "claimed": 0.99, "found": 0.5, "tolerance": 0.01}
    promotion = asked(cast, accuracy=0.80)
    result = CheckResult("completed", performance(0.80).metrics, notes=(Message("claim_differs", about),))
    settle_after_check(computed(promotion, result).id)
    promotion.refresh_from_db()
    assert (promotion.state, Finding.objects.count()) == ("granted", 0)


def test_it_stands_even_if_the_request_was_withdrawn_meanwhile(cast: Cast) -> None:
    promotion = asked(cast, accuracy=0.85)
    withdraw_promotion(command=cast.command("pipeline"), promotion_id=promotion.id, reason="too early")
    settle_after_check(computed(promotion, performance(0.80)).id)
    assert Finding.objects.get().version_id == promotion.version_id


def test_people_read_what_was_found(cast: Cast) -> None:
    promotion = asked(cast, approvals="[{role: validator, count: 1}]", accuracy=0.85)
    settle_after_check(computed(promotion, performance(0.80)).id)
    told = Caller(cast, "bruno").get("findings").json()["results"][0]
    sentence = "accuracy was claimed as 0.85 and measured as 0.8: more than 0.01 apart."
    assert (told["metric"], told["opened_by"], told["reason"]["text"]) == ("accuracy", None, sentence)
    browser = Client()
    browser.force_login(cast.people["bruno"])
    page = browser.get(reverse("admin:findings")).content.decode()
    assert "Accuracy was claimed as 0.850 and measured as 0.800: more than 0.010 apart." in page
    assert "opened by Crivo itself" in page


def test_the_database_wants_to_know_who_opened_it(cast: Cast) -> None:
    promotion = asked(cast, accuracy=0.85)
    settle_after_check(computed(promotion, performance(0.80)).id)
    finding = Finding.objects.get()
    same = {
        name: getattr(finding, name)
        for name in ("workspace_id", "version_id", "severity", "owner_id", "due", "reason")
    }
    for about in (
        {},
        {"metric": "accuracy"},
        {"metric": "roc_auc", "measured_on": "x", "opened_by": finding.owner_id},
        {"metric": "accuracy", "measured_on": finding.measured_on},
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            Finding.objects.create(**same, **about)
