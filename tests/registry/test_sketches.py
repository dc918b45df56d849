"""Reference sketches of dataset versions: asked for once, made in the confined child, looked at, kept; and what drift
does with them when the data are gone."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rfc8785
from celery import current_app
from django.core.files.storage import storages
from django.db import DatabaseError, IntegrityError, connections, transaction

from audits import blobs
from audits.checks.contract import Message
from audits.checks.sketch_form import MAX_BYTES, from_bytes, small_cells
from audits.checks.sketches import to_json
from audits.confine import ConfinedOutcome
from audits.models import Blob, CheckRun, Event
from audits.services import confined, execution
from governance.models import Promotion
from registry import sketching
from registry.models import DatasetVersion, ModelVersion, ReferenceSketch
from registry.services import sketches
from registry.services.datasets import register_dataset, register_dataset_version
from registry.services.models import register_model, register_model_version
from registry.tabular import Profile, profile
from tests import study
from tests.cast import Cast
from tests.checks.test_drift import tables
from tests.governance.test_api import Caller, problem
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True)
PATH = "datasets/people/versions/1/sketch"
POLICY = """
policy: study-development
applies_to: {use_case: care, environment: development}
checks:
  - check: drift.distribution
    require:
      - {metric: drifted_columns, max: 0}
      - {metric: group_population_stability_index, max: 100, bound: point}
