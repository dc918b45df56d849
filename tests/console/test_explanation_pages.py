"""One record explained on a page: asked for, answered in a figure, numbers and words; the record itself on no page."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from audits.models import Explanation
from audits.services import confined
from audits.services.explaining import run_explanation
from audits.services.explanations import unsealed
from tests.cast import Cast
from tests.console.markup import read
from tests.governance.test_explanations import CANARY, everything_kept, registered
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True)
SignIn = Callable[[str], Client]
PATH = "/admin/models/progression/versions/1/explanations"
SEEN = str(CANARY).split(".")[0]


@pytest.fixture(scope="module", autouse=True)
def _end_of_the_zygote() -> Iterator[None]:
    yield
    confined.zygote().close()
    confined.zygote.cache_clear()


@pytest.fixture
def as_person(committed_cast: Cast) -> SignIn:
    """Everybody signed in beforehand: a test that counts rows must not write the time of a login."""
    clients = {name: Client() for name in committed_cast.people}
    for name, client in clients.items():
        client.force_login(committed_cast.people[name])
    return clients.__getitem__


@pytest.fixture
def strict(committed_cast: Cast) -> Client:
    """As ana, from a page that is not ours: without the token of a form."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(committed_cast.people["ana"])
    return client


@pytest.mark.parametrize(("language", "words"), [("en", "on average to"), ("pt-br", "em média para")])
def test_a_record_is_explained(committed_cast: Cast, as_person: SignIn, language: str, words: str) -> None:
    _, record = registered(committed_cast)
    assert reverse("admin:explanations", args=["progression", 1]) == PATH
    ana = as_person("ana")
    ana.defaults["HTTP_ACCEPT_LANGUAGE"] = language
    page = read(ana.get(PATH))
    sent = {"record": json.dumps(record), "lime": "on", "once": page.value_of("once")}
    answer = ana.post(PATH, sent)
    row = Explanation.objects.get()
    assert answer.headers["Location"] == reverse("admin:explanation", args=[row.id])
    assert ana.post(PATH, sent).headers["Location"] == answer.headers["Location"], "a double click"
    assert Explanation.objects.count() == 1
    assert unsealed(row) == record
    assert SEEN not in everything_kept()
    address = reverse("admin:explanation", args=[row.id])
    assert "svg" not in [
        tag for tag, given in read(ana.get(address)).elements if given.get("class") == "plot"
    ]
    assert run_explanation(row.id) is not None
    response = ana.get(address)
    done = read(response)
    assert words in done.text
    assert (
        len([1 for tag, given in done.elements if tag == "svg" and "plot" in (given.get("class") or "")]) == 2
    )
    assert done.text.count("bmi") >= 3
    assert "R²" in done.text
    row.refresh_from_db()
    assert len([1 for tag, given in done.elements if tag == "table"]) == 2
    for name, _ in row.result["tables"][0]["rows"]:
        assert name in done.text
    for shown in (response, ana.get(PATH), as_person("clara").get(PATH)):
        assert SEEN not in shown.content.decode()
    assert as_person("davi").get(address).status_code == 404


def test_what_is_refused_shows_no_record(committed_cast: Cast, as_person: SignIn, strict: Client) -> None:
    _, record = registered(committed_cast)
    ana = as_person("ana")
    for text in ("{" + str(CANARY), f"[{CANARY}]", '{"bmi": NaN, "age": 73519}', "[" * 90_000 + SEEN, ""):
        with unchanged(refusals=0):
            answer = ana.post(PATH, {"record": text, "once": uuid4()})
        assert answer.status_code == 422, text[:20]
        assert "no-store" in answer["Cache-Control"]
        read(answer)
        assert SEEN not in answer.content.decode()
    for given in ({"bmi": [CANARY]}, {"bmi": str(CANARY) * 3000}):
        with unchanged(refusals=1):
            answer = ana.post(PATH, {"record": json.dumps(given), "once": uuid4()})
        assert answer.status_code == 422
        assert SEEN not in answer.content.decode()
    with unchanged(refusals=1):
        answer = as_person("clara").post(PATH, {"record": json.dumps(record), "once": uuid4()})
        assert answer.status_code == 403
    assert SEEN not in answer.content.decode()
    with unchanged(refusals=0):
        assert as_person("clara").post(PATH, {"record": "no"}).status_code == 403
        assert (
            as_person("davi").post(PATH, {"record": json.dumps(record), "once": uuid4()}).status_code == 404
        )
        assert strict.post(PATH, {"record": json.dumps(record), "once": uuid4()}).status_code == 403
    assert not Explanation.objects.exists()
