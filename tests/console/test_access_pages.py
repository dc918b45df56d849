"""The pages about roles, who could have, and use cases."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from audits.actors import Command, system_actor
from governance.models import RoleBinding, User
from governance.models.access import RoleRecertification
from governance.services import access
from governance.services.access import bind_role
from governance.services.people import create_person, deactivate_person
from governance.services.use_cases import register_use_case
from registry.services.models import register_model
from tests import scenario
from tests.cast import Cast
from tests.console.markup import read
from tests.governance.test_access import aged
from tests.governance.test_use_cases import COMPLETE, answers

pytestmark = pytest.mark.django_db(transaction=True)
SignIn = Callable[[str], Client]


@pytest.fixture
def cast(committed_cast: Cast) -> Cast:
    cast = committed_cast
    cast.people["alma"] = User.objects.create_user("alma", is_staff=True)
    cast.people["nina"] = User.objects.create_user("nina", is_staff=True)
    shell = Command(system_actor("shell", cast.workspace.id))
    bind_role(command=shell, role="administrator", person=cast.people["alma"])
    model = register_model(command=cast.command("pipeline"), name="scoring").value
    bind_role(command=shell, role="validator", person=cast.people["nina"], scope="model", on=model.ref)
    return cast


def test_the_roles_page_says_on_what_a_role_is_held(cast: Cast, as_person: SignIn) -> None:
    assert "(one model: scoring)" in read(as_person("clara").get(reverse("admin:roles"))).text
    narrow = read(as_person("nina").get(reverse("admin:roles"))).text
    assert "nina" in narrow
    assert "bruno" not in narrow, "who may see one model sees who holds a role on it, and nobody else"


@pytest.mark.past_the_door
def test_a_role_is_recertified_on_the_page(cast: Cast, as_person: SignIn) -> None:
    binding = RoleBinding.objects.get(person=cast.people["bia"])
    aged(binding, 320)
    alma = as_person("alma")
    assert "Roles to recertify" in read(alma.get(reverse("admin:roles"))).text
    assert "Roles to recertify" not in read(as_person("clara").get(reverse("admin:roles"))).text
    path = reverse("admin:recertify", args=[binding.id])
    assert alma.get(path).status_code == 405
    assert alma.post(path, {"reason": " "}).status_code == 422
    assert as_person("bruno").post(path, {"reason": "r"}).status_code == 404
    assert as_person("clara").post(path, {"reason": "r"}).status_code == 403
    assert not RoleRecertification.objects.exists()
    assert alma.post(path, {"reason": "Bia still approves."}).status_code == 302
    assert RoleRecertification.objects.get().binding == binding
    scenario.publish()
    assert "Roles to recertify" not in read(alma.get(reverse("admin:roles"))).text


def test_who_could_is_for_those_who_may_read_about_access(cast: Cast, as_person: SignIn) -> None:
    path = reverse("admin:who-could")
    for name, status in (("clara", 200), ("rita", 200), ("alma", 200), ("bruno", 403), ("nina", 403)):
        assert as_person(name).get(path).status_code == status, name
    clara = as_person("clara")
    text = read(clara.get(path, {"action": "promotion.decide", "model": "scoring"})).text
    assert "nina" in text
    assert "crivo_app" in text
    assert "nina" not in read(clara.get(path, {"action": "promotion.decide"})).text
    assert clara.get(path, {"action": "fly"}).status_code == 400
    assert clara.get(path, {"action": "gate.read", "at": "2999-01-01T00:00"}).status_code == 400
    assert clara.get(path, {"action": "gate.read", "model": "unseen"}).status_code == 404


@pytest.mark.parametrize(
    ("language", "basis"), [("en", "Protection of health"), ("pt-br", "Tutela da saúde")]
)
def test_the_page_of_a_use_case(cast: Cast, as_person: SignIn, language: str, basis: str) -> None:
    register_use_case(
        command=cast.command("ana"), name="calls", purpose="Whom to call first.",
        questionnaire=answers("essential_services"), details=COMPLETE,
    )  # fmt: skip
    path = reverse("admin:use-case", args=["calls"])
    page = read(as_person("bruno").get(path, headers={"Accept-Language": language}))
    for text in ("Whom to call first.", "AI Act Annex III(5)", basis, "Patients of the clinic."):
        assert text in page.text, text
    assert as_person("nina").get(path).status_code == 404
    assert as_person("davi").get(path).status_code == 404


@pytest.mark.parametrize(
    ("language", "ended", "given"),
    [
        ("en", "account ended", "No other role gives any."),
        ("pt-br", "conta encerrada", "Nenhum outro papel dá papéis."),
    ],
)
def test_people_and_groups(cast: Cast, as_person: SignIn, language: str, ended: str, given: str) -> None:
    shell = Command(system_actor("shell", cast.workspace.id))
    group = access.create_group(command=shell, name="board").value
    bind_role(command=shell, role="approver", group=group)
    access.add_member(command=shell, group=group, person=cast.people["bruno"])
    gone = create_person(command=shell, username="gone").value
    deactivate_person(command=shell, person=gone, reason="r")
    path = reverse("admin:people")
    assert [as_person(name).get(path).status_code for name in ("bruno", "nina")] == [403, 403]
    text = read(as_person("clara").get(path, headers={"Accept-Language": language})).text
    for wanted in ("board", "gone", ended, "nina"):
        assert wanted in text, wanted
    assert "davi" not in text, "of another workspace"
    assert (
        given
        in read(as_person("clara").get(reverse("admin:roles"), headers={"Accept-Language": language})).text
    )
