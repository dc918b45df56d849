"""Evaluation sets: registered by those who validate, unseen by those who make models, used where a policy says so."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import DatabaseError, transaction
from django.utils import timezone

from audits.models import CheckRun
from governance.dossier import assess
from registry.models import Dataset, DatasetVersion, LineageNode, ModelVersion
from tests import study
from tests.cast import Cast
from tests.governance.test_api import Caller, problem
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True)
OTHER = b"age,sex,bmi,progression,region\n61,2,30.1,1,n\n47,1,22.6,0,s\n70,2,29.5,1,n\n29,1,24.3,0,s\n"
EXAM = study.HOMOLOGATION + "evaluation_set: {dataset: exam}\n"


@pytest.fixture
def cast(committed_cast: Cast) -> Cast:
    return committed_cast


@pytest.fixture
def version(cast: Cast) -> ModelVersion:
    study.use_case_with_policies(cast)
    study.dataset_version(cast)
    found = study.model_version(cast, author="davi")
    for environment in ("development", "test"):
        study.ask(cast, found, environment)
        study.sequence()
    return found


def register(cast: Cast, name: str = "bruno", content: bytes = OTHER, hidden: bool = True) -> Any:
    caller = Caller(cast, name)
    made = caller.post("datasets", {"name": "exam", "hidden": hidden})
    if made.status_code >= 300:
        return made
    about = {"sensitive": {"sex": {}, "region": {}}}
    return caller.upload("datasets/exam/versions", "file", content, about)


class TestHidden:
    def test_who_validates_registers_and_sees_it(self, cast: Cast) -> None:
        answer = register(cast)
        assert answer.status_code == 201, answer.content
        assert Caller(cast, "bruno").get("datasets/exam").json()["hidden"] is True
        assert Caller(cast, "clara").get("datasets/exam/versions/1").json()["reference"] == "exam@1"

    @pytest.mark.parametrize("name", ["pipeline", "bia"])
    def test_who_makes_models_does_not(self, cast: Cast, name: str) -> None:
        register(cast)
        caller = Caller(cast, name)
        for path in ("datasets/exam", "datasets/exam/versions", "datasets/exam/versions/1"):
            problem(caller.get(path), 404, "not_found")
        assert "exam" not in [row["name"] for row in caller.get("datasets").json()["results"]]
        assert not LineageNode.objects.filter(name__startswith="exam").exists()

    def test_nor_registers_one_nor_learns_what_is_in_it_by_its_name(self, cast: Cast) -> None:
        maker = Caller(cast, "pipeline")
        with unchanged(refusals=1):
            problem(maker.post("datasets", {"name": "exam", "hidden": True}), 403, "not_permitted")
        register(cast)
        with unchanged(refusals=1):
            problem(maker.post("datasets", {"name": "exam"}), 409, "dataset_name_taken")
        with unchanged(refusals=0):
            problem(maker.upload("datasets/exam/versions", "file", OTHER, {}), 404, "not_found")

    def test_a_validator_registers_no_open_dataset(self, cast: Cast) -> None:
        bruno = Caller(cast, "bruno")
        with unchanged(refusals=1):
            problem(bruno.post("datasets", {"name": "exam"}), 403, "not_permitted")

    def test_a_model_cannot_refer_to_it(self, cast: Cast, version: ModelVersion) -> None:
        register(cast)
        answer = Caller(cast, "pipeline").upload(
            "models/progression/versions", "artifact", b"m", study.metadata(evaluation="exam@1", seed=9)
        )
        problem(answer, 422, "dataset_version_unknown")

    def test_the_service_itself_cannot_uncover_it(self, cast: Cast) -> None:
        register(cast)
        with pytest.raises(DatabaseError), transaction.atomic():
            Dataset.objects.filter(name="exam").update(hidden=False)


class TestMeasured:
    def test_a_policy_measures_on_it_and_the_dossier_covers_it(
        self, cast: Cast, version: ModelVersion
    ) -> None:
        register(cast)
        study.put_in_force(cast, EXAM)
        promotion = study.finish_checks(study.ask(cast, version, "homologation"), study.ratio_result())
        run = CheckRun.objects.get()
        exam = DatasetVersion.objects.get(dataset__name="exam")
        assert [row["digest"] for row in run.input["materials"] if row["role"] == "evaluation"] == [
            exam.digest
        ]
        # its sensitive columns are added to the declared ones, which stay as declared
        assert run.input["semantics"]["sensitive"]["region"] == {"use": "monitored"}
        assert run.input["semantics"]["sensitive"]["sex"]["use"] == "allowed"
        promotion.refresh_from_db()
        assert promotion.state == "awaiting_approval"
        before = assess(promotion, timezone.now()).digest
        assert before == promotion.dossier_digest
        from governance.dossier import datasets_of

        assert [row.label for row in datasets_of(promotion)] == ["exam@1", "patients@1"]

    def test_without_the_set_there_is_no_request(self, cast: Cast, version: ModelVersion) -> None:
        study.put_in_force(cast, EXAM)
        pipeline = Caller(cast, "pipeline")
        with unchanged(refusals=1):
            answer = pipeline.post(
                "models/progression/versions/1/promotions", {"to": "homologation", "reason": "r"}
            )
            problem(answer, 422, "evaluation_set_missing")

    def test_an_open_dataset_does_not_do_unless_the_policy_says_so(
        self, cast: Cast, version: ModelVersion
    ) -> None:
        register(cast, "ana", hidden=False)
        study.put_in_force(cast, EXAM)
        pipeline = Caller(cast, "pipeline")
        asked = {"to": "homologation", "reason": "r"}
        path = "models/progression/versions/1/promotions"
        problem(pipeline.post(path, asked), 422, "evaluation_set_missing")

    def test_an_author_who_may_see_it_is_not_measured_on_it(self, cast: Cast, version: ModelVersion) -> None:
        """Ana makes models and validates: her own version is measured on a set she could have looked at."""
        register(cast)
        hers = study.model_version(cast, artifact=b"hers", author="ana")
        for environment in ("development", "test"):
            study.ask(cast, hers, environment)
            study.sequence()
        study.put_in_force(cast, EXAM)
        pipeline = Caller(cast, "pipeline")
        with unchanged(refusals=1):
            answer = pipeline.post(
                f"models/progression/versions/{hers.n}/promotions", {"to": "homologation", "reason": "r"}
            )
            problem(answer, 422, "evaluation_set_readable")

    def test_nobody_sets_their_own_exam(self, cast: Cast, version: ModelVersion) -> None:
        study.put_in_force(cast, study.HOMOLOGATION + "evaluation_set: {dataset: patients, hidden: false}\n")
        pipeline = Caller(cast, "pipeline")
        with unchanged(refusals=1):
            answer = pipeline.post(
                "models/progression/versions/1/promotions", {"to": "homologation", "reason": "r"}
            )
            problem(answer, 422, "evaluation_set_of_author")
