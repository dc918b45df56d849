from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import environ
import psycopg2
import pytest

from governance.embedded import account as accounts
from governance.embedded.children import launch, wait_until_gone
from governance.embedded.errors import EmbeddedError
from governance.embedded.postgres import EmbeddedPostgres

from .conftest import root_only

PROJECT = Path(__file__).resolve().parents[2]


def ask(url: str, sql: str) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def setting(cluster: EmbeddedPostgres, name: str) -> str:
    return str(ask(cluster.app_url, f"SHOW {name}")[0][0])


@pytest.fixture
def crashing(module_home: Path, cluster: EmbeddedPostgres) -> Iterator[EmbeddedPostgres]:
    """The module's cluster, for tests that end it by force; running again afterwards."""
    yield cluster
    cluster.stop()
    cluster.start()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("data_checksums", "on"),
        ("server_encoding", "UTF8"),
        ("listen_addresses", ""),
        ("TimeZone", "UTC"),
        ("password_encryption", "scram-sha-256"),
    ],
)
def test_settings(cluster: EmbeddedPostgres, name: str, value: str) -> None:
    assert setting(cluster, name) == value


def test_nothing_is_traded_for_speed_unless_it_is_thrown_away(crashing: EmbeddedPostgres) -> None:
    names = ("fsync", "synchronous_commit", "full_page_writes")
    assert [setting(crashing, name) for name in names] == ["off", "on", "off"]
    crashing.stop()
    durable = EmbeddedPostgres(crashing.home)
    durable.start()
    try:
        assert [setting(durable, name) for name in names] == ["on", "on", "on"]
    finally:
        durable.stop()


def test_it_is_18_with_the_builtin_locale(cluster: EmbeddedPostgres) -> None:
    assert setting(cluster, "server_version_num")[:2] == "18"
    assert ask(
        cluster.app_url, "SELECT datlocprovider, datlocale FROM pg_database WHERE datname = 'crivo'"
    ) == [("b", "C.UTF-8")]


def test_only_its_user_reaches_it_and_only_by_the_socket(cluster: EmbeddedPostgres) -> None:
    folder = cluster.socket_folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(cluster.cluster.stat().st_mode) == 0o700
    assert stat.S_IMODE(cluster.secrets.path.stat().st_mode) == 0o600
    inodes = {os.readlink(fd) for fd in Path(f"/proc/{pid(cluster)}/fd").iterdir() if fd.is_symlink()}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            assert f"socket:[{line.split()[9]}]" not in inodes


def pid(cluster: EmbeddedPostgres) -> int:
    assert cluster.process is not None
    return cluster.process.pid


@pytest.mark.parametrize("role", ["postgres", "crivo_migrator", "crivo_app", "crivo_notary"])
def test_a_wrong_password_is_refused(cluster: EmbeddedPostgres, role: str) -> None:
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(cluster.url(role, "wrong"))


def test_passwords_are_not_on_any_command_line_or_in_the_log(cluster: EmbeddedPostgres) -> None:
    kept = cluster.secrets
    secrets = [kept.superuser, kept.migrator, kept.app, kept.notary]
    assert len(set(secrets)) == 4
    lines = Path(f"/proc/{pid(cluster)}/cmdline").read_text() + cluster.log.read_text()
    assert not [secret for secret in secrets if secret in lines]


def test_what_the_migrator_makes_belongs_to_the_owner(cluster: EmbeddedPostgres) -> None:
    ask(cluster.migration_url, "CREATE TABLE owned (n int)")
    assert ask(cluster.superuser_url, "SELECT tableowner FROM pg_tables WHERE tablename = 'owned'") == [
        ("crivo_owner",)
    ]


