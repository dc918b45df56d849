"""Deciding on a page: by the service, once, pinned to what was shown; and every way in which it may not be done."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest
from django.test import Client

from audits.models import Event
from governance.models import Decision, Promotion
from tests import scenario
from tests.cast import Cast
from tests.console.conftest import decide_at, page_of
from tests.console.markup import Page, read
from tests.snapshot import unchanged

SignIn = Callable[[str], Client]
REASON = "The figures match the claims."

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def cast(committed_cast: Cast) -> Cast:
    return committed_cast


def form(page: Page, **changed: str) -> dict[str, str]:
    """The form as the page offers it, filled in."""
    given = {name: page.value_of(name) for name in ("dossier_digest", "key")}
    return {**given, "verdict": "approve", "reason": REASON, **changed}


def forged(promotion: Promotion, **changed: str) -> dict[str, str]:
    return {
        "dossier_digest": promotion.dossier_digest,
        "key": str(uuid4()),
        "verdict": "approve",
        "reason": REASON,
        **changed,
    }


def test_two_people_approve_and_it_is_granted(cast: Cast, as_person: SignIn, waiting: Promotion) -> None:
    for name, state in (("bruno", "awaiting_approval"), ("bia", "granted")):
        client = as_person(name)
        page = read(client.get(page_of(waiting)))
        assert page.value_of("dossier_digest") == waiting.dossier_digest
        response = client.post(decide_at(waiting), form(page))
        assert response.status_code == 302
        assert response["Location"] == page_of(waiting)
        waiting.refresh_from_db()
        assert waiting.state == state
    shown = read(as_person("clara").get(page_of(waiting))).text
    assert "Granted, not effective yet." in shown
    assert f"Validator – Bruno: approved {REASON}" in shown
    assert f"Approver – Bia: approved {REASON}" in shown
    scenario.publish()
    assert "Granted and effective." in read(as_person("clara").get(page_of(waiting))).text
    event = Event.objects.get(id=Decision.objects.get(role="approver").event_id)
    assert event.actor_id == cast.people["bia"].id
    assert event.detail == {"verdict": "approve", "role": "approver"}


def test_the_author_sees_no_form_and_cannot_forge_one(
    cast: Cast, as_person: SignIn, waiting: Promotion
) -> None:
    client = as_person("ana")
    page = read(client.get(page_of(waiting)))
    assert decide_at(waiting) not in page.forms()
    assert "separation of duties bars whoever had a hand in it" in page.text
    assert "Ana (you)" in page.text
    with unchanged(refusals=1):
        response = client.post(decide_at(waiting), forged(waiting))
    assert response.status_code == 403
    shown = read(response)
    assert "You had a hand in this version" in shown.text
    assert "Somebody else has to." in shown.text
    refusal = Event.objects.get(outcome="refused")
    assert (refusal.verb, refusal.actor_id) == ("promotion.decided", cast.people["ana"].id)
    assert "Ana was refused on diabetes@1 → production" in read(as_person("clara").get(page_of(waiting))).text


REFUSED: list[tuple[str, dict[str, str], int, str, int]] = [
    ("clara", {}, 403, "none of your roles (and, with a token, its scopes) permits promotion.decide", 1),
    ("rita", {}, 403, "You may not do this here", 1),
    ("davi", {}, 404, "There is no promotion", 0),
    ("bruno", {"reason": "  "}, 422, "Give a reason, of at most 4000 characters.", 1),
    ("bruno", {"reason": "x" * 4001}, 422, "Give a reason", 1),
    ("bruno", {"verdict": "sure"}, 422, "The verdict sure is not known.", 1),
    ("bruno", {"verdict": ""}, 422, "is not known", 1),
    ("bruno", {"dossier_digest": "sha256:" + "0" * 64}, 409, "The dossier has changed since", 1),
    ("bruno", {"dossier_digest": ""}, 409, "The dossier has changed since", 1),
]


def test_refusals_are_sentences_and_change_nothing(as_person: SignIn, waiting: Promotion) -> None:
    for name, changed, status, sentence, refusals in REFUSED:
        client = as_person(name)
        with unchanged(refusals=refusals):
            response = client.post(decide_at(waiting), forged(waiting, **changed))
        assert response.status_code == status, (name, changed)
        assert sentence in read(response).text


def test_what_was_typed_is_kept_when_it_is_refused(as_person: SignIn, waiting: Promotion) -> None:
    client = as_person("bruno")
    typed = "First <b>line</b>\nsecond"
    response = client.post(decide_at(waiting), forged(waiting, reason=typed, dossier_digest="old"))
    page = read(response)
    assert "First <b>line</b> second" in page.text
    assert page.value_of("dossier_digest") == waiting.dossier_digest
    checked = [attributes for tag, attributes in page.elements if tag == "input" and "checked" in attributes]
    assert [attributes["value"] for attributes in checked] == ["approve"]


def test_a_double_click_is_one_decision(as_person: SignIn, waiting: Promotion) -> None:
    client = as_person("bruno")
    given = form(read(client.get(page_of(waiting))))
    assert [client.post(decide_at(waiting), given).status_code for _ in range(2)] == [302, 302]
    assert Decision.objects.filter(promotion=waiting).count() == 1
    assert not Event.objects.filter(outcome="refused").exists()
    again = client.post(decide_at(waiting), forged(waiting))
    assert again.status_code == 409
    assert "You have already decided on this dossier." in read(again).text


def test_nobody_decides_without_the_token_of_the_form(cast: Cast, waiting: Promotion) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(cast.people["bruno"])
    with unchanged(refusals=0):
        assert client.post(decide_at(waiting), forged(waiting)).status_code == 403
        assert client.get(decide_at(waiting)).status_code == 405


def test_rejecting_refuses_the_request(as_person: SignIn, waiting: Promotion) -> None:
    client = as_person("bia")
    page = read(client.get(page_of(waiting)))
    client.post(
        decide_at(waiting), form(page, verdict="reject", reason="Too few rows in the youngest group.")
    )
    waiting.refresh_from_db()
    assert waiting.state == "refused"
    shown = read(client.get(page_of(waiting)))
    assert "Not promoted: refused. A reviewer (Approver) rejected the request." in shown.text
    assert "The request is settled; there is nothing left to decide." in shown.text
    assert decide_at(waiting) not in shown.forms()
