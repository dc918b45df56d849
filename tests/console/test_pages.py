"""Every page × every person: who sees what, and always under the strict policy."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from audits.actors import Command, system_actor
from governance.models import Promotion, User
from governance.services.identity import bind_role
from tests.cast import Cast
from tests.console.conftest import decide_at, page_of
from tests.console.markup import read

SignIn = Callable[[str], Client]
EVERYBODY = ["ana", "bruno", "bia", "clara", "rita", "davi"]


def test_who_may_open_what(as_person: SignIn, waiting: Promotion) -> None:
    for name in EVERYBODY:
        client = as_person(name)
        expected = {
            reverse("admin:inbox"): 200,
            page_of(waiting): 404 if name == "davi" else 200,
            page_of(uuid4()): 404,
            reverse("admin:roles"): 200,
            reverse("admin:trail"): 200 if name == "clara" else 403,
        }
        for path, status in expected.items():
            response = client.get(path)
            assert response.status_code == status, (name, path)
            assert (reverse("admin:trail") in read(response).links) == (name == "clara")


@pytest.mark.parametrize("language", ["en", "pt-br"])
def test_both_languages(language: str, as_person: SignIn, waiting: Promotion) -> None:
    for name in EVERYBODY:
        client = as_person(name)
        pages = [reverse("admin:inbox"), page_of(waiting), reverse("admin:roles"), reverse("admin:trail")]
        for path in pages:
            page = read(client.get(path, headers={"Accept-Language": language}))
            assert ("html", {"lang": language}) in page.elements
            assert ("Log out" in page.text) == (language == "en")


def test_strangers_are_sent_to_the_login(waiting: Promotion) -> None:
    client = Client()
    for path in (reverse("admin:inbox"), page_of(waiting), reverse("admin:roles"), reverse("admin:trail")):
        response = client.get(path)
        assert response.status_code == 302
        assert response["Location"] == f"{reverse('admin:login')}?next={path}"
    response = client.post(decide_at(waiting), {"verdict": "approve", "reason": "x"})
    assert response.status_code == 302
    assert not waiting.decisions.exists()


def test_the_login_page_has_nothing_inline(db: None) -> None:
    from tests.console.markup import Page

    response = Client().get(reverse("admin:login"))
    assert Page(response.content.decode()).blocked == []


def test_somebody_who_is_not_staff_does_not_get_in(cast: Cast, waiting: Promotion) -> None:
    person = User.objects.create_user("zeca", password="long enough for zeca")
    bind_role(command=Command(system_actor("shell", cast.workspace.id)), role="validator", person=person)
    client = Client()
    client.force_login(person)
    assert client.get(page_of(waiting)).status_code == 302


def test_staff_without_a_role_is_told_so(cast: Cast, waiting: Promotion) -> None:
    client = Client()
    client.force_login(User.objects.create_user("nina", is_staff=True))
    for path in (reverse("admin:inbox"), page_of(waiting), reverse("admin:roles"), reverse("admin:trail")):
        response = client.get(path)
        assert response.status_code == 403
        assert "You hold no role in any workspace." in read(response).text


def test_a_superuser_without_a_role_sees_no_dossier(cast: Cast, waiting: Promotion) -> None:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    assert client.get(page_of(waiting)).status_code == 403


def test_the_index_leads_to_the_inbox(as_person: SignIn) -> None:
    response = as_person("bruno").get(reverse("admin:index"))
    assert response.status_code == 302
    assert response["Location"] == reverse("admin:inbox")


def test_the_workspace_is_chosen_among_ones_own(cast: Cast, as_person: SignIn, waiting: Promotion) -> None:
    shell = Command(system_actor("shell", cast.elsewhere.id))
    bind_role(command=shell, role="approver", person=cast.people["bruno"])
    client = as_person("bruno")
    assert client.get(page_of(waiting)).status_code == 200  # `default` first
    response = client.post(reverse("admin:workspace"), {"workspace": str(cast.elsewhere.id)})
    assert response["Location"] == reverse("admin:inbox")
    assert client.get(page_of(waiting)).status_code == 404
    davi = as_person("davi")
    davi.post(reverse("admin:workspace"), {"workspace": str(cast.workspace.id)})
    assert davi.get(page_of(waiting)).status_code == 404, "a workspace without a role cannot be chosen"


def test_the_roles_page_is_the_table_of_the_code(cast: Cast, as_person: SignIn) -> None:
    from governance.roles import ACTIONS, ROLES

    response = as_person("clara").get(reverse("admin:roles"))
    shown = response.context["table"]
    assert {row.action for row in shown.rows} == ACTIONS
    for row in shown.rows:
        for role, permitted in row.permitted:
            assert permitted == (row.action in ROLES[role.slug].actions)
    holders = {str(title): [holder.name for holder in people] for title, people in shown.holders}
    assert holders["Validator"] == ["Ana", "Bruno"]
    assert holders["Approver"] == ["Bia"]
    assert holders["Pipeline"] == ["training pipeline"]
    assert "Davi" not in read(response).text
