from __future__ import annotations

import io
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from audits.models import Event, Workspace
from governance.actors import TokenRejected, authenticate
from governance.authority import roles_of_person
from governance.demo import cast
from governance.models import ApiToken, PolicyVersion, RoleBinding, User
from governance.services.bootstrap import bootstrap

pytestmark = pytest.mark.django_db(transaction=True)


def run(*arguments: str, **options: Any) -> str:
    out = io.StringIO()
    call_command(*arguments, stdout=out, stderr=io.StringIO(), **options)
    return out.getvalue()


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(settings, "DATA", tmp_path)
    monkeypatch.setenv("CRIVO_HOME", str(tmp_path))
    return tmp_path


def test_the_demonstration_is_loaded_once(data: Path) -> None:
    run("load_demo")
    events, tokens = Event.objects.count(), ApiToken.objects.count()
    session = (data / "demo-session.json").read_text()
    logins = (data / "logins.txt").read_text()
    run("load_demo")
    assert (Event.objects.count(), ApiToken.objects.count()) == (events, tokens)
    assert (data / "demo-session.json").read_text() == session
    assert (data / "logins.txt").read_text() == logins


def test_only_its_owner_reads_the_secrets(data: Path) -> None:
    run("load_demo")
    for name in ("demo-logins.json", "demo-session.json", "logins.txt"):
        assert stat.S_IMODE((data / name).stat().st_mode) == 0o600, name
    session = json.loads((data / "demo-session.json").read_text())
    assert list(session["tokens"]) == ["pipeline", "ana", "bruno", "bia", "clara", "davi"]
    texts = [*session["tokens"].values(), *session["logins"].values()]
    assert len(set(texts)) == len(texts)
    written = json.dumps(list(Event.objects.values("detail", "texts", "subject_label")), default=str)
    assert not any(text in written for text in texts)


def test_people_have_the_roles_they_play(data: Path) -> None:
    run("load_demo")
    home, elsewhere = (Workspace.objects.get(name=name) for name in ("default", "elsewhere"))
    roles = {user.username: roles_of_person(home.id, user.id) for user in User.objects.all()}
    assert roles == {
        "admin": {"administrator"},
        "ana": {"data_scientist", "validator"},
        "bruno": {"validator"},
        "bia": {"approver"},
        "clara": {"auditor"},
        "rita": {"risk_manager"},
        "davi": set(),
    }
    assert roles_of_person(elsewhere.id, User.objects.get(username="davi").id) == {
        "data_scientist",
        "auditor",
    }
    assert list(User.objects.filter(is_superuser=True).values_list("username", flat=True)) == ["admin"]
    assert not User.objects.filter(is_staff=False).exists()


def test_the_policies_are_those_of_the_use_case(data: Path) -> None:
    run("load_demo")
    rows = PolicyVersion.objects.filter(use_case="diabetes-progression", current=True)
    assert dict(rows.values_list("environment", "name")) == {
        name: f"diabetes-{name}" for name in ("development", "test", "homologation", "production")
    }


def test_a_revoked_token_is_replaced_and_only_that(data: Path) -> None:
    run("load_demo")
    before = json.loads((data / "demo-session.json").read_text())["tokens"]
    from audits.actors import Command, system_actor
    from governance.services.identity import revoke_token

    token = authenticate(before["pipeline"])
    revoke_token(command=Command(system_actor("shell", token.workspace_id)), token=token)
    run("load_demo")
    after = json.loads((data / "demo-session.json").read_text())["tokens"]
    assert {name for name in after if after[name] != before[name]} == {"pipeline"}
    assert RoleBinding.objects.filter(token=authenticate(after["pipeline"]), role="pipeline").count() == 1


def test_lost_files_are_made_anew(data: Path) -> None:
    run("load_demo")
    before = json.loads((data / "demo-session.json").read_text())
    (data / "demo-logins.json").write_text("{torn")
    (data / "demo-session.json").unlink()
    run("load_demo")
    after = json.loads((data / "demo-session.json").read_text())
    assert not set(before["tokens"].values()) & set(after["tokens"].values())
    assert User.objects.get(username="ana").check_password(after["logins"]["ana"])
    assert not User.objects.get(username="ana").check_password(before["logins"]["ana"])


def test_the_policies_of_the_demonstration_are_all_of_the_story() -> None:
    assert {path.stem for path in cast.POLICIES.glob("*.yaml")} == {
        "development", "test", "homologation", "production",
    }  # fmt: skip


def test_a_token_is_printed_once() -> None:
    bootstrap("default", None)
    User.objects.create_user(username="ana")
    out = run(
        "issue_token", "--actor", "ana", "--scope", "gate:read", "--scope", "registry:read", "--days", "1"
    )
    token = authenticate(out.strip())
    assert out == out.strip() + "\n"
    assert (token.kind, token.person.username, token.scopes) == (
        "personal",
        "ana",
        ["gate:read", "registry:read"],
    )
    assert Event.objects.filter(verb="token.issued").count() == 1


def test_a_service_gets_its_role() -> None:
    bootstrap("default", None)
    User.objects.create_user(username="ana")
    out = run(
        "issue_token", "--actor", "ana", "--scope", "gate:read", "--service", "deploy", "--role", "deployer"
    )
    token = authenticate(out.strip())
    assert (token.kind, token.name) == ("service", "deploy")
    assert RoleBinding.objects.get(token=token).role == "deployer"


@pytest.mark.parametrize(
    "wrong",
    [
        ("--actor", "nobody", "--scope", "gate:read"),
        ("--actor", "ana", "--scope", "everything"),
        ("--actor", "ana", "--scope", "gate:read", "--days", "0"),
        ("--actor", "ana", "--scope", "gate:read", "--days", "100000000000000000000"),
        ("--actor", "ana", "--scope", "gate:read", "--role", "pipeline"),
        ("--actor", "ana", "--scope", "gate:read", "--service", "x", "--role", "emperor"),
        ("--actor", "ana", "--scope", "gate:read", "--workspace", "nowhere"),
    ],
)
def test_a_token_that_may_not_be(wrong: tuple[str, ...]) -> None:
    bootstrap("default", None)
    User.objects.create_user(username="ana")
    with pytest.raises(CommandError):
        run("issue_token", *wrong)
    assert ApiToken.objects.count() == 0


def test_bootstrap_again_changes_nothing() -> None:
    assert run("bootstrap") == "The workspace default is ready.\n"
    events = Event.objects.count()
    run("bootstrap")
    assert Event.objects.count() == events
    User.objects.create_user(username="root")
    run("bootstrap", "--administrator", "root")
    assert RoleBinding.objects.get().role == "administrator"


@pytest.mark.parametrize("wrong", [("--workspace", "Not A Name"), ("--administrator", "nobody")])
def test_bootstrap_called_wrongly(wrong: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        run("bootstrap", *wrong)
    assert Workspace.objects.count() == 0


def test_a_forged_token_does_not_work() -> None:
    with pytest.raises(TokenRejected):
        authenticate("crv_" + "0" * 12 + "_" + "0" * 46)
