"""Giving and taking on pages: each form is its service; what that refuses is said, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from audits.actors import Command, system_actor
from governance.models import ApiToken, Group, GroupMembership, RoleBinding, User
from governance.services import access
from governance.services.access import bind_role
from governance.services.people import create_person
from registry.services.models import register_model
from tests.cast import Cast
from tests.console.markup import read
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True)
SignIn = Callable[[str], Client]
ROLE: dict[str, Any] = {
    "role": "validator", "kind": "person", "name": "nina", "scope": "workspace", "on": "", "recertify_days": "90",
}  # fmt: skip


@pytest.fixture
def cast(committed_cast: Cast) -> Cast:
    cast = committed_cast
    shell = Command(system_actor("shell", cast.workspace.id))
    for name in ("alma", "nina"):
        cast.people[name] = create_person(command=shell, username=name).value
    bind_role(command=shell, role="administrator", person=cast.people["alma"])
    register_model(command=cast.command("pipeline"), name="scoring")
    return cast


@pytest.fixture
def as_person(cast: Cast) -> SignIn:
    """Everybody signed in beforehand: a test that counts rows must not write the time of a login."""
    clients = {name: Client() for name in cast.people}
    for name, client in clients.items():
        client.force_login(cast.people[name])
    return clients.__getitem__


@pytest.fixture
def strict(cast: Cast) -> Client:
    """As alma, from a page that is not ours: without the token of a form."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(cast.people["alma"])
    return client


def refused(client: Client, path: str, given: dict[str, Any], status: int, words: str = "") -> None:
    with unchanged(refusals=1):
        answer = client.post(path, given)
    assert answer.status_code == status, (path, given)
    page = read(answer)
    assert words in page.text
    assert any(given.get("role") == "alert" for _, given in page.elements)


def test_a_role_is_given_and_taken(cast: Cast, as_person: SignIn, strict: Client) -> None:
    path, alma = reverse("admin:give-role"), as_person("alma")
    assert path in read(alma.get(reverse("admin:roles"))).forms()
    assert path not in read(as_person("bruno").get(reverse("admin:roles"))).forms()
    assert alma.post(path, ROLE).status_code == 302
    wide = RoleBinding.objects.get(person=cast.people["nina"])
    assert (wide.role, wide.scope_kind, wide.recertify_every.days) == ("validator", "workspace", 90)
    assert alma.post(path, {**ROLE, "scope": "model", "on": "scoring"}).status_code == 302
    narrow = RoleBinding.objects.get(person=cast.people["nina"], scope_kind="model")
    group = access.create_group(command=Command(system_actor("shell", cast.workspace.id)), name="board").value
    assert alma.post(path, {**ROLE, "kind": "group", "name": "board"}).status_code == 302
    token = cast.pipeline_token
    assert (
        alma.post(path, {**ROLE, "role": "deployer", "kind": "token", "name": token.public_id}).status_code
        == 302
    )
    assert RoleBinding.objects.filter(group=group).exists()
    assert RoleBinding.objects.filter(token=token, role="deployer").exists()
    assert "not effective yet" in read(alma.get(reverse("admin:roles"))).text

    take = reverse("admin:take-role", args=[narrow.id])
    with unchanged(refusals=1):
        assert as_person("clara").post(take).status_code == 403
    with unchanged(refusals=0):
        assert alma.get(take).status_code == 405
        assert as_person("davi").post(take).status_code == 404
        assert strict.post(take).status_code == 403
        assert strict.post(path, {**ROLE, "role": "auditor"}).status_code == 403
    assert alma.post(take).status_code == 302
    narrow.refresh_from_db()
    wide.refresh_from_db()
    assert narrow.revoked_at is not None
    assert wide.revoked_at is None


def test_what_is_refused_of_roles(cast: Cast, as_person: SignIn) -> None:
    path, alma = reverse("admin:give-role"), as_person("alma")
    refused(alma, path, {**ROLE, "name": "alma"}, 409, "to themselves")
    refused(alma, path, {**ROLE, "name": "nobody"}, 422, "nobody")
    refused(alma, path, {**ROLE, "scope": "service"}, 403)
    refused(alma, path, {**ROLE, "scope": "model"}, 422)
    refused(as_person("bruno"), path, ROLE, 403)
    refused(as_person("bruno"), path, {**ROLE, "role": "king"}, 403)
    with unchanged(refusals=0):
        for gap, words in (
            ({"role": "king"}, "king"),
            ({"recertify_days": "0"}, "1"),
            ({"scope": "planet"}, "planet"),
        ):
            answer = alma.post(path, {**ROLE, **gap})
            assert answer.status_code == 422
            assert words in read(answer).text
            assert read(answer).value_of("name") == "nina"
        for gap in (
            {"scope": "model", "on": "unseen"},
            {"kind": "group", "name": "no"},
            {"kind": "token", "name": "x"},
        ):
            assert alma.post(path, {**ROLE, **gap}).status_code == 404


