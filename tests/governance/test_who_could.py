"""Who could have done it then: people, tokens, superusers, database roles."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from audits.actors import SubjectRef
from governance import access
from governance.models import RoleBinding, User
from governance.services import access as roles
from governance.who_could import database_roles, who_could
from registry.services.models import register_model
from tests import scenario
from tests.cast import Cast
from tests.governance.test_access import cast as cast  # the fixture: with Alma and Ugo, administrators
from tests.governance.test_access import give, shell

pytestmark = pytest.mark.django_db(transaction=True)


def names(answer: Any) -> dict[str, list[tuple[str, str]]]:
    return {
        person.user.username: [(means.binding.role, means.group) for means in person.means]
        for person in answer.people
    }


def test_who_could_have_decided_then(cast: Cast) -> None:
    model = register_model(command=cast.command("pipeline"), name="mine").value
    other = register_model(command=cast.command("pipeline"), name="other").value
    group = roles.create_group(command=shell(cast), name="validators").value
    give(cast, "shell", "validator", group=group)
    roles.add_member(command=shell(cast), group=group, person=cast.people["nina"])
    give(cast, "shell", "approver", person=cast.people["ugo"], scope="model", on=model.ref)
    cast.token("bia")
    then = timezone.now()
    roles.remove_member(command=shell(cast), group=group, person=cast.people["nina"])
    roles.unbind_role(command=shell(cast), binding=RoleBinding.objects.get(person=cast.people["bia"]))
    waiting = give(cast, "alma", "approver", person=cast.people["nina"])

    def asked(at: Any, on: SubjectRef | None = None) -> Any:
        return who_could(cast.workspace.id, "promotion.decide", at, on)

    usual = {"ana": [("validator", "")], "bruno": [("validator", "")]}
    early = {**usual, "bia": [("approver", "")], "nina": [("validator", "validators")]}
    assert names(asked(then)) == early
    assert names(asked(then, model.ref)) == {**early, "ugo": [("approver", "")]}
    assert names(asked(then, other.ref)) == early
    assert names(asked(timezone.now())) == usual
    scenario.publish()
    assert names(asked(timezone.now())) == {**usual, "nina": [("approver", "")]}
    effective: Any = access.dated().get(id=waiting.id)
    assert names(asked(effective.effective_from - timedelta(microseconds=1))) == usual
    bia = next(person for person in asked(then).people if person.user.username == "bia")
    assert [token.name for token in bia.tokens] == ["bia's token"]
    assert asked(then).tokens == []
    assert names(asked(then - timedelta(days=1))) == {}


def test_service_tokens_and_superusers_could_too(cast: Cast) -> None:
    User.objects.create_superuser(username="root", password=None)
    answer = who_could(cast.workspace.id, "promotion.request", timezone.now())
    assert [(row.token.name, row.means[0].binding.role) for row in answer.tokens] == [
        ("training pipeline", "pipeline")
    ]
    assert [user.username for user in answer.superusers] == ["root"]
    assert {limit.code for limit in answer.limits} == {
        "limit_roles_today", "limit_separation", "limit_shell", "limit_superusers_today", "limit_database_today",
    }  # fmt: skip
    assert who_could(cast.elsewhere.id, "promotion.request", timezone.now()).tokens == []


def test_the_database_roles_that_can_write(cast: Cast) -> None:
    found = {row.name: row for row in database_roles()}
    assert {"crivo_app", "crivo_migrator", "crivo_notary", "crivo_owner"} <= set(found)
    assert (found["crivo_app"].login, found["crivo_app"].superuser, found["crivo_app"].through) == (
        True,
        False,
        [],
    )
    assert (found["crivo_owner"].login, found["crivo_migrator"].through) == (False, ["crivo_owner"])
    assert "pg_monitor" not in found
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolname FROM pg_roles WHERE rolsuper")
        assert {row[0] for row in cursor.fetchall()} <= set(found)
