"""Everything dies at the worst moment, in a real stack: what was asked for finishes by itself, each effect once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import psycopg2
import pytest
import redis

from governance.client import Crivo
from governance.demo import study
from governance.embedded.processes import SETUP
from governance.embedded.stack import EmbeddedStack

pytestmark = pytest.mark.slow
T = TypeVar("T")
VERSIONS = 4
STEPS = [step for step in SETUP if not step.afterwards]  # not the demonstration's story: this is another one


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[EmbeddedStack]:
    ours = ("DATABASE", "CELERY", "CRIVO", "SECRET", "DJANGO")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    environ["CRIVO_LEASE_SECONDS"] = "4"
    home = Path(tempfile.mkdtemp(prefix="crivo-durability-"))
    try:
        with EmbeddedStack(home, steps=STEPS, fsync=False, throw_away=True, environ=environ) as stack:
            yield stack
    finally:
        shutil.rmtree(home, ignore_errors=True)


def until(look: Callable[[], T | None], what: str, seconds: float) -> T:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (found := look()) is not None:
            return found
        time.sleep(0.2)
    raise AssertionError(f"not within {seconds:.0f} s: {what}")


def flush(url: str) -> None:
    """FLUSHALL: what a broker without persistence is after a restart, with everybody still connected."""
    at = urlsplit(url)
    client = redis.Redis(unix_socket_path=at.path, password=at.password)
    assert client.flushall() is True
    client.close()


def rows(stack: EmbeddedStack, query: str) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(stack.superuser_url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()
    finally:
        connection.close()


def test_everything_dies_and_nothing_is_lost(stack: EmbeddedStack, tmp_path: Path) -> None:
    session = json.loads((Path(stack.env["CRIVO_DATA"]) / "demo-session.json").read_text())
    crivo = Crivo(stack.base_url, session["tokens"]["pipeline"], tries=8)
    files = study.build(tmp_path / "study")
    crivo.register_use_case(study.USE_CASE, purpose=study.PURPOSE, risk_tier=study.RISK_TIER)
    for name, path in ((study.TRAINING, files.training), (study.EVALUATION, files.evaluation)):
        crivo.register_dataset(name)
        crivo.register_dataset_version(name, path, sensitive=study.SENSITIVE)
    crivo.register_model(study.MODEL)
    described = json.loads(files.metadata["with"].read_text())
    versions = [
        crivo.register_model_version(study.MODEL, files.artifacts["with"], {**described, "seed": seed})
        for seed in range(VERSIONS)
    ]

    def ask(n: int) -> str:
        return crivo.promote(study.MODEL, n, to="development", reason="ready", key=f"ask-{n}").id

    asked = [ask(version.n) for version in versions]

    running = "SELECT id FROM audits_check_run WHERE state = 'running'"
    until(lambda: rows(stack, running) or None, "a check runs", 30)
    stack.kill("worker")
    stack.kill("notary")
    flush(stack.valkey.url)
    stack.restart("worker")
    until(lambda: rows(stack, running) or None, "a check runs again", 40)
    stack.kill("postgres")
    stack.restart("postgres")
    asked_again = [ask(version.n) for version in versions]  # a client that never heard the first answer
    assert asked_again == asked
    stack.restart("notary")
    flush(stack.valkey.url)

    for promotion_id in asked:
        done = until(
            lambda promotion_id=promotion_id: (  # type: ignore[misc]
                found if (found := crivo.promotion(promotion_id)).raw["attestation"] else None
            ),
            f"promotion {promotion_id} is attested",
            60,
        )
        assert (done.state, done.effective) == ("granted", True)

    assert rows(stack, "SELECT count(*), count(DISTINCT version_id) FROM governance_placement") == [(4, 4)]
    assert rows(stack, "SELECT DISTINCT state FROM audits_check_run") == [("completed",)]
    once = """
        SELECT verb, count(*), count(DISTINCT subject_id) FROM audits_event
        WHERE verb IN ('check_run.completed', 'promotion.requested', 'promotion.granted', 'placement.granted',
                       'attestation.issued') GROUP BY verb
    """
    for verb, events, subjects in rows(stack, once):
        expected = (
            len(rows(stack, "SELECT 1 FROM audits_check_run")) if verb.startswith("check") else VERSIONS
        )
        assert (events, subjects) == (expected, expected), verb
    gaps = """
        SELECT subject_kind, subject_id FROM audits_event GROUP BY 1, 2
        HAVING min(subject_seq) <> 1 OR max(subject_seq) <> count(*)
    """
    assert rows(stack, gaps) == []
    unsequenced = (
        "SELECT count(*) FROM audits_event e LEFT JOIN audits_leaf l ON l.event_id = e.id WHERE l IS NULL"
    )
    until(lambda: rows(stack, unsequenced) == [(0,)] or None, "every event is in the log", 10)
    verified = subprocess.run(
        [sys.executable, "manage.py", "verify_ledger"],
        cwd=stack.project, env=stack.env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert verified.returncode == 0, verified.stdout + verified.stderr