def test_groups_and_their_members(cast: Cast, as_person: SignIn) -> None:
    alma, path = as_person("alma"), reverse("admin:new-group")
    assert alma.post(path, {"name": "board", "description": "Decides."}).status_code == 302
    group = Group.objects.get(name="board")
    members = reverse("admin:group-member", args=["board"])
    page = read(alma.get(reverse("admin:people")))
    assert {path, members, reverse("admin:new-person")} <= set(page.forms())
    assert not {path, members} & set(read(as_person("clara").get(reverse("admin:people"))).forms())
    assert alma.post(members, {"person": "nina", "act": "add"}).status_code == 302
    assert GroupMembership.objects.get(group=group, removed_at=None).person == cast.people["nina"]
    refused(alma, members, {"person": "nobody", "act": "add"}, 422, "nobody")
    refused(alma, members, {"person": "alma", "act": "add"}, 409)
    refused(alma, path, {"name": "no such name!"}, 422)
    refused(as_person("clara"), path, {"name": "mine"}, 403)
    refused(as_person("clara"), members, {"person": "bruno", "act": "add"}, 403)
    refused(as_person("clara"), members, {"person": "nina", "act": "remove"}, 403)
    with unchanged(refusals=0):
        assert alma.post(path, {"name": ""}).status_code == 422
        assert as_person("davi").post(members, {"person": "davi"}).status_code == 404
        assert alma.get(members).status_code == alma.get(path).status_code == 405
    assert alma.post(members, {"person": "nina", "act": "remove"}).status_code == 302
    assert not GroupMembership.objects.filter(group=group, removed_at=None).exists()


def test_accounts_are_made_ended_and_restored(cast: Cast, as_person: SignIn) -> None:
    alma, path = as_person("alma"), reverse("admin:new-person")
    assert (
        alma.post(path, {"username": "olga", "first_name": "Olga", "email": "o@example.org"}).status_code
        == 302
    )
    olga = User.objects.get(username="olga")
    assert not olga.has_usable_password()
    assert not olga.is_superuser
    account = reverse("admin:account", args=["olga"])
    refused(alma, path, {"username": "olga"}, 409, "olga")
    refused(alma, account, {"reason": " ", "act": "end"}, 422)
    refused(alma, reverse("admin:account", args=["alma"]), {"reason": "r", "act": "end"}, 409)
    refused(as_person("clara"), account, {"reason": "r", "act": "end"}, 403)
    refused(as_person("clara"), path, {"username": "mine"}, 403)
    with unchanged(refusals=0):
        assert alma.post(path, {"username": "x", "email": "no address"}).status_code == 422
        assert as_person("bruno").post(account, {"reason": "r", "act": "end"}).status_code == 404
        assert alma.get(account).status_code == 405
    assert alma.post(account, {"reason": "She left.", "act": "end"}).status_code == 302
    olga.refresh_from_db()
    assert not olga.is_active
    assert "Restore the account" in read(alma.get(reverse("admin:people"))).text
    assert alma.post(account, {"reason": "She is back.", "act": "restore"}).status_code == 302
    olga.refresh_from_db()
    assert olga.is_active


def test_a_token_is_shown_once_and_revoked(cast: Cast, as_person: SignIn) -> None:
    alma, path = as_person("alma"), reverse("admin:tokens")
    page = read(alma.get(path))
    given = {"name": "nightly", "kind": "service", "person": "", "days": "30", "scopes": ["gate:read"]}
    given["once"] = page.value_of("once")
    answer = alma.post(path, given)
    assert "no-store" in answer["Cache-Control"]
    text = next(e.get("value") for tag, e in read(answer).elements if e.get("id") == "text") or ""
    row = ApiToken.objects.get(name="nightly")
    assert row.public_id in text
    assert (row.kind, row.person, row.scopes) == ("service", cast.people["alma"], ["gate:read"])
    again = alma.post(path, given, follow=True)
    assert ApiToken.objects.filter(name="nightly").count() == 1
    secret = text.replace(row.public_id, "")
    for shown in (again, alma.get(path)):
        assert text not in shown.content.decode()
        assert secret not in shown.content.decode()
        assert row.secret_hash not in shown.content.decode()
    del given["once"]
    refused(alma, path, {**given, "kind": "personal", "person": "nina"}, 403)
    refused(alma, path, {**given, "person": "nobody"}, 422, "nobody")
    refused(as_person("bruno"), path, given, 403)
    with unchanged(refusals=0):
        assert alma.post(path, {**given, "days": "900"}).status_code == 422
        assert alma.post(path, {**given, "scopes": []}).status_code == 422
    revoke = reverse("admin:revoke-token", args=[row.id])
    refused(as_person("clara"), revoke, {}, 403)
    with unchanged(refusals=0):
        assert as_person("bruno").post(revoke).status_code == 404
        assert as_person("davi").post(revoke).status_code == 404
        assert alma.get(revoke).status_code == 405
    assert alma.post(revoke).status_code == 302
    row.refresh_from_db()
    assert row.revoked_at is not None


def test_everybody_sees_and_revokes_their_own_tokens(cast: Cast, as_person: SignIn) -> None:
    path, ana = reverse("admin:tokens"), as_person("ana")
    text = read(ana.get(path)).text
    assert "training pipeline" in text
    assert "Issue a token" not in text
    assert "training pipeline" not in read(as_person("bruno").get(path)).text
    assert ana.post(reverse("admin:revoke-token", args=[cast.pipeline_token.id])).status_code == 302
    cast.pipeline_token.refresh_from_db()
    assert cast.pipeline_token.revoked_at is not None
