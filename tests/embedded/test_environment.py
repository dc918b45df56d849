from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path

import environ
import pytest

from governance.embedded import environment
from governance.embedded.errors import EmbeddedError
from governance.embedded.secrets import Secrets

OURS = {
    "DATABASE_URL": "postgresql://crivo_app:a-_9@/crivo?host=/tmp/crivo-0-0&port=5432",
    "DATABASE_MIGRATION_URL": "postgresql://crivo_migrator:b@/crivo?host=/tmp/crivo-0-0&port=5432",
    "CELERY_BROKER_URL": "redis+socket://:c@/tmp/crivo-0-0/valkey.sock?virtual_host=0",
    "CRIVO_HOME": "/home/zoë/a b/.crivo",
}


def test_django_environ_and_the_shell_read_back_what_was_saved(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = environment.save(home, OURS)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert environment.load(home) == OURS
    for name in OURS:
        monkeypatch.setenv(name, "to be removed afterwards")
        monkeypatch.delenv(name)
    environ.Env.read_env(path)
    assert {name: os.environ[name] for name in OURS} == OURS
    shown = " ".join(f'"${name}"' for name in OURS)
    read = subprocess.check_output(
        ["sh", "-c", f". '{path}'; printf '%s\\n' {shown}"], env={"PATH": os.defpath}
    )
    assert read.decode().splitlines() == list(OURS.values())


def test_nothing_is_written_when_nothing_changed(home: Path) -> None:
    before = environment.save(home, OURS).stat()
    assert environment.save(home, OURS).stat().st_ino == before.st_ino
    assert environment.save(home, OURS | {"CRIVO_HOME": "/x"}).stat().st_ino != before.st_ino


def test_a_value_that_would_break_out_of_its_quotes_is_refused(home: Path) -> None:
    with pytest.raises(EmbeddedError) as caught:
        environment.save(home, {"CRIVO_HOME": "/x'; rm -rf /; '"})
    assert caught.value.code == "unquotable"
    assert not (home / "env").exists()


def test_before_the_first_start_there_is_nothing_to_load(home: Path) -> None:
    with pytest.raises(EmbeddedError, match="script/server") as caught:
        environment.load(home)
    assert caught.value.code == "no_environment"


def test_servers_of_one_s_own_replace_the_embedded_ones(home: Path) -> None:
    own = {"DATABASE_URL": "postgres://a@db/x", "DATABASE_MIGRATION_URL": "postgres://b@db/x", "PATH": "/bin"}
    assert environment.outside(own, home) == {name: own[name] for name in own if name != "PATH"}
    assert environment.outside({"CELERY_BROKER_URL": "amqp://x", "DATABASE_URL": ""}, home) == {
        "CELERY_BROKER_URL": "amqp://x"
    }


def test_the_notary_s_connection_is_its_own_where_one_is_given(home: Path) -> None:
    urls = {name: f"postgres://{name.lower()}@db/x" for name in ("DATABASE_URL", "DATABASE_MIGRATION_URL")}
    own = urls | {"DATABASE_NOTARY_URL": "postgres://crivo_notary@db/x"}
    assert environment.outside(own, home) == own
    given = {"database_url": "postgres://a@db/x", "migration_url": "postgres://b@db/x"}
    more = {"broker_url": "redis://x", "base_url": "http://localhost:1"}
    secrets = Secrets.of(home)
    made = environment.variables(home, secrets, **given, **more, notary_url=own["DATABASE_NOTARY_URL"])
    assert made["DATABASE_NOTARY_URL"] == own["DATABASE_NOTARY_URL"]
    assert "DATABASE_NOTARY_URL" not in environment.variables(home, secrets, **given, **more)


@pytest.mark.parametrize("name", ["DATABASE_URL", "DATABASE_MIGRATION_URL"])
def test_half_a_database_is_refused(home: Path, name: str) -> None:
    with pytest.raises(EmbeddedError) as caught:
        environment.outside({name: "postgres://a@db/x"}, home)
    assert caught.value.code == "half_a_database"


def test_a_shell_that_read_our_own_variables_names_no_server_of_its_own(home: Path) -> None:
    environment.save(home, OURS)
    assert environment.outside(OURS, home) == {}


def test_secrets_are_random_kept_and_private(home: Path) -> None:
    first, again = Secrets.of(home), Secrets.of(home)
    assert first == again
    values = [first.superuser, first.migrator, first.app, first.notary, first.broker, first.secret_key]
    assert len(set(values)) == 6
    assert all(len(value) == 48 and value.replace("-", "").replace("_", "").isalnum() for value in values)
    assert stat.S_IMODE(first.path.stat().st_mode) == 0o600
    assert not [value for value in values if value in repr(first)]
    other = home / "other"
    other.mkdir()
    assert Secrets.of(other).superuser != first.superuser


def test_a_secret_added_later_is_made_and_the_others_stay(home: Path) -> None:
    first = Secrets.of(home)
    kept = json.loads(first.path.read_text())
    del kept["notary"]
    first.path.write_text(json.dumps(kept))
    second = Secrets.of(home)
    assert (second.app, second.superuser) == (first.app, first.superuser)
    assert second.notary not in ("", first.notary)
    assert Secrets.of(home) == second


def test_secrets_opened_to_others_are_closed_again_and_damaged_ones_refused(home: Path) -> None:
    path = Secrets.of(home).path
    path.chmod(0o644)
    Secrets.of(home)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text(path.read_text()[:40])
    with pytest.raises(EmbeddedError) as caught:
        Secrets.of(home)
    assert caught.value.code == "secrets_damaged"
