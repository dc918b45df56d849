"""Accounts: made, ended and restored through the door, each told of; and who could have done what then."""

from __future__ import annotations

import ast
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audits.actors import Command, system_actor
from audits.errors import Conflict, Forbidden, Unprocessable
from audits.models import Event
from audits.privacy import home_of
from audits.sealing import text_of
from governance.models import RoleBinding, User
from governance.services.identity import Issued, issue_token
from governance.services.people import create_person, deactivate_person, reactivate_person
from governance.who_could import who_could
from tests.cast import Cast
from tests.governance.test_access import cast as cast  # the fixture: with Alma and Ugo, administrators
from tests.governance.test_access import give, may, shell
from tests.governance.test_access_api import As
from tests.governance.test_who_could import names
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True)
ROOT = Path(__file__).resolve().parents[2]


def told(person: User) -> list[tuple[str, str]]:
    rows = Event.objects.filter(subject_kind="person", subject_id=person.id, outcome="done")
    return list(rows.order_by("subject_seq").values_list("verb", "actor_kind"))


def test_an_account_from_making_to_ending_to_restoring(cast: Cast) -> None:
    person = create_person(command=cast.command("alma"), username="vera", first_name="Vera").value
    assert (person.is_active, person.is_superuser, person.has_usable_password()) == (True, False, False)
    cast.people["vera"] = person
    give(cast, "shell", "validator", person=person)
    client, headers = Client(), cast.headers("vera")
    session = Client()
    session.force_login(person)
    assert client.get("/api/v1/me", headers=headers).status_code == 200
    assert session.get(reverse("admin:inbox")).status_code == 200
    deactivate_person(command=cast.command("alma"), person=person, reason="She has left.")
    assert client.get("/api/v1/me", headers=headers).status_code == 401
    assert session.get(reverse("admin:inbox")).status_code == 302
    with unchanged(refusals=0):
        deactivate_person(command=cast.command("alma"), person=person, reason="Again.")
    reactivate_person(command=cast.command("ugo"), person=person, reason="She is back.")
    assert client.get("/api/v1/me", headers=headers).status_code == 200
    assert told(person) == [
        ("person.created", "person"), ("person.deactivated", "person"), ("person.reactivated", "person"),
    ]  # fmt: skip
    ended = Event.objects.get(verb="person.deactivated")
    assert text_of(ended.id, "reason") == "She has left."
    assert "vera" not in json.dumps([ended.subject_label, ended.detail]), "names do not enter the ledger"


def test_who_may_not(cast: Cast) -> None:
    nina, alma = cast.people["nina"], cast.people["alma"]
    for name in ("bia", "clara", "rita", "pipeline", "nina"):
        for run, more in (
            (create_person, {"username": "x"}),
            (deactivate_person, {"person": nina, "reason": "r"}),
            (reactivate_person, {"person": nina, "reason": "r"}),
        ):
            with unchanged(refusals=1), pytest.raises(Forbidden, match="not_permitted"):
                run(command=cast.command(name), **more)
    robot = issue_token(
        command=shell(cast), person=alma, name="robot", kind="service", scopes=["admin"],
        lifetime=timedelta(days=1), issued=Issued(),
    ).value  # fmt: skip
    give(cast, "shell", "administrator", token=robot)
    from governance.actors import actor_of_token

    with unchanged(refusals=1), pytest.raises(Forbidden, match="not_permitted"):
        create_person(command=Command(actor_of_token(robot)), username="x")


def test_what_is_refused(cast: Cast) -> None:
    alma, nina = cast.command("alma"), cast.people["nina"]
    root = User.objects.create_superuser(username="root", password=None)
    theirs = create_person(command=Command(system_actor("shell", cast.elsewhere.id)), username="theirs").value
    give(cast, "shell", "auditor", person=theirs)
    cases: list[tuple[Any, type[Exception], str, dict[str, Any]]] = [
        (create_person, Conflict, "person_exists", {"username": "nina"}),
        (create_person, Unprocessable, "person_invalid", {"username": "no spaces"}),
        (create_person, Unprocessable, "person_invalid", {"username": "v", "email": "nowhere"}),
        (create_person, Forbidden, "not_permitted", {"username": "v", "superuser": True}),
        (deactivate_person, Conflict, "own_account", {"person": cast.people["alma"], "reason": "r"}),
        (deactivate_person, Forbidden, "superuser_by_shell", {"person": root, "reason": "r"}),
        (deactivate_person, Unprocessable, "reason_missing", {"person": nina, "reason": " "}),
        (deactivate_person, Conflict, "person_of_another_workspace", {"person": theirs, "reason": "r"}),
    ]
    for run, error, code, more in cases:
        with unchanged(refusals=1), pytest.raises(error, match=code):
            run(command=alma, **more)
    assert home_of(theirs.id) == cast.elsewhere.id


