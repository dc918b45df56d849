"""Steps beside a dossier: suspend, reinstate, roll back, withdraw, waive, break the glass, invite."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from audits.models import Event
from governance.models import BrokenGlass, Placement, Promotion, SignoffInvitation, Waiver
from tests import scenario, study
from tests.cast import Cast
from tests.console.conftest import page_of
from tests.governance import lifecycle
from tests.governance.exceptional import SEX_DISPARITY, ask, give, later, waived, with_terms
from tests.governance.test_signoffs import OUTSIDE
from tests.governance.test_signoffs import waiting as waiting_for_customer
from tests.snapshot import unchanged

SignIn = Callable[[str], Client]
pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "migrator"])
TERMS = "waivers: {role: approver, max_days: 90}\n"


@pytest.fixture
def cast(committed_cast: Cast) -> Cast:
    return committed_cast


@pytest.fixture
def as_person(cast: Cast) -> SignIn:
    """Signed in beforehand: a login writes down when it was."""
    clients = {}
    for name, person in cast.people.items():
        clients[name] = Client()
        clients[name].force_login(person)
    return clients.__getitem__


def act(kind: str, row: Any, slug: str) -> str:
    return reverse("admin:watch", args=[kind, row.id, slug])


def done(client: Client, kind: str, row: Any, slug: str, page: str) -> None:
    """The button is on the page, and pressing it with a reason comes back to the page."""
    assert act(kind, row, slug) in client.get(page).content.decode()
    answer = client.post(act(kind, row, slug), {"text": "Because.", "back": page, "once": str(uuid4())})
    assert (answer.status_code, answer.headers.get("Location")) == (302, page)


def test_suspended_by_one_reinstated_by_another_and_withdrawn(cast: Cast, as_person: SignIn) -> None:
    version = lifecycle.open_ways(cast)
    placement = lifecycle.live(cast, version)
    page = page_of(placement.promotion)
    done(as_person("bruno"), "placement", placement, "suspend", page)
    assert lifecycle.says(cast, version) == "placement_suspended"
    with unchanged(refusals=1):
        refused = as_person("bruno").post(act("placement", placement, "reinstate"), {"text": "On again."})
        assert refused.status_code == 403
    done(as_person("bia"), "placement", placement, "reinstate", page)
    study.sequence()
    assert lifecycle.says(cast, version) == "allowed"
    done(as_person("bruno"), "version", version, "suspend", page)
    assert lifecycle.says(cast, version) == "version_suspended"
    done(as_person("bia"), "version", version, "reinstate", page)
    done(as_person("bia"), "placement", placement, "withdraw", page)
    assert lifecycle.says(cast, version) == "placement_withdrawn"
    listed = as_person("bia").get(page).content.decode()
    assert not any(
        act("placement", placement, slug) in listed for slug in ("suspend", "withdraw", "rollback")
    )


def test_rolled_back_from_the_page_of_what_is_live_only(cast: Cast, as_person: SignIn) -> None:
    first = lifecycle.open_ways(cast)
    second = lifecycle.another(cast, 2)
    before, current = lifecycle.live(cast, first), lifecycle.live(cast, second)
    with unchanged(refusals=1):
        assert (
            as_person("rita").post(act("placement", before, "rollback"), {"text": "No."}).status_code == 409
        )
    done(as_person("rita"), "placement", current, "rollback", page_of(current.promotion))
    study.sequence()
    assert lifecycle.says(cast, first) == "allowed"
    with unchanged(refusals=0):
        assert (
            as_person("rita").post(act("placement", Placement(), "rollback"), {"text": "?"}).status_code
            == 404
        )


def test_only_the_requester_is_offered_to_withdraw(cast: Cast, as_person: SignIn) -> None:
    version = with_terms(cast, "")
    promotion = scenario.complete_checks(scenario.request(cast, version, "production"))
    address = act("request", promotion, "withdraw")
    assert address not in as_person("bruno").get(page_of(promotion)).content.decode()
    requester = Promotion.objects.get(id=promotion.id).requester_id
    name = next(name for name, person in cast.people.items() if person.id == requester)
    done(as_person(name), "request", promotion, "withdraw", page_of(promotion))
    assert Promotion.objects.get(id=promotion.id).state == "withdrawn"


def test_a_waiver_is_asked_for_on_the_page(cast: Cast, as_person: SignIn) -> None:
    version = with_terms(cast, TERMS, strict=True)
    promotion = scenario.request(cast, version, "production")
    scenario.complete_checks(promotion)
    page = page_of(promotion)
    shown = as_person("ana").get(page).content.decode()
    value = "|".join(SEX_DISPARITY)
    assert f'value="{value}"' in shown
    assert 'value="|' not in shown
    given = {
        "requirement": value,
        "reason": "Few women.",
        "compensating_control": "A physician looks.",
        "expires": later().date().isoformat(),
        "once": str(uuid4()),
    }
    address = reverse("admin:ask_waiver", args=[promotion.id])
    with unchanged(refusals=0):
        wrong = {**given, "requirement": "bias.group_disparity|selection_rate|"}
        assert as_person("ana").post(address, wrong).status_code == 302  # said on the page: no such choice
    with unchanged(refusals=1):
        assert as_person("clara").post(address, given).status_code == 403
    for _ in range(2):  # a double click asks once
        assert as_person("ana").post(address, given).status_code == 302
    row = Waiver.objects.get()
    assert (row.requirement, row.expires_at.date()) == (SEX_DISPARITY, later().date())
    done(as_person("bia"), "waiver", row, "approve", page)
    row.refresh_from_db()
    assert row.state == "approved"


def test_waived_is_shown_as_waived(cast: Cast, as_person: SignIn) -> None:
    version = with_terms(cast, TERMS, strict=True)
    waived(cast, version)
    scenario.publish()
    promotion = scenario.complete_checks(scenario.request(cast, version, "production"))
    shown = as_person("bia").get(page_of(promotion)).content.decode()
    rows = re.findall(r'<tr class="line-(\w+)">', shown)
    assert (rows.count("waived"), rows.count("failed")) == (1, 0)


def test_glass_is_broken_shut_and_its_alarm_signed_off(cast: Cast, as_person: SignIn) -> None:
    version = with_terms(cast, "")
    promotion = scenario.complete_checks(scenario.request(cast, version, "production"))
    page, address = page_of(promotion), reverse("admin:break_glass", args=[promotion.id])
    given = {"hours": "2", "reason": "Patients wait.", "once": str(uuid4())}
    assert address not in as_person("bia").get(page).content.decode()
    with unchanged(refusals=1):
        assert as_person("bia").post(address, given).status_code == 403
    give(cast, "clara", "incident_manager")
    assert address in as_person("clara").get(page).content.decode()
    with unchanged(refusals=0):
        assert as_person("clara").post(address, {**given, "hours": "0"}).status_code == 302
    for _ in range(2):
        assert as_person("clara").post(address, given).status_code == 302
    glass = BrokenGlass.objects.get()
    scenario.publish()
    assert ask(version).break_glass
    assert "Broken glass" in as_person("bia").get(page).content.decode()
    done(as_person("clara"), "glass", glass, "end", page)
    assert not ask(version).allowed
    done(as_person("rita"), "alarm", glass.alarm, "sign-off", reverse("admin:findings"))
    assert Event.objects.filter(verb="alarm.signed_off", outcome="done").count() == 1


def test_a_link_is_shown_once_and_works(cast: Cast, as_person: SignIn) -> None:
    version = study.study(cast)
    study.put_in_force(cast, OUTSIDE)
    promotion = waiting_for_customer(cast, version)
    address = reverse("admin:invite", args=[promotion.id])
    given = {
        "role": "customer", "name": "Eva <Lima>", "email": "eva@example.org", "days": "3", "once": str(uuid4()),
    }  # fmt: skip
    assert address not in as_person("bruno").get(page_of(promotion)).content.decode()
    with unchanged(refusals=1):
        assert as_person("bruno").post(address, given).status_code == 403
    with unchanged(refusals=0):
        assert as_person("bia").post(address, {**given, "role": "business_owner"}).status_code == 302
    shown = as_person("bia").post(address, given)
    assert shown.status_code == 200
    assert "no-store" in shown.headers["Cache-Control"]
    found = re.search(r'value="(http[^"]+)"', shown.content.decode())
    assert found is not None
    again = as_person("bia").post(address, given)
    assert again.status_code == 302  # nothing to show any more
    assert SignoffInvitation.objects.count() == 1
    page = as_person("bia").get(page_of(promotion)).content.decode()
    assert "Eva &lt;Lima&gt;" in page
    assert found[1] not in page
    assert Client().get(found[1]).status_code == 200


def test_nothing_is_offered_to_who_may_only_read(cast: Cast, as_person: SignIn) -> None:
    version = lifecycle.open_ways(cast)
    placement = lifecycle.live(cast, version)
    shown = as_person("clara").get(page_of(placement.promotion)).content.decode()
    assert "Where it stands" in shown
    assert "formaction" not in shown
