from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from governance.embedded import environment
from governance.embedded.children import parent_of, wait_until_gone

from .standin import CHECKOUT, Serving, descendants, make


@pytest.fixture(scope="module")
def project(module_home: Path) -> Path:
    return make(module_home / "project")


@pytest.fixture
def serving(home: Path, project: Path) -> Iterator[list[Serving]]:
    """Put what you start in here; it is ended for you if the test did not."""
    started: list[Serving] = []
    yield started
    for one in started:
        if one.process.poll() is None:
            one.process.terminate()
            one.process.wait(30)


def gone(pids: set[int], seconds: float = 10) -> set[int]:
    """Those of ``pids`` that still live after ``seconds``."""
    deadline = time.monotonic() + seconds
    return {pid for pid in pids if not wait_until_gone(pid, max(0.0, deadline - time.monotonic()))}


def test_it_serves_works_and_ends_all_it_started_and_nothing_else(
    home: Path, project: Path, serving: list[Serving]
) -> None:
    bystander = subprocess.Popen(
        [sys.executable, "-c", "input()  # gunicorn celery postgres"], stdin=subprocess.PIPE
    )
    (home / "logins.txt").write_text("Ana: ana@example.org / word")
    serve = Serving(home, project, "web", "worker", "notary")
    serving.append(serve)
    address = serve.ready()
    serve.until("Ana: ana@example.org / word")
    seen = json.load(urlopen(address + "/healthz"))
    assert {"DATABASE_URL", "CELERY_BROKER_URL", "SECRET_KEY", "CRIVO_DATA", "CRIVO_KEYS"} <= set(seen["env"])
    assert not {"DATABASE_MIGRATION_URL", "DATABASE_NOTARY_URL"} & set(seen["env"])
    assert "notary with postgresql://crivo_notary" in (home / "logs" / "notary.log").read_text()
    assert environment.load(home)["CRIVO_BASE_URL"] == address
    assert "migrate with postgresql://crivo_migrator" in (home / "logs" / "setup.log").read_text()
    assert stat.S_IMODE((home / "logs" / "web.log").stat().st_mode) == 0o600

    done = home / "done"
    script = f"from governance.celery import write; write.delay({str(done)!r}, 'by a worker')"
    subprocess.run(
        [sys.executable, "-c", script], cwd=project, env=os.environ | environment.load(home), check=True
    )
    deadline = time.monotonic() + 10
    while not done.exists() or not done.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert done.read_text() == "by a worker"

    # A second one in the same folder, and one on the same port, are told so in one sentence each.
    second = Serving(home, project, "web")
    status, said = second.rest()
    assert (status, said.count("\n")) == (1, 0)
    assert said.startswith(f"Crivo already runs from {home}: {address}, process {serve.process.pid}.")
    port = int(address.rpartition(":")[2])
    third = Serving(home / "another", project, "web", port=port)
    assert third.rest() == (
        1,
        f"Port {port} is taken by another program: choose another one, e.g. CRIVO_PORT={port + 1}.",
    )
    assert urlopen(address + "/healthz").status == 200

    # What dies is started again, and said.
    before = seen["pid"]
    master = parent_of(before)
    assert master is not None
    os.kill(master, signal.SIGKILL)
    serve.until("The web process was killed by signal 9; its log is")
    serve.until("The web process runs again.")
    assert json.load(urlopen(address + "/healthz"))["pid"] != before

    family = descendants(serve.process.pid)
    assert len(family) >= 8
    started = time.monotonic()
    serve.process.send_signal(signal.SIGINT)
    status, said = serve.rest()
    assert status == 0, said
    assert time.monotonic() - started < 10
    assert gone(family, 0.5) == set()
    assert "notary is down" in (home / "logs" / "notary.log").read_text()
    assert bystander.poll() is None
    bystander.communicate(b"\n")


def test_all_end_when_the_supervisor_is_killed(home: Path, project: Path, serving: list[Serving]) -> None:
    serve = Serving(home, project, "web", "worker", "notary")
    serving.append(serve)
    serve.ready()
    family = descendants(serve.process.pid)
    assert len(family) >= 8
    serve.process.kill()
    serve.process.wait()
    assert gone(family) == set()
    again = Serving(home, project, "notary")  # and nothing is in the way of the next start
    serving.append(again)
    again.ready()


