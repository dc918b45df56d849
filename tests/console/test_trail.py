from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from audits.models import Event
from governance.models import Promotion
from tests import scenario
from tests.cast import Cast
from tests.console.conftest import page_of
from tests.console.markup import read

SignIn = Callable[[str], Client]


def found(client: Client, **query: str) -> list[str]:
    response = client.get(reverse("admin:trail"), query)
    assert response.status_code == 200
    read(response)
    return [line.text for line in response.context["trail"].lines]


def test_everything_of_the_workspace_newest_first(
    cast: Cast, as_person: SignIn, waiting: Promotion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("governance.console.trail.PAGE", 20)
    clara = as_person("clara")
    events = Event.objects.filter(workspace=cast.workspace).order_by("-at", "-id")
    response = clara.get(reverse("admin:trail"))
    shown = [line.event.id for line in response.context["trail"].lines]
    assert shown == [event.id for event in events[:20]]
    older = response.context["trail"].older
    rest = clara.get(reverse("admin:trail"), {"before": str(older)}).context["trail"]
    assert [line.event.id for line in rest.lines] == [event.id for event in events[20:40]]
    assert page_of(waiting) in read(response).links


def test_searching(cast: Cast, as_person: SignIn, waiting: Promotion) -> None:
    clara = as_person("clara")
    assert found(clara, q="Bruno") == [
        "Bruno placed diabetes@1 in homologation",
        "Bruno granted diabetes@1 → homologation",
        "Bruno approved diabetes@1 → homologation as Validator",
    ]
    assert found(clara, verb="model_version.registered") == [
        "training pipeline registered the model version diabetes@1"
    ]
    assert found(clara, q="pipeline model_version") == found(clara, verb="model_version.registered")
    assert found(clara, q=str(waiting.id), verb="promotion.requested") == [
        "training pipeline asked for the promotion diabetes@1 → production"
    ]
    digest = waiting.version.artifact_digest
    assert found(clara, q=digest) == ["training pipeline registered the model version diabetes@1"]
    assert "the operator's shell gave the role Approver to Bia" in found(clara, verb="role.bound")
    assert found(clara, q="no such thing") == []
    assert found(clara, since="2999-01-01") == []
    assert found(clara, until="1999-01-01") == []
    assert len(found(clara, since="2000-01-01", until="2999-01-01")) == len(found(clara)) > 40


def test_a_search_that_makes_no_sense(as_person: SignIn) -> None:
    clara = as_person("clara")
    for query in ({"since": "yesterday"}, {"verb": "no.such"}, {"before": "x"}, {"outcome": "maybe"}):
        response = clara.get(reverse("admin:trail"), query)
        assert response.status_code == 400
        read(response)
    for hostile in ("%", "\\", "'", '"><script>', "a" * 200, "sha256:x", "( | &"):
        assert clara.get(reverse("admin:trail"), {"q": hostile}).status_code == 200
    assert clara.get(reverse("admin:trail"), {"q": "a\x00b"}).status_code == 400


@pytest.mark.django_db(transaction=True)
def test_refusals_stand_in_it(committed_cast: Cast) -> None:
    from audits.errors import Forbidden

    promotion = scenario.awaiting_production(committed_cast)
    with pytest.raises(Forbidden):
        scenario.word(committed_cast, "ana", promotion)
    client = Client()
    client.force_login(committed_cast.people["clara"])
    assert found(client, outcome="refused") == ["Ana was refused on diabetes@1 → production"]


def test_another_workspace_is_not_searched(cast: Cast, as_person: SignIn, waiting: Promotion) -> None:
    elsewhere = Event.objects.filter(workspace=cast.elsewhere).latest("at")
    assert found(as_person("clara"), q=str(elsewhere.id)) == []
    assert found(as_person("clara"), q="elsewhere") == []
