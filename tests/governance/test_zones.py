"""Data zones: decided once, registered unseen, run by workers of the zone and nobody else, never two at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from django.db import DatabaseError, IntegrityError, transaction
from django.utils import timezone

from audits import blobs
from audits.actors import Command, system_actor
from audits.canonical import digest_of
from audits.checks.contract import Material
from audits.models import Blob, CheckRun, Event, Explanation
from audits.services import check_runs, confined, explanations, reproductions
from audits.services.reproductions import request_reproduction
from governance.services import promotions
from registry.models import Dataset, DatasetVersion, ModelVersion
from registry.services.datasets import register_dataset, register_dataset_version
from registry.tabular import Profile
from tests import study
from tests.cast import Cast
from tests.governance.test_api import Caller, problem
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True)
DIGESTS = ["sha256:" + letter * 64 for letter in "abcd"]
COLUMNS = ["age", "sex", "bmi", "progression"]


@pytest.fixture
def cast(committed_cast: Cast, settings: Any) -> Cast:
    settings.CRIVO_ZONES = ["clinic", "lab"]
    for name in ("pipeline", "ana", "bruno"):
        committed_cast.token(name)  # a test that counts rows must not make one
    return committed_cast


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Every task handed to the broker with its queue."""
    found: list[tuple[str, Any]] = []
    app = current_app._get_current_object()
    monkeypatch.setattr(app, "send_task", lambda task, *rest, **how: found.append((task, how["queue"])))
    return found


def in_zone(
    cast: Cast, name: str = "patients", zone: str = "clinic", digest: str = DIGESTS[0], k: int = 12
) -> Any:
    caller = Caller(cast, "pipeline")
    made = caller.post("datasets", {"name": name, "zone": zone, "smallest_cell": k})
    assert made.status_code == 201, made.content
    answer = caller.post(
        f"datasets/{name}/versions",
        {"uri": f"file:///zone/{name}.csv", "digest": digest,
         "metadata": {"columns": COLUMNS, "sensitive": {"sex": {}, "age": {"bins": [50]}}}},
    )  # fmt: skip
    assert answer.status_code == 201, answer.content
    return answer.json()


