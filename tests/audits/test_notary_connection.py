"""The notary loses its session, or the whole database, at any moment: it stays, waits, and goes on by itself."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from django.db import Error, connection, connections

from audits.ledger.notary import LOCK, Notary
from audits.models import Checkpoint as PublishedCheckpoint
from audits.models import Event
from governance.embedded.processes import SETUP
from governance.embedded.stack import EmbeddedStack
from tests.audits.test_notary_crashes import eventually, processes, start  # noqa: F401 - the fixture
from tests.audits.trail import everything_is_in_order, in_thread, write

BASICS = [step for step in SETUP if step.name in ("keys", "migrate", "bootstrap")]
transactional = pytest.mark.django_db(transaction=True, databases=["default", "migrator"])


def holders() -> list[int]:
    """Backends that hold the notary's lock of this database."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 "
            "AND (classid::bigint << 32 | objid::bigint) = %s "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            [LOCK],
        )
        return [row[0] for row in cursor.fetchall()]


def all_is_public() -> bool:
    """The notary's own event about migrations included."""
    return PublishedCheckpoint.objects.filter(size=Event.objects.count()).exists()


def terminate(pid: int) -> None:
    with connections["notary"].cursor() as cursor:  # only its own role may
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        assert cursor.fetchone() == (True,)


@transactional
def test_its_session_is_ended_while_it_waits(notary: Notary) -> None:
    """What `wait` raises is Django's, as of every statement: whoever serves catches one kind."""
    write(1)
    notary.run_pass()
    with connections["notary"].cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        own = cursor.fetchone()[0]

    def wait_on() -> None:
        while True:
            notary.wait(10)

    killer = in_thread(lambda: (time.sleep(0.2), terminate(own))[0])
    try:
        with pytest.raises(Error):
            wait_on()
    finally:
        killer.join()
    with pytest.raises(Error):  # and once more, on what is known to be closed by now
        notary.wait(10)
    notary.release()  # harmless
    connections["notary"].close()
    write(2)
    assert notary.acquire()
    assert notary.run_pass().sequenced == 2
    everything_is_in_order(3)


@transactional
@pytest.mark.parametrize("waiting", [True, False], ids=["in wait", "among passes"])
def test_a_serving_notary_outlives_its_sessions(
    transactional_db: None,
    published: Path,
    processes: list[subprocess.Popen[str]],  # noqa: F811
    waiting: bool,
) -> None:
    """Five times its backend is ended; the process is the same one, and what was written is in the log."""
    process = start(published)
    processes.append(process)
    stop = threading.Event()

    def writer() -> None:
        while not stop.is_set():
            write(1)
            time.sleep(0.01)

    thread = None if waiting else in_thread(writer)
    seen: set[int] = set()
    try:
        for _ in range(5):
            assert eventually(lambda: bool(set(holders()) - seen)), process.poll()
            pid = (set(holders()) - seen).pop()
            seen.add(pid)
            if waiting:
                write(1)
                assert eventually(all_is_public)
            terminate(pid)
    finally:
        stop.set()
        if thread is not None:
            thread.join()
    write(1)
    assert eventually(all_is_public)
    assert process.poll() is None
    everything_is_in_order(Event.objects.count())
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0


@transactional
def test_what_the_database_refuses_is_no_reason_to_end(
    transactional_db: None,
    published: Path,
    processes: list[subprocess.Popen[str]],  # noqa: F811
) -> None:
    """A right that is missing for a moment (a migration half done, say) is waited for, and SIGTERM still ends it."""
    with connections["migrator"].cursor() as cursor:
        cursor.execute("REVOKE SELECT ON audits_leaf FROM crivo_notary")
    try:
        process = start(published)
        processes.append(process)
        said = ""
        while "tries again" not in said:
            assert process.stderr is not None
            said = process.stderr.readline()
            assert said, "it ended"
        assert process.poll() is None
    finally:
        with connections["migrator"].cursor() as cursor:
            cursor.execute("GRANT SELECT ON audits_leaf TO crivo_notary")
    write(3)
    assert eventually(all_is_public)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0


# --- the whole database ------------------------------------------------------------------------------------


@pytest.fixture
def database_and_notary() -> Iterator[EmbeddedStack]:
    """A cluster of its own, which may be crashed, with a notary and nothing else on it."""
    ours = ("DATABASE", "CELERY", "CRIVO", "SECRET", "DJANGO")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    home = Path(tempfile.mkdtemp(prefix="crivo-notary-"))
    try:
        with EmbeddedStack(
            home, processes=["notary"], steps=BASICS, fsync=False, throw_away=True, environ=environ
        ) as stack:
            yield stack
    finally:
        shutil.rmtree(home, ignore_errors=True)


def asked(stack: EmbeddedStack, query: str) -> Any:
    session = psycopg2.connect(stack.superuser_url)
    try:
        with session.cursor() as cursor:
            cursor.execute(query)
            row = cursor.fetchone()
            return None if row is None else row[0]
    finally:
        session.close()


@pytest.mark.slow
def test_the_database_crashes_and_comes_back(database_and_notary: EmbeddedStack) -> None:
    """`pg_ctl stop -m immediate`, and a start; then the same after it was away for longer than one attempt."""
    stack = database_and_notary
    pid = stack.pid("notary")
    grown = "SELECT coalesce(max(size), 0) FROM audits_checkpoint"
    left = "SELECT count(*) FROM audits_event e LEFT JOIN audits_leaf l ON l.event_id = e.id WHERE l IS NULL"
    for number, away in enumerate((0.0, 2.5, 0.0)):
        assert eventually(lambda: asked(stack, left) == 0)
        stack.kill("postgres", signal.SIGQUIT)  # what `pg_ctl stop -m immediate` sends
        time.sleep(0.3 + away)
        stack.restart("postgres")
        before = asked(stack, grown)
        subprocess.run(
            [sys.executable, "manage.py", "bootstrap", "--workspace", f"after-crash-{number}"],
            cwd=stack.project, env=stack.env, check=True, capture_output=True,
        )  # fmt: skip
        assert eventually(lambda before=before: asked(stack, grown) > before)  # type: ignore[misc]
        assert eventually(lambda: asked(stack, left) == 0)
        assert (stack.is_alive("notary"), stack.pid("notary")) == (True, pid)
