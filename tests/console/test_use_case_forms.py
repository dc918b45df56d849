"""The intake on pages: the tier is shown before anything is saved; what is refused changes nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from audits.models import Event
from governance import intake
from governance.models import UseCase, UseCaseVersion
from governance.services.use_cases import register_use_case
from tests.cast import Cast
from tests.console.markup import read
from tests.governance.test_use_cases import COMPLETE, answers
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True)
SignIn = Callable[[str], Client]
NEW = "/admin/intake"


@pytest.fixture
def cast(committed_cast: Cast) -> Cast:
    return committed_cast


@pytest.fixture
def as_person(cast: Cast) -> SignIn:
    """Everybody signed in beforehand: a test that counts rows must not write the time of a login."""
    clients = {name: Client() for name in cast.people}
    for name, client in clients.items():
        client.force_login(cast.people[name])
    return clients.__getitem__


@pytest.fixture
def strict(cast: Cast) -> Client:
    """As ana, from a page that is not ours: without the token of a form."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(cast.people["ana"])
    return client


def said(*yes: str, **more: object) -> dict[str, object]:
    questions = {f"q_{question.id}": "no" for question in intake.questionnaire().questions}
    return {
        "name": "calls", "purpose": "Whom to call first.", "stakeholders": "Nurses\n\n Patients ", **COMPLETE,
        **questions, **{f"q_{name}": "yes" for name in yes}, **more,
    }  # fmt: skip


def registered(cast: Cast, *yes: str, by: str = "ana") -> UseCase:
    return register_use_case(
        command=cast.command(by), name="calls", purpose="Whom to call first.", questionnaire=answers(*yes),
        details=COMPLETE,
    ).value  # fmt: skip


def test_the_tier_is_shown_before_anything_is_saved(cast: Cast, as_person: SignIn) -> None:
    assert reverse("admin:intake") == NEW
    ana = as_person("ana")
    read(ana.get(NEW))
    with unchanged(refusals=0):
        page = read(ana.post(NEW, {**said("essential_services"), "compute": "1"}))
        assert "Computed tier: high" in page.text
        assert "Nothing is saved yet." in page.text
        assert page.value_of("shown") == "high"
        # a tier nobody was shown is not saved, whatever the button says
        for shown in ("", "minimal"):
            again = ana.post(NEW, {**said("essential_services"), "save": "1", "shown": shown})
            assert again.status_code == 200
    sent = {**said("essential_services"), "save": "1", "shown": "high", "once": page.value_of("once")}
    for _ in range(2):  # a double click
        assert ana.post(NEW, sent).headers["Location"] == reverse("admin:use-case", args=["calls"])
    row = UseCase.objects.get(name="calls")
    assert (row.risk_tier, row.computed_tier, row.n) == ("high", "high", 1)
    assert row.owner_id == cast.people["ana"].id
    assert row.intake == {**COMPLETE, "stakeholders": ["Nurses", "Patients"]}
    assert Event.objects.filter(verb="use_case.registered", outcome="done").count() == 1
    listed = read(ana.get(reverse("admin:use-cases")))
    assert reverse("admin:use-case", args=["calls"]) in listed.links