class TestRegistration:
    def test_it_is_registered_without_a_look_at_it(self, cast: Cast) -> None:
        answer = in_zone(cast)
        assert (answer["uri"], answer["digest"], answer["kind"], answer["rows"], answer["size"]) == (
            "file:///zone/patients.csv",
            DIGESTS[0],
            "uri",
            None,
            0,
        )
        assert [column["name"] for column in answer["columns"]] == COLUMNS
        assert not Blob.objects.exists()
        dataset = Caller(cast, "pipeline").get("datasets/patients").json()
        assert (dataset["zone"], dataset["smallest_cell"]) == ("clinic", 12)
        event = Event.objects.get(verb="dataset.registered")
        assert event.detail == {"zone": "clinic", "smallest_cell": 12}

    def test_ten_rows_where_nobody_says(self, cast: Cast) -> None:
        Caller(cast, "pipeline").post("datasets", {"name": "patients", "zone": "clinic"})
        assert Dataset.objects.get().smallest_cell == 10

    @pytest.mark.parametrize(
        ("body", "code", "field"),
        [
            ({"zone": "nowhere"}, "zone_unknown", "zone"),
            ({"smallest_cell": 20}, "zone_missing", "zone"),
            ({"zone": "clinic", "smallest_cell": 1}, "smallest_cell_invalid", "smallest_cell"),
            ({"zone": "clinic", "smallest_cell": 10_001}, "smallest_cell_invalid", "smallest_cell"),
        ],
    )
    def test_a_zone_that_is_none(self, cast: Cast, body: dict[str, Any], code: str, field: str) -> None:
        with unchanged(refusals=1):
            problem(Caller(cast, "pipeline").post("datasets", {"name": "patients", **body}), 422, code, field)

    def test_it_is_decided_once(self, cast: Cast) -> None:
        in_zone(cast)
        for other in ({}, {"zone": "lab"}, {"zone": "clinic", "smallest_cell": 5}):
            with unchanged(refusals=1):
                answer = Caller(cast, "pipeline").post("datasets", {"name": "patients", **other})
                problem(answer, 409, "dataset_name_taken")
        same = Caller(cast, "pipeline").post(
            "datasets", {"name": "patients", "zone": "clinic", "smallest_cell": 12}
        )
        assert same.status_code == 200
        with pytest.raises(DatabaseError), transaction.atomic():
            Dataset.objects.filter(name="patients").update(zone="lab")

    def test_the_database_wants_both_or_neither(self, cast: Cast) -> None:
        owner = cast.people["ana"].id
        for about in ({"zone": "clinic"}, {"smallest_cell": 10}, {"zone": "clinic", "smallest_cell": 1}):
            with pytest.raises(IntegrityError), transaction.atomic():
                Dataset.objects.create(workspace=cast.workspace, name="x", owner_id=owner, **about)

    def test_an_upload_is_refused_before_it_is_read(
        self, cast: Cast, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        in_zone(cast)
        stored: list[Any] = []
        monkeypatch.setattr(blobs, "store", lambda *given, **how: stored.append(given))
        with unchanged(refusals=1):
            answer = Caller(cast, "pipeline").upload("datasets/patients/versions", "file", study.CSV, {})
            problem(answer, 422, "zone_upload_refused", "file")
        assert stored == []

    def test_nor_does_another_way_in_take_one(self, cast: Cast) -> None:
        in_zone(cast)
        with pytest.raises(Exception, match="zone_upload_refused"), unchanged(refusals=1):
            register_dataset_version(
                command=cast.command("pipeline"),
                name="patients",
                stored=blobs.Stored(DIGESTS[1], 10),
                format="csv",
                profile=Profile(1, [{"name": "age", "type": "number"}]),
                sensitive={},
            )

    @pytest.mark.parametrize(
        ("change", "status", "code", "field"),
        [
            ({"metadata": {}}, 422, "zone_columns_missing", "metadata.columns"),
            ({"metadata": {"columns": ["age", "age"]}}, 400, "invalid", "metadata.columns"),
            ({"metadata": {"columns": "age"}}, 400, "invalid", "metadata.columns"),
            ({"metadata": {"columns": [" age"]}}, 400, "invalid", "metadata.columns"),
            ({"metadata": {"columns": [{"name": "age", "max": 3}]}}, 400, "invalid", "metadata.columns"),
            ({"metadata": {"columns": ["age"], "sensitive": {"sex": {}}}}, 422, "column_not_in_data", "sensitive"),
            ({"digest": "sha256:1"}, 422, "fetch_digest_needed", "digest"),
            ({"uri": "gopher://x"}, 422, "fetch_scheme_unknown", "uri"),
            ({"uri": "https://user:secret@zone/x.csv"}, 422, "fetch_uri_malformed", "uri"),
            ({"uri": "https://zone/x.csv?signature=secret"}, 422, "fetch_uri_malformed", "uri"),
            ({"uri": 7}, 422, "fetch_uri_malformed", "uri"),
        ],
    )  # fmt: skip
    def test_what_is_said_about_it_has_to_be_whole(
        self, cast: Cast, change: dict[str, Any], status: int, code: str, field: str
    ) -> None:
        in_zone(cast)
        body = {
            "uri": "file:///zone/more.csv",
            "digest": DIGESTS[1],
            "metadata": {"columns": COLUMNS},
            **change,
        }
        with unchanged(refusals=int(status == 422)):
            problem(Caller(cast, "pipeline").post("datasets/patients/versions", body), status, code, field)

    def test_columns_are_declared_of_data_in_a_zone_only(self, cast: Cast) -> None:
        caller = Caller(cast, "pipeline")
        caller.post("datasets", {"name": "open"})
        answer = caller.upload("datasets/open/versions", "file", study.CSV, {"columns": COLUMNS})
        problem(answer, 400, "invalid", "metadata.columns")


def version_of(cast: Cast, **changes: Any) -> ModelVersion:
    study.use_case_with_policies(cast)
    study.put_in_force(cast, study.HOMOLOGATION.replace("homologation", "development"))
    return study.model_version(cast, **changes)


class TestQuestions:
    def test_a_question_without_a_zone_is_the_one_it_always_was(self, cast: Cast) -> None:
        study.dataset_version(cast)
        promotion = study.ask(cast, version_of(cast), "development")
        run = promotion.checks.get().run
        assert "zone" not in run.input["semantics"]
        assert (run.zone, run.sources) == (None, None)
        assert set(run.input["materials"][0]) == {"role", "digest", "format", "dialect"}

    def test_the_run_knows_its_zone_and_where_the_data_lies(
        self, cast: Cast, sent: list[tuple[str, Any]]
    ) -> None:
        in_zone(cast, k=40)
        run = study.ask(cast, version_of(cast), "development").checks.get().run
        assert run.input["semantics"]["zone"] == {"name": "clinic", "k": 40, "columns": sorted(COLUMNS)}
        assert (run.zone, run.sources) == ("clinic", {DIGESTS[0]: "file:///zone/patients.csv"})
        assert run.input["parameters"]["min_group"] == 40, (
            "the policy says 30, and so few may not be told apart"
        )
        assert run.input_digest == digest_of(run.input)
        assert ("audits.tasks.run_check", "zone.clinic") in sent

    def test_where_it_runs_is_not_changed_afterwards(self, cast: Cast) -> None:
        in_zone(cast)
        run = study.ask(cast, version_of(cast), "development").checks.get().run
        for change in ({"zone": None}, {"sources": {}}, {"input": {}}):
            with pytest.raises(DatabaseError), transaction.atomic():
                CheckRun.objects.filter(id=run.id).update(**change)

    def test_two_zones_in_one_request_are_refused(self, cast: Cast) -> None:
        in_zone(cast)
        in_zone(cast, "exam", "lab", DIGESTS[1])
        version = version_of(cast, training=["patients@1"], evaluation="exam@1")
        with unchanged(refusals=1):
            answer = Caller(cast, "pipeline").post(
                "models/progression/versions/1/promotions", {"to": "development", "reason": "ready"}
            )
            problem(answer, 422, "several_zones")
        with unchanged(refusals=1):
            answer = Caller(cast, "pipeline").post(
                "models/progression/versions/1/explanations", {"record": {"age": 1}}
            )
            problem(answer, 422, "several_zones")
        assert version.state == "registered"
        study.model_version(cast, name="second", training=["patients@1", "exam@1"], evaluation="patients@1")
        with unchanged(refusals=1):
            answer = Caller(cast, "pipeline").post(
                "models/second/versions/1/promotions", {"to": "development", "reason": "ready"}
            )
            problem(answer, 422, "several_zones")

    def test_every_training_data_set_is_read_where_it_lies(self, cast: Cast) -> None:
        in_zone(cast)
        in_zone(cast, "more", "clinic", DIGESTS[1], k=30)
        version = version_of(cast, training=["patients@1", "more@1"], evaluation="patients@1")
        run = study.ask(cast, version, "development").checks.get().run
        assert run.sources == {DIGESTS[0]: "file:///zone/patients.csv", DIGESTS[1]: "file:///zone/more.csv"}
        assert run.input["semantics"]["zone"]["k"] == 30, "the larger of the two"

    def test_a_file_that_can_run_code_is_not_run_there(self, cast: Cast) -> None:
        in_zone(cast)
        version_of(cast, format="pickle")
        study.put_in_force(
            cast,
            study.HOMOLOGATION.replace("homologation", "development") + "artifact_formats: [skops, pickle]\n",
        )
        with unchanged(refusals=1):
            answer = Caller(cast, "pipeline").post(
                "models/progression/versions/1/promotions", {"to": "development", "reason": "ready"}
            )
            problem(answer, 422, "zone_format_refused")

    def test_a_policy_that_brings_in_another_zone_ends_the_request(self, cast: Cast) -> None:
        in_zone(cast)
        promotion = study.ask(cast, version_of(cast, author="davi"), "development")
        register_exam(cast)
        study.put_in_force(
            cast,
            study.HOMOLOGATION.replace("homologation", "development") + "evaluation_set: {dataset: exam}\n",
        )
        promotions.settle_promotion(
            command=Command(system_actor("worker", cast.workspace.id)), promotion_id=promotion.id
        )
        promotion.refresh_from_db()
        assert (promotion.state, promotion.outcome["code"]) == ("refused", "several_zones")


def register_exam(cast: Cast) -> DatasetVersion:
    """A hidden evaluation set in another zone, by Bruno."""
    register_dataset(command=cast.command("bruno"), name="exam", hidden=True, zone="lab")
    return register_dataset_version(
        command=cast.command("bruno"),
        name="exam",
        stored=blobs.Stored(DIGESTS[2], 0),
        format="csv",
        profile=Profile(None, [{"name": name, "type": ""} for name in COLUMNS]),
        sensitive={},
        uri="file:///lab/exam.csv",
    ).value


class TestClaiming:
    def run_in(self, cast: Cast, zone: str | None) -> CheckRun:
        declared = {"zone": {"name": zone, "k": 10, "columns": COLUMNS}} if zone else {}
        return check_runs.obtain_run(
            Command(system_actor("worker", cast.workspace.id)).actor,
            subject=ModelVersion.objects.get().ref,
            slug="data.quality",
            parameters={},
            seed=7,
            semantics=declared,
            materials=(Material("evaluation", DIGESTS[0], "csv"),),
            confinement_level=1,
            fresh_since=timezone.now(),
            sources={DIGESTS[0]: "file:///zone/patients.csv"} if zone else None,
        )  # fmt: skip

    @pytest.fixture(autouse=True)
    def _model(self, cast: Cast) -> None:
        study.use_case_with_policies(cast)
        study.dataset_version(cast)
        study.model_version(cast)

    @pytest.mark.parametrize(
        ("of_run", "of_worker", "takes"),
        [("clinic", "clinic", True), ("clinic", "", False), ("clinic", "lab", False), (None, "", True),
         (None, "clinic", False)],
    )  # fmt: skip
    def test_only_by_a_worker_of_its_zone(
        self, cast: Cast, settings: Any, of_run: str | None, of_worker: str, takes: bool
    ) -> None:
        run = self.run_in(cast, of_run)
        settings.CRIVO_ZONE = of_worker
        found = check_runs.claim(run.id)
        run.refresh_from_db()
        assert (found is not None, run.state, run.fence) == (
            (True, "running", 1) if takes else (False, "queued", 0)
        )
        if takes:
            assert check_runs.claim(run.id) is None, "a message delivered twice is a no-op"

    def test_what_is_sent_again_goes_to_the_zone_too(self, cast: Cast, sent: list[tuple[str, Any]]) -> None:
        runs = [self.run_in(cast, zone) for zone in ("clinic", None)]
        sent.clear()
        CheckRun.objects.filter(id__in=[run.id for run in runs]).update(sent_at=None)
        assert set(check_runs.resend_waiting()) == {run.id for run in runs}
        assert sorted(queue for _, queue in sent) == ["celery", "zone.clinic"]

    def test_so_does_a_run_that_is_computed_again(
        self, cast: Cast, settings: Any, sent: list[tuple[str, Any]]
    ) -> None:
        run = self.run_in(cast, "clinic")
        settings.CRIVO_ZONE = "clinic"
        study.complete(run, study.ratio_result())
        sent.clear()
        row = request_reproduction(command=cast.command("ana"), run_id=run.id).value
        assert sent == [("audits.tasks.run_reproduction", "zone.clinic")]
        settings.CRIVO_ZONE = ""
        assert reproductions.claim(row.id) is None
        settings.CRIVO_ZONE = "clinic"
        assert reproductions.claim(row.id) is not None

    def test_an_explanation_is_computed_there(
        self, cast: Cast, settings: Any, sent: list[tuple[str, Any]]
    ) -> None:
        in_zone(cast, "zoned")
        study.model_version(cast, name="second", training=["zoned@1"], evaluation="zoned@1")
        answer = Caller(cast, "pipeline").post(
            "models/second/versions/1/explanations", {"record": {"age": 1}}
        )
        assert answer.status_code == 202, answer.content
        row = Explanation.objects.get()
        assert (row.zone, row.question["semantics"]["zone"]["name"]) == ("clinic", "clinic")
        assert row.sources == {DIGESTS[0]: "file:///zone/zoned.csv"}
        assert sent[-1] == ("audits.tasks.run_explanation", "zone.clinic")
        assert explanations.claim(row.id) is None
        settings.CRIVO_ZONE = "clinic"
        assert explanations.claim(row.id) is not None

    @pytest.mark.parametrize("place", ["", "other.csv"])
    def test_data_that_is_not_there_or_is_other_is_an_error_that_names_neither(
        self, cast: Cast, settings: Any, tmp_path: Path, place: str
    ) -> None:
        settings.CRIVO_ZONE, settings.CRIVO_FILE_ROOTS = "clinic", [str(tmp_path)]
        (tmp_path / "other.csv").write_bytes(b"age\nKanarienvogel\n")
        run = self.run_in(cast, "clinic")
        source = f"file://{tmp_path}/{place or 'nothing.csv'}"
        outcome = confined.child_outcome(
            cast.workspace.id, run.input, required_level=1, sources={DIGESTS[0]: source}
        )
        result, _ = confined.answer_of(outcome, run.input)
        assert result.error is not None
        reason = "upload_digest_mismatch" if place else "fetch_file_refused"
        assert (result.error.code, result.error.params["role"]) == ("zone_data_unreadable", "evaluation")
        assert result.error.params["reason"] == reason
        assert str(tmp_path) not in str(result.error.params)