def test_the_shell_makes_superusers_and_the_trail_tells(cast: Cast) -> None:
    call_command("createsuperuser", username="operator", email="", interactive=False, verbosity=0)
    operator = User.objects.get(username="operator")
    assert told(operator) == [("person.created", "system")]
    assert Event.objects.get(subject_id=operator.id).detail == {"superuser": True, "active": True}


def test_a_superuser_cannot_go_past_it_in_the_admin(cast: Cast) -> None:
    client = Client()
    client.force_login(User.objects.create_superuser(username="root", password=None))
    nina = cast.people["nina"]
    with unchanged(refusals=0):
        assert client.get(reverse("admin:governance_user_changelist")).status_code == 200
        assert client.get(reverse("admin:governance_user_add")).status_code == 403
        assert client.post(reverse("admin:governance_user_add"), {"username": "x"}).status_code == 403
        change = reverse("admin:governance_user_change", args=[nina.id])
        assert client.post(change, {"username": "nina", "is_superuser": "on"}).status_code == 403
        delete = reverse("admin:governance_user_delete", args=[nina.id])
        assert client.post(delete, {"post": "yes"}).status_code == 403
    nina.refresh_from_db()
    assert (nina.is_active, nina.is_superuser) == (True, False)


ACCOUNT = {"is_active", "is_superuser", "is_staff"}
MAKERS = {"create_user", "create_superuser", "User"}
DOORS = {
    "governance/services/people.py",
    "governance/services/accounts.py",  # erasure: told of by its own event
    "governance/models/identity.py",
}


def test_no_other_code_makes_or_switches_an_account() -> None:
    """Across the tree: accounts are written in one service, and by `createsuperuser`."""
    found = set()
    for package in ("audits", "registry", "governance"):
        for path in (ROOT / package).rglob("*.py"):
            where = str(path.relative_to(ROOT))
            if "/migrations/" in where or where in DOORS:
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call):
                    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                    writes = (
                        {keyword.arg for keyword in node.keywords} & ACCOUNT if name == "update" else set()
                    )
                    if name in MAKERS or writes:
                        found.add(where)
                if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
                    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                    if any(isinstance(row, ast.Attribute) and row.attr in ACCOUNT for row in targets):
                        found.add(where)
    assert found == set()


def test_whose_account_was_ended_then_could_not(cast: Cast) -> None:
    bia, root = cast.people["bia"], User.objects.create_superuser(username="root", password=None)

    def asked(at: Any) -> tuple[bool, list[str]]:
        answer = who_could(cast.workspace.id, "promotion.decide", at)
        return "bia" in names(answer), [user.username for user in answer.superusers]

    before = timezone.now()
    for person in (bia, root):
        deactivate_person(command=shell(cast), person=person, reason="r")
    between = timezone.now()
    for person in (bia, root):
        reactivate_person(command=shell(cast), person=person, reason="r")
    assert [asked(at) for at in (before, between, timezone.now())] == [
        (True, ["root"]), (False, []), (True, ["root"]),
    ]  # fmt: skip
    assert may(cast, "bia", "promotion.decide")


def test_over_http(cast: Cast) -> None:
    alma, clara, bia = As(cast, "alma"), As(cast, "clara"), As(cast, "bia")
    made = alma.post("people", {"username": "vera", "first_name": "Vera"})
    assert (made.status_code, made.json()["active"]) == (201, True)
    assert clara.get("people/vera").json()["id"] == made.json()["id"]
    with unchanged(refusals=1):
        assert clara.post("people/vera/deactivation", {"reason": "r"}).status_code == 403
    with unchanged(refusals=0):
        assert bia.get("people/vera").status_code == 404
        assert bia.get("people").status_code == 403
        assert alma.post("people/davi/deactivation", {"reason": "r"}).status_code == 404, (
            "of another workspace"
        )
    assert alma.post("people/vera/deactivation", {"reason": "r"}).json()["active"] is False
    ended = [row["username"] for row in clara.get("people?active=false").json()["results"]]
    assert ended == ["vera"]
    assert "davi" not in [row["username"] for row in clara.get("people").json()["results"]]
    assert alma.post("people/vera/reactivation", {"reason": "r"}).json()["active"] is True
    again = alma.post("people", {"username": "vera"})
    assert (again.status_code, again.json()["code"]) == (409, "person_exists")
    assert RoleBinding.objects.filter(person__username="vera").count() == 0