def test_what_is_refused_is_said_and_changes_nothing(cast: Cast, as_person: SignIn, strict: Client) -> None:
    ana = as_person("ana")
    registered(cast, "essential_services")
    save = {"save": "1", "shown": "high"}
    cases = (
        (said("essential_services", **save), 409, "calls"),
        (said("essential_services", name="other", legal_basis=[], **save), 422, "high"),
        (said("essential_services", name="other", owner="nobody", **save), 422, "nobody"),
        (said("social_scoring", name="other", save="1", shown="prohibited"), 422, "AI Act Art. 5(1)(c)"),
    )
    for given, status, words in cases:
        with unchanged(refusals=1):
            answer = ana.post(NEW, given)
        assert answer.status_code == status, words
        assert words in read(answer).text
        assert read(answer).value_of("name") == given["name"], "what was typed is kept"
    with unchanged(refusals=0):
        missing = said()
        del missing["q_social_scoring"]
        answer = ana.post(NEW, missing)
        assert answer.status_code == 422
        assert "look at the marked fields" in read(answer).text
        prohibited = read(ana.post(NEW, {**said("social_scoring"), "compute": "1"}))
        assert "Nothing may be promoted for a prohibited practice." in prohibited.text
        assert "Register it with this tier" not in prohibited.text
    with unchanged(refusals=1):
        assert as_person("bruno").post(NEW, said(**{**save, "shown": "minimal"})).status_code == 403
    with unchanged(refusals=0):
        assert as_person("bruno").get(NEW).status_code == 403
        assert Client(enforce_csrf_checks=True).post(NEW, said(**save)).status_code in (302, 403)
        assert strict.post(NEW, said("essential_services", **save)).status_code == 403


def test_a_change_is_computed_anew_and_kept_in_the_history(cast: Cast, as_person: SignIn) -> None:
    row = registered(cast, "essential_services")
    path = reverse("admin:use-case-edit", args=["calls"])
    ana = as_person("ana")
    page = read(ana.get(path))
    assert page.value_of("n") == "1"
    assert ("input", "yes", True) in [
        (tag, given.get("value"), "checked" in given)
        for tag, given in page.elements
        if given.get("name") == "q_essential_services"
    ]
    given = {**said("essential_services"), "n": "1", "problem": "Too few calls.", "stakeholders": ""}
    with unchanged(refusals=0):
        assert "Computed tier: high" in read(ana.post(path, given)).text
    sent = {**given, "save": "1", "shown": "high"}
    assert ana.post(path, sent).status_code == 302
    row.refresh_from_db()
    assert (row.n, row.intake) == (2, {**COMPLETE, "problem": "Too few calls."})
    assert UseCaseVersion.objects.filter(use_case=row).count() == 2
    with unchanged(refusals=1):
        assert ana.post(path, {**sent, "problem": "Later."}).status_code == 409, "it was changed meanwhile"
    with unchanged(refusals=1):  # the owner does not lower the tier, whichever way
        lowered = {**said(), "n": "2", "save": "1", "shown": "minimal"}
        assert ana.post(path, lowered).status_code == 403
    with unchanged(refusals=0):
        assert as_person("bruno").get(path).status_code == 403
        assert as_person("davi").get(path).status_code == 404
        assert as_person("davi").post(path, sent).status_code == 404


def test_another_tier_with_a_reason(cast: Cast, as_person: SignIn) -> None:
    row = registered(cast, "essential_services")
    path, page = reverse("admin:use-case-tier", args=["calls"]), reverse("admin:use-case", args=["calls"])
    given = {"n": "1", "risk_tier": "limited", "reason": "It only sorts a list."}
    rita = as_person("rita")
    assert path in read(rita.get(page)).forms()
    assert path not in read(as_person("ana").get(page)).forms()
    for name, sent, status in (
        ("ana", given, 403),
        ("rita", {**given, "reason": " "}, 422),
        ("rita", {**given, "n": "7"}, 409),
        ("rita", {**given, "n": "x"}, 409),
        ("rita", {**given, "risk_tier": "prohibited"}, 422),
        ("rita", {**given, "risk_tier": "none"}, 422),
    ):
        with unchanged(refusals=1):
            answer = as_person(name).post(path, sent)
        assert answer.status_code == status, sent
        assert any("alert" in (given.get("role") or "") for _, given in read(answer).elements)
    with unchanged(refusals=0):
        assert rita.get(path).status_code == 405
        assert as_person("davi").post(path, given).status_code == 404
    assert rita.post(path, given).status_code == 302
    row.refresh_from_db()
    assert (row.risk_tier, row.computed_tier) == ("limited", "high")
    text = read(rita.get(page)).text
    assert "It only sorts a list." in text
    assert "set by a person; the answers compute high" in text