def test_a_closed_terminal_ends_it(home: Path, project: Path, serving: list[Serving]) -> None:
    reading, writing = os.pipe()
    serve = subprocess.Popen(
        [sys.executable, "-m", "governance.embedded", "--home", str(home), "services"],
        cwd=CHECKOUT,
        stdout=writing,
        stderr=writing,
    )
    os.close(writing)
    try:
        with os.fdopen(reading) as output:
            assert output.readline() == "Making the database …\n"
            assert output.readline().startswith("Database and broker are ready")
        family = descendants(serve.pid)
        assert len(family) >= 2
        serve.send_signal(signal.SIGHUP)  # and nobody reads what it prints any more
        assert serve.wait(20) == 0
    finally:
        serve.kill()
        serve.wait()
    assert gone(family, 0.5) == set()


def test_what_cannot_start_is_told_with_its_last_lines(
    home: Path, module_home: Path, serving: list[Serving]
) -> None:
    broken = make(home / "broken")
    (broken / "governance" / "wsgi.py").write_text("raise RuntimeError('a setting is missing')")
    serve = Serving(home / "home", broken, "web", "notary")
    serving.append(serve)
    status, said = serve.rest()
    assert status == 1
    assert "The web process ended with status" in said
    assert "a setting is missing" in said
    assert f"its log is {home}/home/logs/web.log" in said
    assert "Traceback" not in said.partition("its log is")[0]


def test_it_can_be_interrupted_during_the_set_up(home: Path, project: Path, serving: list[Serving]) -> None:
    serve = Serving(home, project, "notary", STANDIN_SLEEP="60")
    serving.append(serve)
    serve.until("Bringing the database up to date …")
    deadline = time.monotonic() + 10
    log = home / "logs" / "setup.log"
    while not log.exists() or "migrate with" not in log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    family = descendants(serve.process.pid)
    serve.process.send_signal(signal.SIGTERM)
    assert serve.rest(15)[0] == 0
    assert gone(family, 0.5) == set()
    assert json.loads((home / "setup.json").read_text()) == {}  # not done, so the next start does it


def cli(home: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "governance.embedded", "--home", str(home), *arguments],
        cwd=CHECKOUT,
        env=os.environ | env,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_run_gives_a_command_servers_of_its_own_and_deletes_them(home: Path) -> None:
    program = (
        "import os, psycopg2, redis, sys\n"
        "assert psycopg2.connect(os.environ['DATABASE_URL']).info.user == 'crivo_app'\n"
        "assert psycopg2.connect(os.environ['CRIVO_TEST_SUPERUSER_URL']).info.user == 'postgres'\n"
        "print(os.environ['CRIVO_HOME'], sys.stdin.read()); sys.exit(7)"
    )
    leftover = home / "tmp" / "run-killed"
    leftover.mkdir(parents=True)
    (leftover / "postgres.alive").touch()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "governance.embedded", "--home", home, "run", "--throw-away", "--"),
            *(sys.executable, "-c", program),
        ],
        cwd=CHECKOUT,
        input="from standard input",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (7, "")
    assert done.stdout.startswith(f"{home}/tmp/run-")
    assert done.stdout.endswith(" from standard input\n")
    assert list((home / "tmp").iterdir()) == []


@pytest.mark.parametrize("port", ["eight", "-1", "65536", "80.5"])
def test_a_port_that_is_none_is_told(home: Path, port: str) -> None:
    done = cli(home, "serve", CRIVO_PORT=port)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == f"'{port}' is not a port: set CRIVO_PORT to a number from 1024 to 65535.\n"


def test_commands_that_cannot_work_say_what_to_do(home: Path) -> None:
    assert (
        cli(home, "env").stdout == f"{home}/env does not exist yet: start script/server once, it writes it.\n"
    )
    assert (
        cli(home, "run", "--", "no-such-command").stdout == "There is no command 'no-such-command' to run.\n"
    )
    half = cli(home, "services", DATABASE_URL="postgres://db/x")
    assert (half.returncode, half.stdout[:22]) == (1, "Set both DATABASE_URL ")


def test_a_taken_port_is_found_before_anything_is_started(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = cli(home, "serve", CRIVO_PORT=str(port))
    assert done.returncode == 1
    assert (
        done.stdout
        == f"Port {port} is taken by another program: choose another one, e.g. CRIVO_PORT={port + 1}.\n"
    )
    assert not list(home.glob("postgres-*"))
