"""Findings, waivers, conditions, re-reviews and broken glass over the API: every address, and who does not see it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from governance.models import Alarm, Condition, PlacementReview
from governance.services import sweeps
from tests import scenario
from tests.cast import Cast
from tests.governance.exceptional import SEX_DISPARITY, ask, give, later, live, move, with_terms
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True)
TERMS = "waivers: {role: approver, max_days: 90}\nvalid_for: 100d\n"


@pytest.fixture
def cast(committed_cast: Cast) -> Cast:
    return committed_cast


def post(cast: Cast, who: str, path: str, body: dict[str, Any], status: int = 200, **headers: str) -> Any:
    answer = Client().post(
        f"/api/v1/{path}", body, content_type="application/json", headers={**cast.headers(who), **headers}
    )
    assert answer.status_code == status, answer.content
    return answer.json()


def get(cast: Cast, who: str, path: str, status: int = 200) -> Any:
    answer = Client().get(f"/api/v1/{path}", headers=cast.headers(who))
    assert answer.status_code == status, answer.content
    return answer.json()


def test_a_finding_over_the_api(cast: Cast) -> None:
    version = with_terms(cast, TERMS)
    base = f"models/{version.model.name}/versions/{version.n}/findings"
    body = {"severity": "high", "owner": "ana", "due": later().isoformat(), "text": "Look again."}
    key = {"Idempotency-Key": str(uuid4())}
    found = post(cast, "bruno", base, body, 201, **key)
    assert post(cast, "bruno", base, body, 201, **key)["id"] == found["id"]
    assert (found["model"], found["n"], found["severity"], found["state"]) == ("diabetes", 1, "high", "open")
    at = f"findings/{found['id']}"
    get(cast, "davi", at, 404)
    with unchanged(refusals=0):
        post(cast, "davi", f"{at}/answer", {"text": "x"}, 404)
    post(cast, "ana", f"{at}/answer", {"text": "Done."})
    assert post(cast, "bruno", f"{at}/verification", {"text": "No.", "holds": False})["state"] == "open"
    post(cast, "ana", f"{at}/answer", {"text": "Done now.", "evidence_digest": "sha256:" + "0" * 64})
    assert post(cast, "bruno", f"{at}/verification", {"text": "Yes.", "holds": True})["state"] == "verified"
    with unchanged(refusals=1):
        told = post(cast, "bruno", f"{at}/closing", {"text": "Mine.", "holds": True}, 403)
    assert told["type"].endswith("finding_closed_by_another")
    assert post(cast, "bia", f"{at}/closing", {"text": "Settled.", "holds": True})["state"] == "closed"
    assert [row["id"] for row in get(cast, "clara", "findings?state=closed")["results"]] == [found["id"]]
    assert get(cast, "clara", "findings?state=open")["results"] == []
    assert get(cast, "davi", "findings")["results"] == []
    get(cast, "clara", "findings?state=gone", 400)


def test_waiver_condition_and_review_over_the_api(cast: Cast) -> None:
    version = with_terms(cast, TERMS, strict=True)
    check, metric, attribute = SEX_DISPARITY
    body = {
        "environment": "production",
        "check": check,
        "metric": metric,
        "attribute": attribute,
        "reason": "The sample is small.",
        "compensating_control": "A physician looks.",
        "expires_at": later(timedelta(days=30)).isoformat(),
    }
    asked = post(cast, "ana", "models/diabetes/versions/1/waivers", body, 201)
    at = f"waivers/{asked['id']}"
    with unchanged(refusals=1):
        post(cast, "ana", f"{at}/approval", {"reason": "Mine."}, 403)
    approved = post(cast, "bia", f"{at}/approval", {"reason": "Until the new cohort."})
    assert (approved["state"], approved["effective"]) == ("approved", False)
    scenario.publish()
    assert get(cast, "clara", at)["effective"] is True

    promotion = scenario.complete_checks(scenario.request(cast, version, "production"))
    told = get(cast, "bia", f"promotions/{promotion.id}")
    waived = [line for line in told["requirements"] if line["verdict"] == "waived"]
    assert [(line["check"], line["metric"], line["attribute"]) for line in waived] == [SEX_DISPARITY]
    decision = {
        "verdict": "approve",
        "reason": "Under a condition.",
        "dossier_digest": told["dossier_digest"],
        "conditions": [{"text": "Recalibrate.", "due": later().isoformat()}],
    }
    post(cast, "bruno", f"promotions/{promotion.id}/decisions", decision, 201)
    post(cast, "bia", f"promotions/{promotion.id}/decisions", {**decision, "conditions": []}, 201)
    scenario.publish()
    assert ask(version).allowed
    row = get(cast, "clara", f"promotions/{promotion.id}/conditions")["results"][0]
    assert (row["state"], row["overdue"]) == ("open", False)
    move("governance_condition", row["id"], due=later(timedelta(seconds=-1)))
    assert get(cast, "clara", f"promotions/{promotion.id}/conditions")["results"][0]["overdue"] is True
    assert post(cast, "ana", f"conditions/{row['id']}/report", {"text": "Done."})["state"] == "reported"
    verified = post(cast, "bia", f"conditions/{row['id']}/verification", {"text": "Seen.", "holds": True})
    assert verified["state"] == "fulfilled"
    assert Condition.objects.get().verified_by == cast.people["bia"].id
    scenario.publish()

    promotion.refresh_from_db()
    move("governance_placement", promotion.placement.id, created_at=later(timedelta(days=-99)))
    sweeps.sweep()
    review = get(cast, "bruno", "reviews?state=open")["results"][0]
    assert (
        post(cast, "bruno", f"reviews/{review['id']}/completion", {"reason": "Fine."})["state"] == "completed"
    )
    assert PlacementReview.objects.get().completed_by == cast.people["bruno"].id
    assert post(cast, "bia", f"{at}/revocation", {"reason": "No control."})["state"] == "revoked"
    gate = get(cast, "pipeline", f"gate?digest={version.artifact_digest}&environment=production")
    assert (gate["allowed"], [reason["code"] for reason in gate["reasons"]]) == (False, ["waiver_revoked"])


def test_broken_glass_over_the_api(cast: Cast) -> None:
    with_terms(cast, TERMS)
    cast.token("clara")
    path = "models/diabetes/versions/1/break-glass"
    body = {"environment": "production", "reason": "Patients wait.", "hours": 2}
    with unchanged(refusals=1):
        post(cast, "clara", path, body, 403)
    give(cast, "clara", "incident_manager")
    glass = post(cast, "clara", path, body, 201)
    assert get(cast, "bia", "break-glass?state=broken")["results"][0]["id"] == glass["id"]
    assert get(cast, "bia", "alarms?state=open")["results"][0]["id"] == glass["alarm"]
    assert get(cast, "davi", "alarms")["results"] == []
    assert post(cast, "clara", f"break-glass/{glass['id']}/end", {"reason": "Over."})["state"] == "ended"
    with unchanged(refusals=1):
        post(cast, "clara", f"alarms/{glass['alarm']}/sign-off", {"reason": "Mine."}, 403)
    assert (
        post(cast, "rita", f"alarms/{glass['alarm']}/sign-off", {"reason": "Seen."})["state"] == "signed_off"
    )
    assert Alarm.objects.get().signed_off_by == cast.people["rita"].id


def test_what_a_waiver_costs_is_only_asked_where_something_was_waived(cast: Cast) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    version = with_terms(cast, "valid_for: 90d\n")
    live(cast, version)
    with CaptureQueriesContext(connection) as captured:
        assert ask(version).allowed
    assert not [query for query in captured if "governance_waiver" in query["sql"]]
    assert len(captured) <= 7
