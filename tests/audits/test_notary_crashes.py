"""A notary killed at every step, as a thought and with SIGKILL: the next one finishes what it began."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connections

from audits.ledger import nodes
from audits.ledger.inclusion import published_at
from audits.ledger.notary import Notary
from audits.ledger.publication import Publication
from audits.ledger.signing import checkpoint_key
from audits.models import Checkpoint as PublishedCheckpoint
from audits.models import Event
from tests.audits.trail import (
    everything_is_in_order,
    in_thread,
    workspace,
    write,
)

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "migrator"])
ROOT = Path(__file__).resolve().parents[2]


class Killed(BaseException):
    """Nothing may catch this, as nothing can catch SIGKILL."""


def crash(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    def die(*args: Any, **kwargs: Any) -> None:
        raise Killed

    if where == "before the commit":
        monkeypatch.setattr(nodes, "append", die)
    elif where == "between commit and signature":
        monkeypatch.setattr("audits.ledger.notary.sign_checkpoint", die)
    elif where == "between signature and folder":
        monkeypatch.setattr(Publication, "publish", die)
    elif where == "between the two files":
        real = Publication._replace

        def half(self: Publication, path: Path, data: bytes) -> None:
            if path.name == "checkpoint":
                raise Killed
            real(self, path, data)

        monkeypatch.setattr(Publication, "_replace", half)
    elif where == "between rename and sync":
        monkeypatch.setattr(os, "replace", die)
    else:
        monkeypatch.setattr(Notary, "_write_down", die)


@pytest.mark.parametrize(
    "where",
    [
        "before the commit",
        "between commit and signature",
        "between signature and folder",
        "between the two files",
        "between rename and sync",
        "between folder and row",
    ],
)
@pytest.mark.parametrize("more", [0, 3])
def test_killed_at(
    transactional_db: None, published: Path, monkeypatch: pytest.MonkeyPatch, where: str, more: int
) -> None:
    """The next notary finishes what this one began, whether or not events came in between."""
    first = Notary(checkpoint_key())
    assert first.acquire()
    write(2)
    first.run_pass()
    write(3)
    with monkeypatch.context() as patch:
        crash(patch, where)
        with pytest.raises(Killed):
            first.run_pass()
    assert PublishedCheckpoint.objects.count() == 1, "nothing is effective before all of it is done"
    connections["notary"].close()  # the session dies with its process, and its lock with it
    write(more)
    second = Notary(checkpoint_key())
    assert second.acquire()
    second.run_pass()
    second.release()
    everything_is_in_order(5 + more)
    assert not list(published.rglob(".new-*")) or where == "between rename and sync"


def url(alias: str) -> str:
    database = connections[alias].settings_dict
    host, port = database["OPTIONS"].get("host") or database["HOST"], database["PORT"]
    where = f"host={host}" + (f"&port={port}" if port else "")
    password = f":{database['PASSWORD']}" if database["PASSWORD"] else ""
    return f"postgres://{database['USER']}{password}@/{database['NAME']}?{where}"


def environment(published: Path) -> dict[str, str]:
    return {
        **os.environ,
        "DATABASE_URL": url("default"),
        "DATABASE_NOTARY_URL": url("notary"),
        "CRIVO_PUBLISH": str(published),
        "CRIVO_KEYS": django_settings.CRIVO_KEYS,
        "CRIVO_ORIGIN": django_settings.CRIVO_ORIGIN,
        "SECRET_KEY": "for-the-test-alone",
    }


def start(published: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "manage.py", "notary"],
        cwd=ROOT,
        env=environment(published),
        stderr=subprocess.PIPE,
        text=True,
    )


def eventually(condition: Callable[[], bool], seconds: float = 90) -> bool:
    deadline = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(0.005)
    return met


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_real_processes_killed_and_taken_over(
    transactional_db: None, published: Path, processes: list[subprocess.Popen[str]]
) -> None:
    """SIGKILL under load: the standby takes over, nothing is lost or doubled; SIGTERM ends one gracefully."""
    first, second = start(published), start(published)
    processes += [first, second]
    stop = threading.Event()
    home = workspace().id

    def writer() -> None:
        while not stop.is_set():
            write(1, None, home)
            time.sleep(0.005)

    threads = [in_thread(writer) for _ in range(2)]
    try:
        assert eventually(lambda: PublishedCheckpoint.objects.count() >= 2)
        first.send_signal(signal.SIGKILL)
        first.wait(10)
        size = Event.objects.count()
        assert eventually(lambda: PublishedCheckpoint.objects.filter(size__gt=size).exists())
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    count = Event.objects.count()
    assert eventually(lambda: PublishedCheckpoint.objects.filter(size=count).exists())
    for _ in range(
        25
    ):  # one at a time: commit to checkpoint; how long that takes is a matter of benchmarks/ledger.py
        event = write(1, None, home)[0]
        assert eventually(lambda event=event: bool(published_at([event.id])))  # type: ignore[misc]
    second.send_signal(signal.SIGTERM)
    assert second.wait(10) == 0
    everything_is_in_order(count + 25)
