"""Eight writers, every process killed in turn, again and again: what was answered is there, once, and in the log."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from governance.client import Crivo
from governance.client.errors import CrivoError
from governance.embedded.stack import EmbeddedStack
from tests.test_durability import rows, stack, until  # noqa: F401 - the fixture

pytestmark = pytest.mark.slow
WRITERS, KILLS = 8, 10


def immediate(stack: EmbeddedStack) -> None:  # noqa: F811
    """`pg_ctl stop -m immediate`: SIGQUIT to the postmaster; what was not flushed is gone."""
    stack.kill("postgres", signal.SIGQUIT)
    time.sleep(0.3)
    stack.restart("postgres")


def test_nothing_answered_is_lost_and_nothing_twice(stack: EmbeddedStack) -> None:  # noqa: F811
    token = json.loads((Path(stack.env["CRIVO_DATA"]) / "demo-session.json").read_text())["tokens"][
        "pipeline"
    ]
    stop, answered, lock = threading.Event(), [], threading.Lock()

    def write(who: int) -> None:
        crivo, number = Crivo(stack.base_url, token, tries=2), 0
        while not stop.is_set():
            name = f"w{who}-{number}"
            try:
                crivo.register_dataset(name)
            except (CrivoError, OSError):
                time.sleep(0.1)  # and again, by the same name: it may have been done
                continue
            with lock:
                answered.append(name)
            number += 1

    threads = [threading.Thread(target=write, args=(who,)) for who in range(WRITERS)]
    chance = random.Random(5)
    for thread in threads:
        thread.start()
    try:
        until(lambda: len(answered) >= WRITERS or None, "writers write", 60)
        for number in range(KILLS):
            victim = ("notary", "web", "worker", "immediate", "postgres")[number % 5]
            time.sleep(chance.uniform(0.1, 0.8))
            if victim == "immediate":
                immediate(stack)
            else:
                stack.kill(victim)  # KeyError if it had ended by itself: nobody restarts it here
                stack.restart(victim)
            before = len(answered)
            until(lambda before=before: len(answered) > before or None, f"they go on after {victim}", 60)  # type: ignore[misc]
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    assert stack.dead() == [], "none ended by itself over a crash of another"
    stack.kill("notary")
    stack.restart("notary")
    found = dict(
        rows(
            stack,
            "SELECT d.name, count(e.id) FROM registry_dataset d LEFT JOIN audits_event e ON e.subject_id = d.id "
            "AND e.verb = 'dataset.registered' GROUP BY d.name",
        )
    )
    assert set(answered) <= set(found), "what was answered is there"
    assert len(set(answered)) == len(answered) > 2 * WRITERS
    assert {name: count for name, count in found.items() if count != 1} == {}, (
        "each with its event, none twice"
    )
    left = "SELECT count(*) FROM audits_event e LEFT JOIN audits_leaf l ON l.event_id = e.id WHERE l IS NULL"
    until(lambda: rows(stack, left) == [(0,)] or None, "every event is in the log", 30)
    published = Path(stack.env["CRIVO_DATA"]) / "published" / "checkpoints"
    # A name that begins with a dot is one that the notary is about to publish, or was when it was killed.
    checkpoints = sorted(path for path in published.iterdir() if not path.name.startswith("."))
    assert len(checkpoints) > KILLS // 2
    arguments: list[Any] = [item for path in checkpoints for item in ("--checkpoint", str(path))]
    verified = subprocess.run(
        [sys.executable, "manage.py", "verify_ledger", *arguments],
        cwd=stack.project, env={**os.environ, **stack.env}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert verified.returncode == 0, verified.stdout[-2000:] + verified.stderr[-2000:]
