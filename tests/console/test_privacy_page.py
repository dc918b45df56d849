"""The page of personal data: looked up, looked at, held, erased after typing the name; and refusals as sentences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse

from audits.actors import Command, system_actor
from audits.ids import uuid7
from audits.ledger.record import record
from audits.models import Event, LegalHold
from audits.sealing import text_of
from governance.models import SignoffInvitation
from governance.services.access import bind_role
from governance.services.people import create_person
from tests import scenario, study
from tests.cast import Cast
from tests.console.markup import read
from tests.governance.test_signoffs import OUTSIDE, invited, waiting
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True)
SignIn = Callable[[str], Client]
PAGE = "admin:privacy"


@pytest.fixture
def cast(committed_cast: Cast) -> Cast:
    cast = committed_cast
    shell = Command(system_actor("shell", cast.workspace.id))
    cast.people["alma"] = create_person(command=shell, username="alma").value
    bind_role(command=shell, role="administrator", person=cast.people["alma"])
    with transaction.atomic():
        record(
            cast.command("ana"), verb="promotion.withdrawn", subject=cast.workspace.ref,
            texts={"reason": "umbrella"},
        )  # fmt: skip
    return cast


@pytest.fixture
def as_person(cast: Cast) -> SignIn:
    clients = {name: Client() for name in cast.people}
    for name, client in clients.items():
        client.force_login(cast.people[name])
    return clients.__getitem__


def refused(
    client: Client, path: str, given: dict[str, Any], status: int, words: str, events: int = 1
) -> None:
    with unchanged(refusals=events):
        answer = client.post(path, given)
    assert answer.status_code == status, answer.content
    assert words in read(answer).text


def test_from_looking_up_to_erasing(cast: Cast, as_person: SignIn) -> None:
    ana, alma, rita = cast.people["ana"], as_person("alma"), as_person("rita")
    erase, place = (reverse(f"admin:{name}", args=[ana.id]) for name in ("erase-person", "place-hold"))
    page = read(alma.get(reverse(PAGE), {"person": "ana"}))
    assert erase in page.forms()
    assert place not in page.forms(), "who may erase does not thereby hold"
    assert "1 text becomes unreadable" in page.text
    assert "To confirm, type: ana" in page.text
    held = read(rita.get(reverse(PAGE), {"person": str(ana.id)}))
    assert place in held.forms()
    assert erase not in held.forms()
    given = {"reason": "case 12", "once": str(uuid7())}
    for _ in range(2):  # a double click places one
        assert rita.post(place, given).status_code == 302
    hold = LegalHold.objects.get()
    page = read(alma.get(reverse(PAGE), {"person": "ana"}))
    assert erase not in page.forms()
    assert "A legal hold forbids to erase what this person wrote." in page.text
    assert "case 12" in page.text
    wanted = {"reason": "letter of 3 May", "confirm": "ana", "once": str(uuid7())}
    refused(alma, erase, wanted, 409, "A legal hold forbids to erase what this person wrote.")
    lift = reverse("admin:lift-hold", args=[hold.id])
    assert lift in read(rita.get(reverse(PAGE))).forms()
    refused(rita, lift, {"reason": " "}, 422, "reason")
    assert rita.post(lift, {"reason": "settled"}).status_code == 302
    refused(rita, lift, {"reason": "settled"}, 409, "was lifted before")
    assert "One that was lifted" in read(rita.get(reverse(PAGE))).text
    refused(alma, erase, {**wanted, "confirm": "anna"}, 422, "not what this person is called", events=0)
    refused(alma, erase, {**wanted, "reason": ""}, 422, "required", events=0)
    wanted["once"] = str(uuid7())
    answer = alma.post(erase, wanted, follow=True)
    assert "Erased: 1 texts." in read(answer).text
    erased = Event.objects.get(verb="person.erased", outcome="done")
    assert text_of(erased.id, "reason") == "letter of 3 May"
    with unchanged(refusals=0):  # the same form sent again, by a double click or by hand
        for typed in ("ana", str(ana.id)[:8]):
            answer = alma.post(erase, {**wanted, "confirm": typed})
            assert (answer.status_code, answer["Location"]) == (302, f"{reverse(PAGE)}?person={ana.id}")


def test_who_may_not(cast: Cast, as_person: SignIn) -> None:
    ana = cast.people["ana"]
    erase, place = (reverse(f"admin:{name}", args=[ana.id]) for name in ("erase-person", "place-hold"))
    alma, rita = as_person("alma"), as_person("rita")
    with unchanged(refusals=0):
        for name in ("ana", "bruno", "clara"):
            client = as_person(name)
            assert client.get(reverse(PAGE)).status_code == 403
            assert client.post(erase, {"reason": "r", "confirm": "ana"}).status_code == 404
            assert client.post(place, {"reason": "r"}).status_code == 404
            assert reverse(PAGE) not in client.get(reverse("admin:roles")).content.decode()
        davi = cast.people["davi"].id
        for given in ({"person": "davi"}, {"person": str(davi)}, {"person": "nobody"}):
            answer = alma.get(reverse(PAGE), given)
            assert answer.status_code == 404
            assert "Nobody who is called so" in read(answer).text
        assert alma.post(reverse("admin:erase-person", args=[davi]), {"reason": "r"}).status_code == 404
        assert rita.post(reverse("admin:place-hold", args=[davi]), {"reason": "r"}).status_code == 404
        assert rita.post(reverse("admin:lift-hold", args=[davi]), {"reason": "r"}).status_code == 404
        for path in (erase, place, reverse("admin:lift-hold", args=[davi])):
            assert alma.get(path).status_code == 405
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(cast.people["alma"])
    with unchanged(refusals=0):
        assert strict.post(erase, {"reason": "r", "confirm": "ana"}).status_code == 403
    refused(rita, erase, {"reason": "r", "confirm": "ana"}, 403, "person.erase")
    refused(alma, place, {"reason": "r"}, 403, "hold.manage")
    own = reverse("admin:erase-person", args=[cast.people["alma"].id])
    refused(alma, own, {"reason": "r", "confirm": "alma", "once": str(uuid7())}, 409, "their own traces")


@pytest.mark.parametrize(
    ("language", "gone", "link"),
    [
        ("en", "erased person", "Personal data and legal holds"),
        ("pt-br", "pessoa apagada", "Dados pessoais e retenções legais"),
    ],
)
def test_somebody_erased_is_shown_as_that_everywhere(
    cast: Cast, as_person: SignIn, language: str, gone: str, link: str
) -> None:
    promotion = scenario.awaiting_production(cast)
    alma, clara, bruno = as_person("alma"), as_person("clara"), as_person("bruno")
    ana = cast.people["ana"]
    told = {"Accept-Language": language}
    answer = alma.post(
        reverse("admin:erase-person", args=[ana.id]),
        {"reason": "r", "confirm": "ana", "once": str(uuid7())},
        headers=told,
    )
    assert answer.status_code == 302
    word = f"{gone} ({str(ana.id)[:8]})"

    def shown(client: Client, name: str, *args: Any, **query: str) -> str:
        answer = client.get(reverse(f"admin:{name}", args=args), query, headers=told)
        assert answer.status_code == 200, name
        text = read(answer).text
        assert "Ana" not in text, name
        return text

    for client, name, args in (
        (clara, "trail", ()), (clara, "roles", ()), (clara, "people", ()), (bruno, "promotion", (promotion.id,)),
        (alma, "tokens", ()), (alma, "privacy", ()), (bruno, "use-cases", ()),
    ):  # fmt: skip
        text = shown(client, name, *args)
        if name not in ("privacy", "tokens", "use-cases"):
            assert word in text, name
    shown(bruno, "inbox")
    shown(clara, "who-could", action="promotion.decide")
    assert word in shown(alma, "privacy", person=str(ana.id))
    assert link in shown(alma, "people")
    assert link in shown(alma, "roles")
    assert link not in shown(clara, "people")
    people = read(alma.get(reverse("admin:people"), headers=told))
    assert reverse("admin:account", args=[f"erased-{ana.id.hex[:12]}"]) not in people.forms()


def test_somebody_outside_is_found_without_an_account(cast: Cast, as_person: SignIn) -> None:
    version = study.study(cast)
    study.put_in_force(cast, OUTSIDE)
    invited(cast, waiting(cast, version), name="Eva Lima")
    guest, alma = SignoffInvitation.objects.get().actor_id, as_person("alma")
    page = read(alma.get(reverse(PAGE)))
    assert "Eva Lima" in page.text
    assert any(given.get("href") == f"{reverse(PAGE)}?person={guest}" for _, given in page.elements)
    path = reverse("admin:erase-person", args=[guest])
    assert path in read(alma.get(reverse(PAGE), {"person": str(guest)})).forms()
    given = {"reason": "asked", "confirm": str(guest)[:8], "once": str(uuid7())}
    assert alma.post(path, given).status_code == 302
    text = read(alma.get(reverse(PAGE))).text
    assert "Eva" not in text
    assert f"erased person ({str(guest)[:8]})" in text
