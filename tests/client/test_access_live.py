"""`crivo access` and `crivo use-case` against the real service."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from audits.actors import Command, system_actor
from governance.models import UseCase, User
from governance.services.identity import bind_role
from tests import scenario
from tests.cast import Cast
from tests.client.conftest import Ran
from tests.client.test_live import command as command  # the fixture: a command against the live server


@pytest.fixture
def admin(committed_cast: Cast) -> Cast:
    cast = committed_cast
    for name in ("alma", "nina"):
        cast.people[name] = User.objects.create_user(username=name, password=None)
    shell = Command(system_actor("shell", cast.workspace.id))
    bind_role(command=shell, role="administrator", person=cast.people["alma"])
    return cast


def test_a_role_and_who_could(admin: Cast, command: Callable[..., Ran]) -> None:
    ran = command("alma", "access", "grant", "approver", "--person", "nina", "--json")
    assert ran.code == 0, ran.err
    binding = json.loads(ran.out)
    assert binding["in_force"] is False
    assert "in a signed checkpoint" in command("alma", "access", "grant", "approver", "--person", "nina").out
    scenario.publish()
    listed = command("alma", "access", "roles", "--person", "nina")
    assert binding["id"] in listed.out
    assert "person nina" in listed.out
    who = command("clara", "access", "who-could", "promotion.decide")
    assert who.code == 0, who.err
    assert "person    nina: approver (workspace)" in who.out
    assert "database  crivo_app" in who.out
    assert command("alma", "access", "revoke", binding["id"]).code == 0
    assert "nina" not in command("clara", "access", "who-could", "promotion.decide").out
    assert command("ana", "access", "grant", "approver", "--person", "nina").code == 1
    assert command("alma", "access", "recertify", binding["id"], "--reason", "r").code == 1


def test_groups_and_tokens(admin: Cast, command: Callable[..., Ran]) -> None:
    assert command("alma", "access", "group", "create", "board").code == 0
    assert command("alma", "access", "group", "add", "board", "nina").code == 0
    scenario.publish()
    assert "board: nina" in command("alma", "access", "group", "list").out
    assert "board: nobody" in command("alma", "access", "group", "remove", "board", "nina").out
    issued = command("alma", "access", "token", "issue", "deploy", "--scope", "gate:read", "--json")
    token = json.loads(issued.out)
    assert token["token"].startswith("crv_")
    assert "deploy" in command("alma", "access", "token", "list").out
    assert command("alma", "access", "token", "revoke", token["id"]).code == 0


def test_the_form_is_printed_filled_in_and_sent(
    admin: Cast, command: Callable[..., Ran], tmp_path: Path
) -> None:
    printed = command("ana", "use-case", "questions", "--language", "pt-br")
    form = json.loads(printed.out)
    assert set(form["answers"].values()) == {None}
    assert "AI Act Annex III(4)" in form["questions"]["employment"]
    file = tmp_path / "answers.json"
    file.write_text(printed.out)
    register = ("use-case", "register", "hiring", "--purpose", "Whom to invite.", "--questionnaire", file)
    blank = command("ana", *register)
    assert (blank.code, "not answered" in blank.err) == (1, True)
    form["answers"] = dict.fromkeys(form["answers"], "no") | {"personal_data": "yes"}
    file.write_text(json.dumps(form))
    done = command("ana", *register, "--legal-basis", "LGPD-7-V", "--stakeholder", "HR")
    assert (done.code, "risk tier limited" in done.out) == (0, True), done.err
    edited = command("ana", "use-case", "edit", "hiring", "--human-oversight", "A recruiter decides.")
    assert "human oversight" in edited.out
    assert command("ana", "use-case", "edit", "hiring").code == 2
    assert command("rita", "use-case", "set-tier", "hiring", "high", "--reason", "People.").code == 0
    assert "high (computed: limited)" in command("ana", "use-case", "show", "hiring").out
    use_case = UseCase.objects.get()
    assert (use_case.risk_tier, use_case.n, use_case.intake["stakeholders"]) == ("high", 3, ["HR"])
