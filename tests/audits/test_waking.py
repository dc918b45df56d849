"""Who wakes the notary: not every commit calls, and what made no call is found all the same."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from django.db import DatabaseError, connection, connections

from audits import dispatch
from audits.ledger.inclusion import published_at
from audits.ledger.notary import Notary
from audits.ledger.signing import checkpoint_key
from audits.roles import acting_as_notary
from governance.management.commands import notary as command
from tests.audits.trail import in_thread, write


@pytest.fixture(autouse=True)
def nobody_has_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "_called", {})


@pytest.fixture
def ear(transactional_db: None) -> Iterator[Any]:
    """A session that hears every call."""
    raw = psycopg2.connect(**connections["default"].get_connection_params() | {"cursor_factory": None})
    raw.autocommit = True
    with raw.cursor() as cursor:
        cursor.execute(f"LISTEN {dispatch.CHANNEL}")
    yield raw
    raw.close()


def heard(raw: Any) -> int:
    with raw.cursor() as cursor:
        cursor.execute("SELECT 1")  # what was sent before has come when this is answered
    raw.poll()
    count = len(raw.notifies)
    raw.notifies.clear()
    return count


def test_a_burst_of_commits_calls_once(ear: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr(dispatch.time, "monotonic", lambda: now)
    write(5)
    assert heard(ear) == 1
    now += dispatch.QUIET / 2
    write(5)
    assert heard(ear) == 0
    now += dispatch.QUIET
    write(5)
    assert heard(ear) == 1


def test_a_call_that_could_not_be_made_is_made_by_the_next_commit(
    ear: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    monkeypatch.setattr(dispatch.time, "monotonic", lambda: now)
    with monkeypatch.context() as patch:
        patch.setattr(connection, "cursor", broken)
        with pytest.raises(DatabaseError):
            dispatch.wake_notary()
    write(1)
    assert heard(ear) == 1


def broken() -> Any:
    raise DatabaseError("gone")


def test_another_database_has_a_notary_of_its_own(ear: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr(dispatch.time, "monotonic", lambda: now)
    monkeypatch.setitem(dispatch._called, "another", now)
    write(1)
    assert heard(ear) == 1


def test_what_made_no_call_is_published_without_waiting_for_the_poll(
    transactional_db: None, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        command, "POLL", 3600.0
    )  # a call that is needed and not made would be waited for that long
    calls: list[float] = []
    serving = command.Command()
    serving.wakeup, serving._bell = os.pipe()
    serving.stopping = serving.looked = False

    def serve() -> None:
        with acting_as_notary():
            notary = Notary(checkpoint_key())
            serving._serve(notary)
            notary.release()

    real = dispatch.wake_notary

    def counting() -> None:
        before = dict(dispatch._called)
        real()
        if dispatch._called != before:
            calls.append(time.monotonic())

    monkeypatch.setattr(dispatch, "wake_notary", counting)
    thread = in_thread(serve)
    try:
        for apart in (0.05, 0.06, 0.07, 0.08, 0.09, 0.03):
            time.sleep(
                0.3
            )  # the notary is idle: it looks 20 ms after the call, and the second comes after that look
            first = write(1)
            time.sleep(apart)
            second = write(1)
            wanted, waited = [event.id for event in (*first, *second)], time.monotonic() + 60
            while len(published_at(wanted)) < 2:
                assert time.monotonic() < waited, "an event that made no call was left lying"
                time.sleep(0.05)
        assert len(calls) < 12, "every commit called: nothing was tried here"
    finally:
        serving.stopping = True
        os.write(serving._bell, b"!")
        thread.join(60)
        for end in (serving.wakeup, serving._bell):
            os.close(end)
    assert not thread.is_alive()
