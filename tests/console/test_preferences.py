from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from governance.models import MailPreference
from tests.cast import Cast
from tests.console.markup import read

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "migrator"])
SignIn = Callable[[str], Client]


@pytest.fixture
def cast(committed_cast: Cast) -> Cast:
    return committed_cast


def test_the_form_shows_and_keeps_what_was_chosen(cast: Cast, as_person: SignIn, settings: Any) -> None:
    settings.CRIVO_MAIL = True
    bruno, url = as_person("bruno"), reverse("admin:preferences")
    response = bruno.get(url)
    page = read(response)
    assert "script-src 'self'; style-src 'self'" in response["Content-Security-Policy"]
    assert "unsafe" not in response["Content-Security-Policy"]
    assert "You have no e-mail address here" in page.text
    assert response.context["form"].initial == {"mode": "immediately", "language": ""}
    answer = bruno.post(url, {"mode": "daily", "language": "pt-br"})
    assert (answer.status_code, answer["Location"]) == (302, url)
    row = MailPreference.objects.get()
    assert (row.person_id, row.mode, row.language) == (cast.people["bruno"].id, "daily", "pt-br")
    again = bruno.get(url)
    assert "Your preferences are saved." in read(again).text
    assert again.context["form"].initial == {"mode": "daily", "language": "pt-br"}


def test_a_forged_form_changes_nothing(cast: Cast, as_person: SignIn) -> None:
    bruno, url = as_person("bruno"), reverse("admin:preferences")
    answer = bruno.post(url, {"mode": "hourly"})
    assert answer.status_code == 422
    assert "hourly is no way to get mail." in read(answer).text
    assert bruno.put(url).status_code == 405
    assert not MailPreference.objects.exists()
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(cast.people["bruno"])
    assert strict.post(url, {"mode": "daily"}).status_code == 403
    assert not MailPreference.objects.exists()
