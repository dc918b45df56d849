"""data.quality divided among workers: rows, columns and keys are counted by whoever comes; one effect, whoever dies."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from sklearn.linear_model import LogisticRegression

from audits import dispatch
from audits.actors import Command, system_actor
from audits.checks import streams
from audits.checks.contract import Material, Message
from audits.models import CheckPart, CheckRun, Event
from audits.progress import progress_of
from audits.services import check_parts, check_runs, execution, mapping
from audits.states import CheckPartState, CheckRunState
from tests.audits import test_check_parts as outside
from tests.audits.test_check_parts import CANARY, ROWS, Child, patients
from tests.cast import Cast

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Child:
    monkeypatch.setattr(streams, "LIMIT", 600)  # two buckets of keys
    return outside.standing_in(monkeypatch)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    monkeypatch.setattr(dispatch, "send", lambda task, row, **_: bool(found.append((task, row))) or True)
    return found


@pytest.fixture
def run(committed_cast: Cast, child: Child, sent: list[Any]) -> CheckRun:
    frame = patients()
    frame.loc[500:520] = frame.loc[:20].to_numpy()
    model = LogisticRegression(max_iter=500).fit(frame[["bmi", "age"]], frame.progression)
    bias = outside.ask(committed_cast, frame.infer_objects().to_parquet(index=False), model)
    digest = next(item["digest"] for item in bias.input["materials"] if item["role"] == "evaluation")
    run = check_runs.obtain_run(
        Command(system_actor("worker", committed_cast.workspace.id)).actor,
        subject=check_runs.SubjectRef(bias.subject_kind, bias.subject_id, "", bias.subject_digest),
        slug="data.quality",
        parameters={"schema": {"bmi": {"unique": True, "max": 40}}},
        seed=7,
        semantics=bias.input["semantics"],
        materials=tuple(Material(role, digest, "parquet") for role in ("training", "evaluation")),
        confinement_level=1,
        fresh_since=timezone.now(),
    )
    sent.clear()
    return run


def laid_out(run: CheckRun) -> list[CheckPart]:
    assert execution.run_check(run.id) is None
    return list(CheckPart.objects.order_by("index"))


def lost(part: CheckPart) -> CheckPart:
    """Taken by a worker that died."""
    held = check_parts.claim(part.id)
    assert held is not None
    CheckPart.objects.filter(id=part.id).update(lease_until=timezone.now() - timedelta(seconds=1))
    return held


def test_it_gives_the_bytes_of_its_one_pass(run: CheckRun, child: Child, sent: list[Any]) -> None:
    rows = laid_out(run)
    assert [row.rows for row in rows] == 2 * [300, 300, 400, *[0] * 4, *[0] * 2]
    assert sent == [(check_parts.TASK, str(row.id)) for row in rows]
    random.Random(3).shuffle(rows)
    for row in rows:
        assert mapping.run_part(row.id)
        assert not mapping.run_part(row.id), "delivered twice: no-op"
    told = progress_of([run.id])[run.id]
    assert (told.parts, told.parts_done, told.rows, told.rows_done) == (18, 18, 2 * ROWS, 2 * ROWS)
    finished = execution.run_check(run.id)
    assert finished is not None
    assert (finished.state, finished.run_environment["parts"]) == (CheckRunState.COMPLETED, 18)
    once, _ = execution.computed(run)
    assert check_runs.digest_of(once.to_json()) == finished.result_digest
    duplicates = next(each for each in finished.result["metrics"] if each["metric"] == "duplicate_ratio")
    assert duplicates["denominators"] == {"duplicates": 21, "rows": ROWS}


def test_workers_that_die_over_a_part_of_each_kind_leave_one_effect(
    run: CheckRun, child: Child, sent: list[Any]
) -> None:
    rows = laid_out(run)
    dead = [lost(rows[place]) for place in (0, 4, 8)]  # rows, a column, a bucket
    for row in rows:
        assert mapping.run_part(row.id), "taken over, or taken for the first time"
    for held in dead:
        assert not check_parts.finish(held, {"late": 1}, {}), "who comes back late writes nothing"
        assert not check_parts.fail(held, Message("timeout"), {})
    assert sent.count((check_runs.RUN_TASK, str(run.id))) == 1
    assert check_runs.claim(run.id) is not None  # and dies before it has reduced
    CheckRun.objects.filter(id=run.id).update(lease_until=timezone.now() - timedelta(seconds=1))
    finished = execution.run_check(run.id)
    assert finished is not None
    assert child.asked.count("compute") == len(rows)
    assert execution.run_check(run.id) is None
    assert Event.objects.filter(verb="check_run.completed", subject_id=run.id).count() == 1
    once, _ = execution.computed(run)
    assert check_runs.digest_of(once.to_json()) == finished.result_digest


def test_cancelled_in_the_middle_nobody_goes_on(
    run: CheckRun, child: Child, sent: list[Any], committed_cast: Cast
) -> None:
    rows = laid_out(run)
    assert mapping.run_part(rows[0].id)
    counting = check_parts.claim(rows[4].id)
    assert counting is not None
    command = committed_cast.command("ana")
    check_runs.cancel_check_run(command=command, run_id=run.id, reason="asked for by mistake")
    assert not check_parts.renew(counting.id, counting.fence), "whoever counts is told"
    assert not check_parts.finish(counting, {}, {})
    assert not any(mapping.run_part(row.id) for row in rows)
    assert execution.run_check(run.id) is None
    run.refresh_from_db()
    assert (run.state, run.result["error"]["code"]) == (CheckRunState.ERRORED, "check_cancelled")
    states = set(CheckPart.objects.values_list("state", "asked", "counted"))
    assert states == {(CheckPartState.DONE, None, None), (CheckPartState.DROPPED, None, None)}
    verbs = Event.objects.filter(subject_id=run.id).values_list("verb", flat=True)
    assert list(verbs) == ["check_run.cancelled"]


def test_no_value_of_the_data_lies_in_the_table(run: CheckRun, sent: list[Any]) -> None:
    for row in laid_out(run):
        mapping.run_part(row.id)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(counted) FROM audits_check_part")
        assert cursor.fetchone() == (18,)
        cursor.execute(
            "SELECT p::text, encode(asked, 'escape'), encode(counted, 'escape') FROM audits_check_part p"
        )
        assert CANARY not in str(cursor.fetchall())