@pytest.mark.parametrize(
    "attempt",
    [
        "SET ROLE crivo_owner",
        "SET ROLE crivo_migrator",
        "SET SESSION AUTHORIZATION crivo_owner",
        "ALTER ROLE crivo_app SUPERUSER",
        "ALTER ROLE crivo_app CREATEDB",
        "GRANT crivo_owner TO crivo_app",
        "CREATE TABLE mine (n int)",
        "CREATE TEMP TABLE mine (n int)",
        "CREATE SCHEMA mine",
        "CREATE DATABASE mine",
        "CREATE ROLE mine",
        "SET session_replication_role = replica",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "SELECT pg_read_file('PG_VERSION')",
        "DROP DATABASE crivo",
    ],
)
def test_the_app_s_role_may_not(cluster: EmbeddedPostgres, attempt: str) -> None:
    connection = psycopg2.connect(cluster.app_url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor, pytest.raises(psycopg2.Error) as caught:
            cursor.execute(attempt)
    finally:
        connection.close()
    assert caught.value.pgcode == "42501", caught.value  # insufficient_privilege


def test_no_role_but_the_superuser_s_has_its_powers(cluster: EmbeddedPostgres) -> None:
    sql = """SELECT rolname, rolcanlogin, rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls
             FROM pg_roles WHERE rolname LIKE 'crivo%' ORDER BY 1"""
    assert ask(cluster.superuser_url, sql) == [
        ("crivo_app", True, False, False, False, False, False),
        ("crivo_migrator", True, False, False, True, False, False),
        ("crivo_notary", True, False, False, False, False, False),
        ("crivo_owner", False, False, False, True, False, False),
    ]
    assert ask(
        cluster.superuser_url,
        """SELECT roleid::regrole::text, member::regrole::text FROM pg_auth_members
           WHERE roleid::regrole::text LIKE 'crivo%'""",
    ) == [("crivo_owner", "crivo_migrator")]


def test_the_owner_cannot_log_in(cluster: EmbeddedPostgres) -> None:
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(cluster.url("crivo_owner", cluster.secrets.migrator))


def test_the_migrator_makes_test_databases_the_app_can_use(cluster: EmbeddedPostgres) -> None:
    connection = psycopg2.connect(cluster.url("crivo_migrator", cluster.secrets.migrator, "postgres"))
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute("CREATE DATABASE test_crivo")
            inside = cluster.url("crivo_migrator", cluster.secrets.migrator, "test_crivo")
            ask(inside, "CREATE TABLE t (n int); GRANT SELECT ON t TO crivo_app")
            app = cluster.url("crivo_app", cluster.secrets.app, "test_crivo")
            assert ask(app, "SELECT count(*) FROM t") == [(0,)]
            cursor.execute("DROP DATABASE test_crivo")
    finally:
        connection.close()


def test_django_environ_and_libpq_read_the_url_alike(cluster: EmbeddedPostgres) -> None:
    parsed = environ.Env.db_url_config(cluster.app_url)
    assert parsed["ENGINE"] == "django.db.backends.postgresql"
    connection = psycopg2.connect(  # as Django's backend puts them together
        dbname=parsed["NAME"], user=parsed["USER"], password=parsed["PASSWORD"], **parsed["OPTIONS"]
    )
    assert (connection.info.user, connection.info.dbname) == ("crivo_app", "crivo")
    assert connection.info.host == str(cluster.socket_folder)
    connection.close()


def test_variables_of_the_shell_do_not_steer_it(
    crashing: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashing.stop()
    for name, value in (("PGPORT", "1"), ("PGDATA", "/nowhere"), ("PGHOST", "example.org"), ("PGUSER", "x")):
        monkeypatch.setenv(name, value)
    assert crashing.start()
    assert ask(crashing.app_url, "SELECT session_user::text") == [("crivo_app",)]


def test_a_second_one_joins_and_does_not_stop_what_it_joined(cluster: EmbeddedPostgres) -> None:
    second = EmbeddedPostgres(cluster.home)
    assert second.start() is False
    assert second.is_running
    second.stop()
    assert ask(second.app_url, "SELECT 1") == [(1,)]


@pytest.mark.parametrize("how", ["kill -9", "pg_ctl stop -m immediate"])
def test_what_was_committed_survives_a_crash(crashing: EmbeddedPostgres, how: str) -> None:
    ask(crashing.migration_url, "CREATE TABLE IF NOT EXISTS survivor (how text PRIMARY KEY)")
    ask(crashing.migration_url, f"INSERT INTO survivor VALUES ('{how}')")
    assert crashing.process is not None
    if how == "kill -9":
        open_connection = psycopg2.connect(
            crashing.app_url
        )  # its backend outlives the postmaster for a moment
        crashing.process.kill()
        EmbeddedPostgres(crashing.home)  # a look from elsewhere must not disturb
    else:
        child = launch(
            [crashing.bin / "pg_ctl", "stop", "-m", "immediate", "-D", crashing.cluster],
            stdout=subprocess.DEVNULL,
            user=crashing.account.user,
            namespace=crashing.account.namespace,
        )
        assert child.wait(20) == 0
        open_connection = None
    again = EmbeddedPostgres(crashing.home, durable=False)
    try:
        assert again.start() is True
        assert ask(again.app_url, "SELECT pg_is_in_recovery()") == [(False,)]
        assert (how,) in ask(again.migration_url, "SELECT how FROM survivor")
        assert "was interrupted" in again.log.read_text() or "not properly shut down" in again.log.read_text()
    finally:
        again.stop()
        if open_connection is not None:
            open_connection.close()


def test_a_killed_one_leaves_no_socket_behind_once_stopped(crashing: EmbeddedPostgres) -> None:
    assert crashing.process is not None
    folder = crashing.socket_folder
    crashing.process.kill()
    crashing.process.wait()
    assert (folder / ".s.PGSQL.5432").exists()
    crashing.stop()
    assert not folder.exists()


def test_a_pid_file_naming_a_living_stranger_does_not_block(crashing: EmbeddedPostgres) -> None:
    crashing.stop()
    bystander = launch(["sleep", "60"], user=crashing.account.user, namespace=crashing.account.namespace)
    try:
        lines = [
            str(bystander.pid),
            str(crashing.cluster),
            "1",
            "5432",
            str(crashing.socket_folder),
            "",
            "0 0",
            "ready",
        ]
        (crashing.cluster / "postmaster.pid").write_text("\n".join(lines) + "\n")
        assert not crashing.is_running
        assert crashing.start() is True
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_folder_that_another_container_uses_is_told_in_one_sentence(
    crashing: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashing.stop()
    # Such a one holds the lock and is in no process table of ours.
    from governance.embedded import postgres as module
    from governance.embedded.files import try_lock

    monkeypatch.setattr(module, "UNSEEN_SECONDS", 0.2)
    held = try_lock(crashing.home / "postgres.alive")
    assert held is not None
    try:
        with pytest.raises(EmbeddedError, match="Another PostgreSQL uses") as caught:
            crashing.start()
    finally:
        os.close(held)
    assert caught.value.code == "postgres_elsewhere"


def test_a_lost_password_file_is_told_in_one_sentence(crashing: EmbeddedPostgres) -> None:
    crashing.stop()
    kept = crashing.secrets.path.read_text()
    crashing.secrets.path.unlink()
    try:
        for _ in range(2):  # the second start must not take the new file for the right one
            with pytest.raises(EmbeddedError, match="put the right file back") as caught:
                EmbeddedPostgres(crashing.home).start()
            assert caught.value.code == "passwords_lost"
        assert not crashing.is_running
    finally:
        crashing.secrets.path.write_text(kept)


def test_it_ends_with_the_process_that_started_it(crashing: EmbeddedPostgres) -> None:
    crashing.stop()
    program = (
        "import sys; from pathlib import Path\n"
        "from governance.embedded.postgres import EmbeddedPostgres\n"
        "p = EmbeddedPostgres(Path(sys.argv[1])); p.start(); print(p.process.pid, flush=True); input()"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", program, str(crashing.home)],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert starter.stdout is not None
    server = int(starter.stdout.readline())
    starter.kill()
    starter.wait()
    started = time.monotonic()
    assert crashing.start() is True  # at once: it waits for the orphan instead of joining it
    assert time.monotonic() - started < 10
    assert wait_until_gone(server, 0.1)
    starter.communicate()


def test_a_killed_initdb_leaves_nothing_that_counts(home: Path) -> None:
    postgres = EmbeddedPostgres(home, durable=False)
    program = (
        "import sys; from pathlib import Path\n"
        "from governance.embedded.postgres import EmbeddedPostgres\n"
        "EmbeddedPostgres(Path(sys.argv[1]), durable=False).ensure()"
    )
    victim = subprocess.Popen(
        [sys.executable, "-c", program, str(home)], cwd=PROJECT, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 10
    folder = postgres.account.folder
    while not list(folder.glob(".initdb-*/cluster/base/1/*")) and time.monotonic() < deadline:
        time.sleep(0.002)
    victim.kill()
    victim.wait()
    assert list(folder.glob(".initdb-*")), "it was quicker than the test"
    assert not postgres.cluster.exists()
    assert postgres.ensure() is True
    assert postgres.ensure() is False
    assert not list(folder.glob(".initdb-*"))
    assert (postgres.cluster / "PG_VERSION").read_text() == "18\n"


def test_two_at_once_in_a_very_long_folder_make_one_cluster(home: Path) -> None:
    deep = home.joinpath(*["a-rather-long-folder-name-é-with spaces"] * 8)
    both = [EmbeddedPostgres(deep, durable=False) for _ in range(2)]
    assert len(os.fsencode(both[0].cluster)) > 300
    with ThreadPoolExecutor(2) as pool:  # threads stay until the servers are stopped: children end with them
        assert sorted(pool.map(lambda one: one.start(), both)) == [False, True]
        assert ask(both[0].app_url, "SELECT current_setting('fsync')") == [("off",)]
        assert pool.submit(lambda: [one.destroy() for one in both]).result() == [None, None]


def test_a_server_that_cannot_start_says_why(crashing: EmbeddedPostgres) -> None:
    crashing.stop()
    configuration = crashing.cluster / "postgresql.conf"
    kept = configuration.read_text()
    configuration.write_text(kept + "shared_buffers = nonsense\n")
    try:
        with pytest.raises(EmbeddedError, match="shared_buffers") as caught:
            crashing.start()
    finally:
        configuration.write_text(kept)
    assert caught.value.code == "postgres_failed"
    assert str(crashing.log) in str(caught.value)


@root_only
def test_without_namespaces_it_moves_to_an_ordinary_account(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "moved").mkdir()
    home.chmod(0o755)
    monkeypatch.setattr(accounts, "MOVED", home / "moved")
    original = accounts.launch

    def refusing(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        if options.get("namespace") is not None:
            raise PermissionError("unshare: Operation not permitted")
        return original(*arguments, **options)

    monkeypatch.setattr(accounts, "launch", refusing)
    postgres = EmbeddedPostgres(home / "closed", durable=False)
    try:
        assert postgres.account.user is not None
        assert postgres.account.uid != 0
        assert postgres.start() is True
        assert postgres.cluster.is_relative_to(home / "moved")
        assert Path(f"/proc/{pid(postgres)}").stat().st_uid == postgres.account.uid
        assert postgres.cluster.stat().st_uid == postgres.account.uid
        assert ask(postgres.app_url, "SELECT 1") == [(1,)]
        monkeypatch.setattr(accounts, "launch", original)
        # Namespaces came back: the cluster must not seem to have vanished.
        assert EmbeddedPostgres(home / "closed").cluster == postgres.cluster
    finally:
        postgres.destroy()
    assert not postgres.account.folder.exists()


@root_only
def test_binaries_nobody_else_can_reach_are_copied(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "MOVED", home / "moved")
    (home / "moved").mkdir()
    home.chmod(0o755)
    closed = home / "closed"
    closed.mkdir(mode=0o700)
    real = next(accounts.installations())
    for name in (real.parent.name, real.parent.name + ".libs"):
        (closed / name).symlink_to(real.parent.with_name(name))
    stand_in = accounts.unprivileged()
    account = accounts.Account(
        home, stand_in.pw_uid, stand_in.pw_gid, user=(stand_in.pw_uid, stand_in.pw_gid)
    )
    os.chown(home, stand_in.pw_uid, stand_in.pw_gid)
    copied = accounts.usable_installation(account, closed / real.parent.name / real.name)
    assert copied.is_relative_to(home / "moved")
    assert account.can_use(home, copied / "bin" / "postgres")
    assert accounts.usable_installation(account, closed / real.parent.name / real.name) == copied


def test_signals_of_the_terminal_do_not_reach_it(cluster: EmbeddedPostgres) -> None:
    assert os.getsid(pid(cluster)) != os.getsid(0)
    assert os.getpgid(pid(cluster)) == pid(cluster)
