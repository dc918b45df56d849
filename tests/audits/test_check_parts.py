"""A check divided among workers: parts are held, lost, taken over and reduced; one effect, whatever dies when."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
import skops.io
from django.conf import settings
from django.db import connection
from django.utils import timezone
from sklearn.linear_model import LogisticRegression

from audits import blobs, dispatch
from audits.checks import mapped, parts
from audits.checks.contract import CheckError, Message
from audits.checks.execute import execute
from audits.confine import ConfinedOutcome, Confinement
from audits.confine.outcome import LEVEL_1
from audits.fetching import fetched
from audits.models import CheckPart, CheckRun, Event
from audits.services import check_parts, check_runs, confined, execution, mapping
from audits.states import CheckPartState, CheckRunState
from registry.services.datasets import register_dataset, register_dataset_version
from registry.services.models import register_model, register_model_version
from registry.tabular import Profile, profile
from tests import study
from tests.cast import Cast

pytestmark = pytest.mark.django_db(transaction=True)
ROWS, CANARY = 1000, "zebra-4711"


def patients() -> pd.DataFrame:
    random = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "sex": random.choice(["f", "m", CANARY], ROWS, p=[0.5, 0.45, 0.05]),
            "age": random.integers(20, 80, ROWS),
            "bmi": random.normal(25, 4, ROWS),
        }
    )
    frame["progression"] = (frame.bmi + random.normal(0, 3, ROWS) + 2 * (frame.sex == "m") > 26).astype(int)
    return frame


class Child:
    """Stands in for the confined child: the same entry points, called here."""

    real = staticmethod(confined.child_outcome)

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.before: Callable[[str], None] = lambda function: None
        self.libraries = {"numpy": "1"}

    def __call__(
        self,
        workspace: UUID,
        question: dict[str, Any],
        *,
        entry: str = "",
        sources: dict[str, str] | None = None,
        **more: Any,
    ) -> ConfinedOutcome:
        function = entry.partition(":")[2] or "execute"
        self.asked.append(function)
        self.before(function)
        call = {"execute": execute, "lay_out": mapped.lay_out, "compute": mapped.compute}
        files: dict[str, Any] = {}
        for material in question["materials"]:
            digest = material["digest"]
            source = (sources or {}).get(digest)
            with blobs.opened(workspace, digest) if source is None else fetched(source, digest) as file:
                files[material["role"]] = io.BytesIO(file.read())
        try:
            result = call.get(function, mapped.conclude)(question, files)
        except CheckError as error:
            return ConfinedOutcome(error=error.message)
        confinement = Confinement(1, LEVEL_1)
        return ConfinedOutcome(result=result, confinement=confinement, libraries=dict(self.libraries))


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Child:
    return standing_in(monkeypatch)


def standing_in(monkeypatch: pytest.MonkeyPatch) -> Child:
    """A child for 1000 rows in three parts."""
    child = Child()
    monkeypatch.setattr(execution, "child_outcome", child)
    monkeypatch.setattr(mapping, "child_outcome", child)
    monkeypatch.setattr(parts, "PART_ROWS", 100)
    monkeypatch.setattr(settings, "CRIVO_MAP_ROWS", 500)
    monkeypatch.setattr(settings, "CRIVO_PART_ROWS", 250)
    return child


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    monkeypatch.setattr(dispatch, "send", lambda task, row, **_: bool(found.append((task, row))) or True)
    return found


def ask(cast: Cast, content: bytes, model: Any, in_zone: dict[str, Any] | None = None) -> CheckRun:
    """A queued check of a model on Parquet. `in_zone`: zone, uri, digest and columns of data that is not ours."""
    study.use_case_with_policies(cast)
    pipeline = cast.command
    about: dict[str, Any] = {"uri": in_zone["uri"]} if in_zone else {}
    register_dataset(
        command=pipeline("pipeline"), name="patients", **({"zone": in_zone["zone"]} if in_zone else {})
    )
    register_dataset_version(
        command=pipeline("pipeline"),
        name="patients",
        stored=blobs.Stored(in_zone["digest"], 0)
        if in_zone
        else blobs.store(cast.workspace.id, io.BytesIO(content), cap=1 << 20),
        format="parquet",
        profile=Profile(None, [{"name": name, "type": ""} for name in in_zone["columns"]])
        if in_zone
        else profile(io.BytesIO(content), "parquet"),
        sensitive={"sex": {}, "age": {"bins": [50]}},
        **about,
    )
    register_model(command=pipeline("pipeline"), name="progression")
    version = register_model_version(
        command=pipeline("pipeline"),
        name="progression",
        stored=blobs.store(cast.workspace.id, io.BytesIO(skops.io.dumps(model)), cap=1 << 20),
        metadata=study.metadata(),
    ).value
    for environment in ("development", "test"):
        study.ask(cast, version, environment)
        study.sequence()
    study.ask(cast, version, "homologation")
    return CheckRun.objects.get()


@pytest.fixture
def run(committed_cast: Cast, child: Child) -> CheckRun:
    frame = patients()
    model = LogisticRegression(max_iter=500).fit(frame[["bmi", "age"]], frame.progression)
    return ask(committed_cast, frame.to_parquet(index=False), model)


def one_pass(run: CheckRun, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    result, _ = execution.computed(run)
    return result.to_json()


def laid_out(run: CheckRun) -> list[CheckPart]:
    assert execution.run_check(run.id) is None
    return list(CheckPart.objects.order_by("index"))


def test_divided_counted_reduced(
    run: CheckRun, child: Child, sent: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = laid_out(run)
    assert [(row.index, row.rows, row.state) for row in rows] == [
        (0, 300, "queued"), (1, 300, "queued"), (2, 400, "queued"),
    ]  # fmt: skip
    assert sent == [(check_parts.TASK, str(row.id)) for row in rows]
    run.refresh_from_db()
    assert (run.state, run.lease_until) == (CheckRunState.RUNNING, None)
    assert check_runs.claim(run.id) is None, "nobody takes it while its parts are on their way"
    assert not check_runs.renew(run.id, 1), "nor does whoever laid it out get it back by renewing"
    assert execution.run_check(run.id) is None
    sent.clear()
    for row in (rows[2], rows[0]):
        assert mapping.run_part(row.id)
        assert not mapping.run_part(row.id), "delivered twice: no-op"
    assert sent == []
    assert mapping.run_part(rows[1].id)
    assert sent == [(check_runs.RUN_TASK, str(run.id))]
    finished = execution.run_check(run.id)
    assert finished is not None
    assert finished.state == CheckRunState.COMPLETED
    assert finished.run_environment["parts"] == 3
    assert child.asked == ["lay_out", "compute", "compute", "compute", "conclude"]
    assert execution.run_check(run.id) is None
    assert Event.objects.filter(verb="check_run.completed").count() == 1
    result, _ = execution.computed(run)
    assert check_runs.digest_of(result.to_json()) == finished.result_digest
    for row in CheckPart.objects.all():
        assert (row.state, row.asked, row.counted) == (CheckPartState.DONE, None, None)
        assert row.counted_digest.startswith("sha256:")


def test_no_value_of_the_data_lies_in_the_table(run: CheckRun, sent: list[tuple[str, str]]) -> None:
    for row in laid_out(run)[:2]:
        mapping.run_part(row.id)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(asked), count(counted) FROM audits_check_part")
        assert cursor.fetchone() == (3, 2)
        cursor.execute(
            "SELECT p::text, encode(asked, 'escape'), encode(counted, 'escape') FROM audits_check_part p"
        )
        stored = str(cursor.fetchall())
    assert CANARY not in stored
    asked = check_parts.asked_of(CheckPart.objects.all()[0])
    assert asked is not None
    assert CANARY in asked["survey"]["levels"]["sex"], "or else this test would prove nothing"


def test_a_lost_worker_s_part_is_taken_over_and_counted_once(
    run: CheckRun, child: Child, sent: list[tuple[str, str]]
) -> None:
    first, second, third = laid_out(run)
    mapping.run_part(second.id)
    mapping.run_part(third.id)
    dead = check_parts.claim(first.id)
    assert dead is not None
    sent.clear()
    assert not mapping.run_part(first.id), "its lease has not run out"
    CheckPart.objects.filter(id=first.id).update(
        lease_until=timezone.now() - timedelta(seconds=1), sent_at=timezone.now() - timedelta(hours=1)
    )
    check_parts.resend_waiting()
    assert sent == [(check_parts.TASK, str(first.id))]
    assert mapping.run_part(first.id)
    assert not check_parts.finish(dead, {"late": 1}, {}), "who comes back late writes nothing"
    assert not check_parts.fail(dead, Message("timeout"), {})
    assert execution.run_check(run.id) is not None
    assert sent.count((check_runs.RUN_TASK, str(run.id))) == 1
    assert Event.objects.filter(verb="check_run.completed").count() == 1


def test_the_two_last_parts_at_the_same_moment_free_the_run_once(
    run: CheckRun, sent: list[tuple[str, str]]
) -> None:
    first, *rest = laid_out(run)
    mapping.run_part(first.id)
    held = [check_parts.claim(row.id) for row in rest]
    sent.clear()
    together = threading.Barrier(len(held))

    def end(row: CheckPart) -> None:
        try:
            together.wait()
            check_parts.finish(row, {}, {})
        finally:
            connection.close()

    threads = [threading.Thread(target=end, args=(row,)) for row in held]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sent == [(check_runs.RUN_TASK, str(run.id))]


def test_a_worker_that_dies_before_it_reduces_leaves_the_counts_to_the_next(
    run: CheckRun, child: Child, sent: list[tuple[str, str]]
) -> None:
    for row in laid_out(run):
        mapping.run_part(row.id)
    assert check_runs.claim(run.id) is not None  # and dies
    CheckRun.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert execution.run_check(run.id) is not None
    assert child.asked.count("compute") == 3


def test_a_layout_that_comes_late_is_not_written(
    run: CheckRun, child: Child, sent: list[tuple[str, str]]
) -> None:
    def taken_over(function: str) -> None:
        CheckRun.objects.update(fence=7)

    child.before = taken_over
    assert execution.run_check(run.id) is None
    assert not CheckPart.objects.exists()
    assert sent == []


def test_a_part_that_errors_leaves_the_words_to_the_one_pass(
    committed_cast: Cast, child: Child, sent: list[tuple[str, str]]
) -> None:
    frame = patients()
    model = LogisticRegression(max_iter=500).fit(frame[["bmi", "age"]], frame.progression)
    frame.loc[450, "progression"] = 7
    run = ask(committed_cast, frame.to_parquet(index=False), model)
    first, second, third = laid_out(run)
    assert mapping.run_part(first.id)
    sent.clear()
    assert mapping.run_part(second.id)
    assert sent == [(check_runs.RUN_TASK, str(run.id))], "at once: the third need not be counted"
    assert not mapping.run_part(third.id)
    finished = execution.run_check(run.id)
    assert finished is not None
    assert finished.result["error"]["code"] == "label_unknown_to_model"
    assert finished.result == execution.computed(run)[0].to_json()
    states = CheckPart.objects.order_by("index").values_list("state", flat=True)
    assert list(states) == ["done", "failed", "dropped"]


def test_a_part_that_kills_its_workers_ends_the_run(
    run: CheckRun, child: Child, sent: list[tuple[str, str]]
) -> None:
    first, *_ = laid_out(run)
    for _ in range(3):
        assert check_parts.claim(first.id) is not None
        CheckPart.objects.filter(id=first.id).update(lease_until=timezone.now() - timedelta(seconds=1))
    assert mapping.run_part(first.id)
    finished = execution.run_check(run.id)
    assert finished is not None
    assert finished.result["error"] == {"code": "check_killed_workers", "params": {"attempts": 3}}
    assert child.asked == ["lay_out"], "not in one pass either: it would kill three more"


def test_workers_with_different_libraries_do_not_add_up(
    run: CheckRun, child: Child, sent: list[tuple[str, str]]
) -> None:
    rows = laid_out(run)
    for row in rows:
        child.libraries = {"numpy": str(row.index)}
        mapping.run_part(row.id)
    finished = execution.run_check(run.id)
    assert finished is not None
    assert finished.state == CheckRunState.COMPLETED
    assert child.asked[-1] == "execute"
    assert "parts" not in finished.run_environment


@pytest.mark.parametrize("setting", ["CRIVO_MAP_ROWS", "CRIVO_PART_ROWS"])
def test_short_data_have_their_one_pass(
    run: CheckRun, child: Child, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    monkeypatch.setattr(settings, setting, ROWS + 1)
    assert execution.run_check(run.id) is not None
    assert child.asked == ["lay_out", "execute"]
    assert not CheckPart.objects.exists()


def test_nothing_is_divided_where_that_is_switched_off(
    run: CheckRun, child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "CRIVO_MAP_ROWS", 0)
    assert execution.run_check(run.id) is not None
    assert child.asked == ["execute"]
