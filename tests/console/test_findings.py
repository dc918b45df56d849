"""Findings, waivers and alarms on pages: shown as what they are, acted on through services, escaped."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from governance.models import Alarm, Finding, Waiver
from tests import scenario
from tests.cast import Cast
from tests.console.conftest import page_of
from tests.governance.exceptional import give, later, opened, waived, waiver, with_terms
from tests.snapshot import unchanged

SignIn = Callable[[str], Client]
pytestmark = pytest.mark.django_db(transaction=True)
TERMS = "waivers: {role: approver, max_days: 90}\n"


@pytest.fixture
def cast(committed_cast: Cast) -> Cast:
    return committed_cast


def act(kind: str, row: Finding | Waiver | Alarm, slug: str) -> str:
    return reverse("admin:watch", args=[kind, row.id, slug])


def test_a_finding_goes_its_way_on_pages(cast: Cast, as_person: SignIn) -> None:
    waiting = scenario.awaiting_production(cast)
    given = {
        "severity": "high",
        "owner": "ana",
        "due": later().date().isoformat(),
        "text": "<b>Look</b> again.",
        "once": str(uuid4()),
    }
    for _ in range(2):  # a double click opens one
        answer = as_person("bruno").post(reverse("admin:open_finding", args=[waiting.id]), given)
        assert answer.status_code == 302
    finding = Finding.objects.get()
    page = as_person("bia").get(page_of(waiting)).content.decode()
    assert "&lt;b&gt;Look&lt;/b&gt; again." in page
    assert "<b>Look</b>" not in page
    assert "Findings have to be closed first." in page
    for name, slug in (("ana", "answer"), ("bruno", "verify"), ("bia", "close")):
        listed = as_person(name).get(reverse("admin:findings")).content.decode()
        assert act("finding", finding, slug) in listed
        assert as_person(name).post(act("finding", finding, slug), {"text": "So."}).status_code == 302
    finding.refresh_from_db()
    assert finding.state == "closed"
    assert str(finding.id) not in as_person("bia").get(reverse("admin:findings")).content.decode()


def test_a_refusal_is_a_page_and_changes_nothing(cast: Cast, as_person: SignIn) -> None:
    version = with_terms(cast, TERMS)
    finding, asked = opened(cast, version), waiver(cast, version)
    clients = {name: as_person(name) for name in ("ana", "bruno", "bia", "clara", "davi")}
    for name, kind, row, slug, status in (
        ("bruno", "finding", finding, "answer", 403),
        ("clara", "waiver", asked, "approve", 403),
        ("ana", "waiver", asked, "approve", 403),
        ("bia", "finding", finding, "close", 409),
    ):
        with unchanged(refusals=1):
            assert clients[name].post(act(kind, row, slug), {"text": "So."}).status_code == status
    with unchanged(refusals=0):
        assert clients["bia"].post(act("finding", finding, "burn"), {"text": "x"}).status_code == 404
        assert clients["davi"].post(act("finding", finding, "close"), {"text": "x"}).status_code == 404
        assert clients["bia"].get(act("finding", finding, "close")).status_code == 405


def test_what_is_waived_is_never_called_met(cast: Cast, as_person: SignIn) -> None:
    version = with_terms(cast, TERMS, strict=True)
    waived(cast, version)
    scenario.publish()
    waiting = scenario.complete_checks(scenario.request(cast, version, "production"))
    page = as_person("bia").get(page_of(waiting)).content.decode()
    assert "line-waived" in page
    assert "one is waived." in page
    assert "requirements are met.</strong>" not in page
    assert "Every refusal of a woman is looked at by a physician." in page


def test_the_alarm_is_listed_and_signed_off(cast: Cast, as_person: SignIn) -> None:
    from governance.services.glass import break_glass

    version = with_terms(cast, "")
    give(cast, "clara", "incident_manager")
    break_glass(
        command=cast.command("clara"),
        version_id=version.id,
        environment="production",
        reason="Patients wait.",
        hours=2,
    )
    alarm = Alarm.objects.get()
    assert "Patients wait." in as_person("rita").get(reverse("admin:findings")).content.decode()
    back = {"text": "Justified.", "back": "https://elsewhere.example/"}
    answer = as_person("rita").post(act("alarm", alarm, "sign-off"), back)
    assert (answer.status_code, answer["Location"]) == (302, reverse("admin:findings"))
    alarm.refresh_from_db()
    assert alarm.state == "signed_off"
