from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import psycopg2
import pytest

from governance.embedded import supervisor
from governance.embedded.errors import EmbeddedError
from governance.embedded.files import tail
from governance.embedded.processes import Process
from governance.embedded.stack import EmbeddedStack

from .standin import make

SLEEPER = Process(
    "sleeper",
    (sys.executable, "-c", "print('up', flush=True); input()"),
    stop=((signal.SIGTERM, 5.0),),
    wave=1,
    ready="up",
)
STUBBORN = Process(
    "stubborn",
    (
        sys.executable,
        "-c",
        "import signal,time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)",
    ),
    stop=((signal.SIGTERM, 0.3),),
    wave=0,
    ready="up",
)


@pytest.fixture(scope="module")
def stack(module_home: Path) -> Iterator[EmbeddedStack]:
    project = make(module_home / "project")
    with EmbeddedStack(
        module_home / "home",
        fsync=False,
        processes=("web", STUBBORN),
        steps=(),
        project=project,
        throw_away=True,
    ) as stack:
        yield stack
    assert not (module_home / "home").exists()


def test_what_it_offers(stack: EmbeddedStack) -> None:
    assert urlopen(stack.base_url + "/healthz").status == 200
    assert stack.env["CRIVO_BASE_URL"] == stack.base_url
    assert psycopg2.connect(stack.superuser_url).info.user == "postgres"
    assert psycopg2.connect(stack.env["DATABASE_URL"]).info.user == "crivo_app"
    assert stack.dead() == []


def test_the_port_refuses_calls_while_the_web_process_is_dead_and_is_the_same_afterwards(
    stack: EmbeddedStack,
) -> None:
    address = stack.base_url
    stack.kill("web")
    assert stack.dead() == ["web"]
    assert not stack.is_alive("web")
    with pytest.raises(URLError, match="refused"):
        urlopen(address + "/healthz", timeout=5)
    with pytest.raises(KeyError):
        stack.kill("web")
    stack.restart("web")
    assert stack.base_url == address
    assert urlopen(address + "/healthz").status == 200


def test_one_that_does_not_listen_to_reason_is_killed_in_time(stack: EmbeddedStack) -> None:
    before = stack.pid("stubborn")
    stack.restart("stubborn")
    assert stack.pid("stubborn") != before
    assert stack.is_alive("stubborn")


@pytest.mark.parametrize("name", ["postgres", "valkey"])
def test_servers_can_be_killed_and_come_back_at_the_same_address(stack: EmbeddedStack, name: str) -> None:
    addresses = stack.postgres.app_url, stack.valkey.url
    stack.kill(name)
    assert stack.dead() == [name]
    assert "was killed by signal 9" in str(stack.death_of(name))
    stack.restart(name)
    assert stack.dead() == []
    assert (stack.postgres.app_url, stack.valkey.url) == addresses
    assert psycopg2.connect(stack.env["DATABASE_URL"]).info.user == "crivo_app"


def test_what_keeps_dying_ends_the_watch(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(supervisor, "RESTARTS", 1)
    flaky = Process(
        "flaky",
        (sys.executable, "-c", "print('up', flush=True); raise SystemExit('no disk')"),
        stop=(),
        wave=0,
        ready="up",
    )
    stack = EmbeddedStack(home, processes=(SLEEPER,), steps=(), fsync=False, throw_away=True)
    stack.processes["flaky"] = flaky
    # Database and broker are not what is tested here.
    monkeypatch.setattr(stack, "_start_services", lambda: None)
    stack.env = {"PATH": "/usr/bin:/bin"}
    try:
        stack.start_process("flaky", patience=0)
        with pytest.raises(EmbeddedError, match="2 times in a row") as caught:
            supervisor.watch(stack)
        assert caught.value.code == "process_died"
        assert "no disk" in str(caught.value)
        assert capsys.readouterr().out.count("Starting it again …") == 1
        assert tail(stack.log_path("flaky")) == ["up", "no disk"] * 2
    finally:
        stack.stop()


def test_a_process_that_never_gets_ready_is_told(home: Path) -> None:
    mute = Process("mute", ("sleep", "60"), stop=((signal.SIGTERM, 5.0),), wave=0, ready="up")
    stack = EmbeddedStack(home, processes=(mute,), steps=(), throw_away=True)
    try:
        with pytest.raises(EmbeddedError, match="not ready after 0 s") as caught:
            stack.start_process("mute", patience=0.2)
        assert caught.value.code == "not_ready"
    finally:
        stack.stop()
    assert stack.children == {}