approvals: [{role: validator, count: 1}]
"""
PREPARED = "SELECT to_jsonb(t)::text FROM registry_reference_sketch t"


@pytest.fixture(scope="module", autouse=True)
def _end_of_the_zygote() -> Iterator[None]:
    yield
    confined.zygote().close()
    confined.zygote.cache_clear()


@pytest.fixture
def cast(committed_cast: Cast) -> Cast:
    for name in ("pipeline", "clara", "bruno", "davi"):
        committed_cast.token(name)  # a test that counts rows must not make one
    return committed_cast


def people(moved: float = 0.0) -> pd.DataFrame:
    frame = tables(moved=moved)
    frame.loc[:3, "income"] = np.nan
    return frame


def registered(
    cast: Cast, name: str = "people", frame: pd.DataFrame | None = None, format_: str = "csv"
) -> DatasetVersion:
    frame = people() if frame is None else frame
    content = frame.to_csv(index=False).encode() if format_ == "csv" else frame.to_parquet(index=False)
    register_dataset(command=cast.command("pipeline"), name=name)
    return register_dataset_version(
        command=cast.command("pipeline"),
        name=name,
        stored=blobs.store(cast.workspace.id, io.BytesIO(content), cap=1 << 22),
        format=format_,
        profile=profile(io.BytesIO(content), format_),
        sensitive={"sex": {}},
    ).value


def made(cast: Cast, name: str = "people") -> ReferenceSketch:
    asked = sketches.request_sketch(command=cast.command("pipeline"), name=name, n=1).value
    found = sketching.make_sketch(asked.id)
    assert found is not None
    assert found.state == "completed", found.error
    return found


def content_of(row: ReferenceSketch) -> bytes:
    with blobs.opened(row.workspace_id, row.digest) as file:
        return file.read()


class TestMade:
    @pytest.mark.parametrize("format_", ["csv", "parquet"])
    def test_it_is_asked_for_made_and_seen(self, cast: Cast, format_: str, monkeypatch: Any) -> None:
        version = registered(cast, format_=format_)
        caller = Caller(cast, "pipeline")
        sent: list[Any] = []
        monkeypatch.setattr(
            current_app._get_current_object(),
            "send_task",
            lambda task, **how: sent.append((task, how["queue"])),
        )
        assert caller.get("datasets/people/versions/1").json()["sketch"] is None
        problem(caller.get(PATH), 404, "not_found")
        asked = caller.post(PATH, {})
        assert (asked.status_code, asked.json()["state"]) == (202, "queued")
        assert sent == [("registry.tasks.make_sketch", current_app.conf.task_default_queue)]
        problem(caller.get(f"{PATH}/content"), 404, "not_found")
        assert sketching.make_sketch(asked.json()["id"]) is not None

        answer = caller.get(f"{PATH}?wait=1").json()
        assert (answer["state"], answer["error"], answer["rows"], answer["k"]) == ("completed", None, 600, 10)
        assert answer["columns"] == ["sex", "income", "region", "progression"]
        assert answer["attributes"] == {"sex": sorted("fm", key=lambda sex: -(people().sex == sex).sum())}
        assert answer["run_environment"]["confinement"]["level"] >= 1
        content = caller.get(f"{PATH}/content").content
        assert content == rfc8785.dumps(to_json(people(), sensitive={"sex": ()}))
        assert answer["digest"] == f"sha256:{sha256(content).hexdigest()}"
        assert Blob.objects.filter(digest=answer["digest"], size=len(content)).exists()
        assert caller.get("datasets/people/versions/1").json()["sketch"] == answer["digest"]
        listed = caller.get("datasets/people/versions").json()["results"]
        assert [row["sketch"] for row in listed] == [answer["digest"]]

        events = Event.objects.filter(verb__startswith="reference_sketch.").order_by("id")
        assert [(event.verb, event.subject_id, event.outcome) for event in events] == [
            ("reference_sketch.requested", version.id, "done"),
            ("reference_sketch.kept", version.id, "done"),
        ]
        assert events[1].evidence == [
            {"kind": "dataset", "digest": version.digest},
            {"kind": "reference_sketch", "digest": answer["digest"]},
        ]

    def test_asking_again_returns_what_is_there(self, cast: Cast) -> None:
        registered(cast)
        caller = Caller(cast, "pipeline")
        first = caller.post(PATH, {}).json()
        with unchanged(refusals=0):
            again = caller.post(PATH, {})
        assert (again.status_code, again.json()["id"]) == (200, first["id"])
        assert sketching.make_sketch(first["id"]) is not None
        with unchanged(refusals=0):
            assert caller.post(PATH, {}).json()["state"] == "completed"
            assert sketching.make_sketch(first["id"]) is None, "a message delivered twice is a no-op"

    def test_who_may_not_and_what_is_not_there(self, cast: Cast) -> None:
        registered(cast)
        for name in ("clara", "bruno"):
            with unchanged(refusals=1):
                problem(Caller(cast, name).post(PATH, {}), 403, "not_permitted")
        with unchanged(refusals=0):
            problem(Caller(cast, "davi").post(PATH, {}), 404, "not_found")
            problem(Caller(cast, "pipeline").post("datasets/people/versions/2/sketch", {}), 404, "not_found")

    def test_of_an_evaluation_set_only_those_who_validate_know(self, cast: Cast) -> None:
        bruno = Caller(cast, "bruno")
        bruno.post("datasets", {"name": "exam", "hidden": True})
        content = people().to_csv(index=False).encode()
        assert bruno.upload("datasets/exam/versions", "file", content, {}).status_code == 201
        path = "datasets/exam/versions/1/sketch"
        with unchanged(refusals=0):
            problem(Caller(cast, "pipeline").post(path, {}), 404, "not_found")
        assert bruno.post(path, {}).status_code == 202
        problem(Caller(cast, "pipeline").get(path), 404, "not_found")
        problem(Caller(cast, "pipeline").get(f"{path}/content"), 404, "not_found")

    def test_once_kept_it_never_changes(self, cast: Cast) -> None:
        registered(cast)
        row = made(cast)
        for change in ({"digest": "sha256:" + "0" * 64}, {"rows": 1}, {"attempts": 9}):
            with pytest.raises(DatabaseError), transaction.atomic():
                ReferenceSketch.objects.filter(id=row.id).update(**change)
        with pytest.raises(DatabaseError), transaction.atomic():
            ReferenceSketch.objects.filter(id=row.id).delete()
        with pytest.raises(IntegrityError), transaction.atomic():
            ReferenceSketch.objects.create(
                workspace=cast.workspace, version=row.version, requested_by=row.requested_by, k=10
            )
        with pytest.raises(IntegrityError), transaction.atomic():
            ReferenceSketch.objects.create(
                workspace=cast.workspace, version=row.version, requested_by=row.requested_by, k=10,
                state="errored",
            )  # fmt: skip

    @pytest.mark.past_the_door
    def test_one_that_nobody_asked_for_is_noticed(self, cast: Cast) -> None:
        version = registered(cast)
        ReferenceSketch.objects.create(
            workspace=cast.workspace, version=version, requested_by=version.registered_by, k=10
        )
        with connections["migrator"].cursor() as cursor:
            cursor.execute("SELECT code, table_name FROM out_of_band_change")
            assert cursor.fetchall() == [("no_event", "registry_reference_sketch")]


class TestNotMade:
    def failed(self, cast: Cast) -> dict[str, Any]:
        caller = Caller(cast, "pipeline")
        asked = caller.post(PATH, {})
        assert asked.status_code == 202
        assert sketching.make_sketch(asked.json()["id"]) is not None
        found: dict[str, Any] = caller.get(PATH).json()
        assert (found["state"], found["digest"]) == ("errored", "")
        assert Event.objects.order_by("-id").first().verb == "reference_sketch.failed"
        problem(caller.get(f"{PATH}/content"), 404, "not_found")
        return found

    def test_why_not_is_said_and_it_may_be_asked_for_again(self, cast: Cast) -> None:
        frame = people().assign(income=["inf"] + ["1.5"] * 599)
        registered(cast, frame=frame)
        for _ in range(2):
            error = self.failed(cast)["error"]
            assert (error["code"], error["params"]) == ("column_not_finite", {"column": "income"})
        assert ReferenceSketch.objects.count() == 2

    def test_data_that_are_gone(self, cast: Cast) -> None:
        version = registered(cast)
        storages["blobs"].delete(blobs.name_of(cast.workspace.id, version.digest))
        assert self.failed(cast)["error"]["code"] == "material_unreadable"

    @pytest.mark.parametrize(
        ("answer", "code"),
        [
            ({}, "sketch_unreadable"),
            ({"sketch": None}, "sketch_unreadable"),
            ({"sketch": []}, "sketch_unreadable"),
            ({"sketch": {"format": "crivo-sketch-2"}}, "sketch_unreadable"),
            ({"sketch": {"k": float("nan")}}, "sketch_unreadable"),
            ({"sketch": {"rows": -600}}, "sketch_unreadable"),
            ({"sketch": {"more": "x" * MAX_BYTES}}, "sketch_unreadable"),
            ({"sketch": {"k": 2}}, "sketch_tells_too_much"),
            ({"sketch": {"groups": {"x": {"names": ["x"], "rows": [3], "bins": [], "merged": None,
                                          "columns": {}}}}}, "sketch_tells_too_much"),
            ({"sketch": {"columns": {"x": {"kind": "categories", "edges": [], "levels": ["one person"],
                                           "counts": [1, 599], "missing": 0}}, "groups": {}}},
             "sketch_tells_too_much"),
            ({"sketch": {"columns": {"x": {"kind": "categories", "edges": [], "levels": ["one person"],
                                           "counts": [-1, 601], "missing": 0}}, "groups": {}}},
             "sketch_unreadable"),
        ],
    )  # fmt: skip
    def test_what_a_child_says_is_not_believed(
        self, cast: Cast, monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any], code: str
    ) -> None:
        registered(cast)
        whole = to_json(people(), sensitive={"sex": ()})
        if isinstance(answer.get("sketch"), dict) and "format" not in answer["sketch"]:
            answer = {"sketch": {**whole, **answer["sketch"]}}
        monkeypatch.setattr(sketching, "child_outcome", lambda *_, **__: ConfinedOutcome(result=answer))
        before = set(Blob.objects.values_list("digest", flat=True))
        found = self.failed(cast)
        assert found["error"]["code"] == code
        assert "one person" not in json.dumps(found)
        assert set(Blob.objects.values_list("digest", flat=True)) == before

    def test_a_killed_child_is_an_answer_too(self, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
        registered(cast)
        killed = ConfinedOutcome(error=Message("out_of_memory", {"memory_bytes": 5}))
        monkeypatch.setattr(sketching, "child_outcome", lambda *_, **__: killed)
        assert self.failed(cast)["error"]["code"] == "out_of_memory"

    def test_one_that_kills_workers_is_given_up(self, cast: Cast) -> None:
        registered(cast)
        asked = sketches.request_sketch(command=cast.command("pipeline"), name="people", n=1).value
        ReferenceSketch.objects.filter(id=asked.id).update(attempts=sketches.MAX_ATTEMPTS)
        found = sketching.make_sketch(asked.id)
        assert found is not None
        assert found.error == {"code": "check_killed_workers", "params": {"attempts": 3}}

    def test_who_comes_back_late_writes_nothing(self, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
        registered(cast)
        asked = sketches.request_sketch(command=cast.command("pipeline"), name="people", n=1).value

        def taken_over(*_: Any, **__: Any) -> ConfinedOutcome:
            ReferenceSketch.objects.filter(id=asked.id).update(fence=7)
            return ConfinedOutcome(result={"sketch": to_json(people(), sensitive={"sex": ()})})

        monkeypatch.setattr(sketching, "child_outcome", taken_over)
        assert sketching.make_sketch(asked.id) is None
        asked.refresh_from_db()
        assert (asked.state, asked.digest) == ("running", "")
        assert not Event.objects.filter(verb="reference_sketch.kept").exists()

    def test_one_whose_message_was_lost_is_sent_again(
        self, cast: Cast, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        registered(cast)
        asked = sketches.request_sketch(command=cast.command("pipeline"), name="people", n=1).value
        sent: list[str] = []
        monkeypatch.setattr("audits.dispatch.send", lambda task, row, **_: sent.append(row) is None)
        assert sketches.resend_waiting() == []
        ReferenceSketch.objects.filter(id=asked.id).update(sent_at=None)
        assert sketches.resend_waiting() == [asked.id]
        assert sent == [str(asked.id)]


def requested(cast: Cast, training: list[str] | None = None, policy: str = POLICY) -> Promotion:
    """A model trained on `people` and a request for development that asks for drift."""
    registered(cast, "now", people(moved=3.0))
    study.use_case_with_policies(cast)
    study.put_in_force(cast, policy)
    return study.ask(cast, version_of(cast, training or ["people@1"]), "development")


def version_of(cast: Cast, training: list[str], evaluation: str = "now@1") -> ModelVersion:
    register_model(command=cast.command("pipeline"), name="progression")
    return register_model_version(
        command=cast.command("pipeline"),
        name="progression",
        stored=blobs.store(cast.workspace.id, io.BytesIO(b"a model"), cap=1 << 20),
        metadata=study.metadata(
            training=training, evaluation=evaluation, sensitive={"sex": {"use": "monitored"}}
        ),
    ).value


def run_of(promotion: Promotion) -> CheckRun:
    return promotion.checks.get(run__check_slug="drift.distribution").run


def drifted(promotion: Promotion) -> dict[str, Any]:
    run = run_of(promotion)
    assert execution.run_check(run.id) is not None
    run.refresh_from_db()
    assert isinstance(run.result, dict)
    return run.result


def gone(cast: Cast, version: DatasetVersion) -> None:
    storages["blobs"].delete(blobs.name_of(cast.workspace.id, version.digest))


class TestDrift:
    def test_it_is_measured_when_the_data_are_gone_and_says_so(self, cast: Cast) -> None:
        training = registered(cast)
        sketch = made(cast)
        promotion = requested(cast)
        run = run_of(promotion)
        assert [(row["role"], row["digest"]) for row in run.input["materials"]] == [
            ("training", training.digest),
            ("evaluation", DatasetVersion.objects.get(dataset__name="now").digest),
            ("reference", sketch.digest),
        ]
        gone(cast, training)
        result = drifted(promotion)
        assert result["error"] is None, result["error"]
        notes = [note["code"] for note in result["notes"]]
        assert notes == ["reference_is_sketch"]
        grouped = [row for row in result["metrics"] if row["metric"] == "group_population_stability_index"]
        assert grouped[0]["value"] > 0.1
        assert not next(row for row in result["metrics"] if row["metric"] == "drifted_columns")["undefined"]

    def test_the_figures_are_those_of_the_data(self, cast: Cast) -> None:
        training = registered(cast)
        made(cast)
        promotion = requested(cast)
        run = run_of(promotion)
        from_data, _ = execution.computed(run)
        gone(cast, training)
        from_sketch, _ = execution.computed(run)
        assert (from_data.notes, [note.code for note in from_sketch.notes]) == ((), ["reference_is_sketch"])
        assert (from_sketch.metrics, from_sketch.tables) == (from_data.metrics, from_data.tables)

    def test_without_a_sketch_what_is_gone_is_an_error(self, cast: Cast) -> None:
        training = registered(cast)
        promotion = requested(cast)
        gone(cast, training)
        assert drifted(promotion)["error"]["code"] == "material_unreadable"

    def test_a_lost_sketch_does_no_harm_while_the_data_are_there(self, cast: Cast) -> None:
        training = registered(cast)
        sketch = made(cast)
        promotion = requested(cast)
        storages["blobs"].delete(blobs.name_of(cast.workspace.id, sketch.digest))
        run = run_of(promotion)
        result, _ = execution.computed(run)
        assert (result.outcome, result.notes) == ("completed", ())
        gone(cast, training)
        lost, _ = execution.computed(run)
        assert lost.error is not None
        assert lost.error.code == "material_unreadable"

    def test_data_that_were_changed_are_not_data_that_are_gone(self, cast: Cast) -> None:
        training = registered(cast)
        made(cast)
        promotion = requested(cast)
        name = blobs.name_of(cast.workspace.id, training.digest)
        storages["blobs"].delete(name)
        storages["blobs"].save(name, io.BytesIO(b"other bytes"))
        assert drifted(promotion)["error"]["code"] == "digest_mismatch"

    def test_a_sketch_that_was_changed_is_found_out(self, cast: Cast) -> None:
        training = registered(cast)
        sketch = made(cast)
        promotion = requested(cast)
        gone(cast, training)
        name = blobs.name_of(cast.workspace.id, sketch.digest)
        content = content_of(sketch)
        storages["blobs"].delete(name)
        storages["blobs"].save(name, io.BytesIO(content.replace(b'"rows":600', b'"rows":601')))
        assert drifted(promotion)["error"]["code"] == "digest_mismatch"

    def test_several_training_data_sets_have_no_sketch_together(self, cast: Cast) -> None:
        registered(cast)
        made(cast)
        registered(cast, "more", people(moved=1.0))
        promotion = requested(cast, ["people@1", "more@1"])
        run = run_of(promotion)
        assert "reference" not in [row["role"] for row in run.input["materials"]]

    def test_no_other_check_is_given_one(self, cast: Cast) -> None:
        registered(cast)
        made(cast)
        policy = POLICY.replace(
            "checks:\n", "checks:\n  - check: data.quality\n    require: [{metric: missing_ratio, max: 1}]\n"
        )
        promotion = requested(cast, policy=policy)
        runs = [check.run for check in promotion.checks.all()]
        given = {run.check_slug: [row["role"] for row in run.input["materials"]] for run in runs}
        assert given == {
            "data.quality": ["training", "evaluation"],
            "drift.distribution": ["training", "evaluation", "reference"],
        }


def in_zone(
    cast: Cast, folder: Any, zone: str, name: str, frame: pd.DataFrame, k: int = 12
) -> DatasetVersion:
    content = frame.to_csv(index=False).encode()
    (folder / f"{name}.csv").write_bytes(content)
    register_dataset(command=cast.command("pipeline"), name=name, zone=zone, smallest_cell=k)
    return register_dataset_version(
        command=cast.command("pipeline"),
        name=name,
        stored=blobs.Stored(f"sha256:{sha256(content).hexdigest()}", 0),
        format="csv",
        profile=Profile(
            None, [{"name": column, "type": ""} for column in frame.columns if column != "secret"]
        ),
        sensitive={"sex": {}},
        uri=f"file://{folder}/{name}.csv",
    ).value


class TestZones:
    @pytest.fixture(autouse=True)
    def _zones(self, settings: Any, tmp_path: Any) -> None:
        settings.CRIVO_ZONES = ["clinic", "lab"]
        settings.CRIVO_FILE_ROOTS = [str(tmp_path)]

    def test_it_is_made_in_the_zone_and_nowhere_else(
        self, cast: Cast, settings: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        frame = people().assign(secret=["canary"] * 300 + ["other"] * 300)
        frame.loc[:7, "region"] = "a rare region"
        in_zone(cast, tmp_path, "clinic", "people", frame)
        sent: list[Any] = []
        monkeypatch.setattr(
            current_app._get_current_object(), "send_task", lambda task, **how: sent.append(how["queue"])
        )
        asked = sketches.request_sketch(command=cast.command("pipeline"), name="people", n=1).value
        assert (sent, asked.k) == (["zone.clinic"], 12)
        assert sketching.make_sketch(asked.id) is None, "this worker is of no zone"
        settings.CRIVO_ZONE = "lab"
        assert sketching.make_sketch(asked.id) is None
        settings.CRIVO_ZONE = "clinic"
        found = sketching.make_sketch(asked.id)
        assert found is not None
        assert found.state == "completed", found.error
        content = content_of(found)
        kept = from_bytes(content)
        assert (kept.k, list(small_cells(kept))) == (12, [])
        assert sorted(kept.columns) == ["income", "progression", "region", "sex"], (
            "what was not declared stays"
        )
        for word in (b"canary", b"secret", b"a rare region"):
            assert word not in content
        values = {repr(value) for value in frame["income"]}
        assert not values & {repr(edge) for edge in kept.columns["income"].edges}

    def test_an_error_quotes_nothing_of_it(self, cast: Cast, settings: Any, tmp_path: Any) -> None:
        frame = people().assign(secret=["inf"] + ["1.5"] * 599)
        in_zone(cast, tmp_path, "clinic", "people", frame)
        asked = sketches.request_sketch(command=cast.command("pipeline"), name="people", n=1).value
        settings.CRIVO_ZONE = "clinic"
        found = sketching.make_sketch(asked.id)
        assert found is not None
        assert found.error == {"code": "column_not_finite", "params": {"column": "…"}}

    def test_drift_goes_on_when_the_zone_has_the_data_no_more(
        self, cast: Cast, settings: Any, tmp_path: Any
    ) -> None:
        in_zone(cast, tmp_path, "clinic", "people", people())
        settings.CRIVO_ZONE = "clinic"
        made(cast)
        settings.CRIVO_ZONE = ""
        promotion = requested(cast)
        (tmp_path / "people.csv").unlink()
        settings.CRIVO_ZONE = "clinic"
        result = drifted(promotion)
        assert result["error"] is None, result["error"]
        assert "reference_is_sketch" in [note["code"] for note in result["notes"]]
        index = [row for row in result["metrics"] if row["metric"] == "population_stability_index"]
        assert all(row["value"] is not None for row in index)

    def test_data_of_another_zone_are_compared_by_their_sketch(
        self, cast: Cast, settings: Any, tmp_path: Any
    ) -> None:
        training = in_zone(cast, tmp_path, "clinic", "people", people())
        in_zone(cast, tmp_path, "lab", "elsewhere", people(moved=3.0))
        study.use_case_with_policies(cast)
        study.put_in_force(cast, POLICY)
        version = version_of(cast, ["people@1"], "elsewhere@1")
        path = "models/progression/versions/1/promotions"
        with unchanged(refusals=1):
            answer = Caller(cast, "pipeline").post(path, {"to": "development", "reason": "ready"})
            problem(answer, 422, "several_zones")
        settings.CRIVO_ZONE = "clinic"
        made(cast)
        promotion = study.ask(cast, version, "development")
        run = run_of(promotion)
        assert (run.zone, list(run.sources or {})) == ("lab", [version.evaluation.digest])
        assert training.digest not in json.dumps(run.input)
        settings.CRIVO_ZONE = "lab"
        result = drifted(promotion)
        assert result["error"] is None, result["error"]
        assert "reference_is_sketch" in [note["code"] for note in result["notes"]]

    def test_but_not_where_another_check_reads_the_data(
        self, cast: Cast, settings: Any, tmp_path: Any
    ) -> None:
        in_zone(cast, tmp_path, "clinic", "people", people())
        in_zone(cast, tmp_path, "lab", "elsewhere", people(moved=3.0))
        settings.CRIVO_ZONE = "clinic"
        made(cast)
        study.use_case_with_policies(cast)
        policy = POLICY.replace(
            "checks:\n", "checks:\n  - check: data.quality\n    require: [{metric: missing_ratio, max: 1}]\n"
        )
        study.put_in_force(cast, policy)
        version_of(cast, ["people@1"], "elsewhere@1")
        path = "models/progression/versions/1/promotions"
        with unchanged(refusals=1):
            answer = Caller(cast, "pipeline").post(path, {"to": "development", "reason": "ready"})
            problem(answer, 422, "several_zones")
