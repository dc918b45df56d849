"""Real models on real data through the real confined process: the study the demonstration tells."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import skops.io
from django.core.files.storage import storages
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from audits import blobs
from audits.models import CheckRun
from audits.services import confined, execution
from audits.services.reproducing import run_reproduction
from audits.services.reproductions import request_reproduction
from governance.models import Promotion
from governance.services.settling import settle_after_check
from registry.models import ModelVersion
from registry.services.datasets import register_dataset, register_dataset_version
from registry.services.models import register_model, register_model_version
from registry.tabular import profile
from tests import study
from tests.cast import Cast

pytestmark = pytest.mark.django_db(transaction=True)

POLICY = """
policy: study-development
applies_to: {use_case: care, environment: development}
checks:
  - check: data.quality
    require: [{metric: schema_mismatches, max: 0}, {metric: missing_ratio, max: 0.05}]
  - check: evaluation.performance
    require: [{metric: accuracy, min: 0.65, bound: point}, {metric: row_overlap, max: 0}]
  - check: bias.group_disparity
    parameters: {sensitive: [sex], min_group: 30}
    require:
      - {metric: demographic_parity_ratio, min: 0.8, bound: point}
      - {metric: forbidden_attribute_flips, max: 0}
  - check: explainability.shap
    require: [{metric: additivity_error, max: 0.0001}]
approvals: [{role: validator, count: 1}]
artifact_formats: [skops, pickle]
"""


@dataclass
class Split:
    training: bytes
    evaluation: bytes
    with_sensitive: bytes
    without_sensitive: bytes


@pytest.fixture(scope="module")
def split() -> Split:
    data = load_diabetes(scaled=False, as_frame=True)
    frame = data.data.assign(progression=(data.target > data.target.median()).astype(int))
    training, evaluation = train_test_split(frame, test_size=0.4, random_state=0, stratify=frame.progression)

    def fitted(columns: list[str]) -> bytes:
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
        return skops.io.dumps(model.fit(training[columns], training.progression))

    features = list(data.data.columns)
    return Split(
        training.to_csv(index=False).encode(),
        evaluation.to_csv(index=False).encode(),
        fitted(features),
        fitted([name for name in features if name not in ("sex", "age")]),
    )


@pytest.fixture(scope="module", autouse=True)
def _end_of_the_zygote() -> Iterator[None]:
    yield
    confined.zygote().close()
    confined.zygote.cache_clear()


def checked(
    cast: Cast,
    split: Split,
    artifact: bytes,
    before_the_checks: Callable[[], None] = lambda: None,
    **changes: object,
) -> Promotion:
    study.use_case_with_policies(cast)
    study.put_in_force(cast, POLICY)
    for name, content in (("training", split.training), ("evaluation", split.evaluation)):
        register_dataset(command=cast.command("pipeline"), name=name)
        register_dataset_version(
            command=cast.command("pipeline"),
            name=name,
            stored=blobs.store(cast.workspace.id, io.BytesIO(content), cap=1 << 20),
            format="csv",
            profile=profile(io.BytesIO(content), "csv"),
            sensitive={"sex": {}, "age": {"bins": [50]}},
        )
    register_model(command=cast.command("pipeline"), name="progression")
    version: ModelVersion = register_model_version(
        command=cast.command("pipeline"),
        name="progression",
        stored=blobs.store(cast.workspace.id, io.BytesIO(artifact), cap=1 << 20),
        metadata=study.metadata(training=["training@1"], evaluation="evaluation@1", **changes),
    ).value
    promotion = study.ask(cast, version, "development")
    before_the_checks()
    for run in CheckRun.objects.filter(state="queued"):
        assert execution.run_check(run.id) is not None
        settle_after_check(run.id)
    promotion.refresh_from_db()
    return promotion


def value(promotion: Promotion, metric: str) -> float:
    line = next(line for line in promotion.requirements if line["metric"] == metric)
    return round(line["value"], 4)


def test_the_model_that_sees_sex_and_age_is_within_policy(cast_: Cast, split: Split) -> None:
    promotion = checked(cast_, split, split.with_sensitive)
    assert promotion.state == "awaiting_approval", promotion.outcome
    assert value(promotion, "demographic_parity_ratio") == 0.8602
    assert value(promotion, "row_overlap") == 0
    levels = {run.run_environment["confinement"]["level"] for run in CheckRun.objects.all()}
    assert min(levels) >= 1


def test_the_model_trained_without_them_is_refused(cast_: Cast, split: Split) -> None:
    sensitive = {"sex": {"use": "forbidden"}, "age": {"use": "monitored"}}
    promotion = checked(cast_, split, split.without_sensitive, sensitive=sensitive)
    assert promotion.state == "refused"
    assert value(promotion, "demographic_parity_ratio") == 0.6283
    assert [reason["params"]["metric"] for reason in promotion.outcome["reasons"]] == [
        "demographic_parity_ratio"
    ]


class Hostile:
    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        import os

        return os.system, ("touch /tmp/crivo-was-here",)


def test_a_pickle_that_runs_code_reaches_nothing(cast_: Cast, split: Split) -> None:
    promotion = checked(cast_, split, pickle.dumps(Hostile()), format="pickle")
    assert promotion.state == "refused"
    verdicts = {line["check"]: line["verdict"] for line in promotion.requirements}
    assert verdicts["evaluation.performance"] == verdicts["bias.group_disparity"] == "errored"
    assert not Path("/tmp/crivo-was-here").exists()


def test_changed_bytes_are_found_before_they_are_read(cast_: Cast, split: Split) -> None:
    def flip_a_bit() -> None:
        digest = ModelVersion.objects.get().artifact_digest
        path = Path(storages["blobs"].path(blobs.name_of(cast_.workspace.id, digest)))
        content = bytearray(path.read_bytes())
        content[100] ^= 1
        path.write_bytes(content)

    promotion = checked(cast_, split, split.with_sensitive, before_the_checks=flip_a_bit)
    causes = {line["reason"]["code"] for line in promotion.requirements if line["verdict"] == "errored"}
    assert causes == {"digest_mismatch"}


@pytest.fixture
def cast_(committed_cast: Cast) -> Cast:
    return committed_cast


def test_every_check_of_the_study_is_reproduced_byte_for_byte(cast_: Cast, split: Split) -> None:
    checked(cast_, split, split.with_sensitive)
    for run in CheckRun.objects.all():
        asked = request_reproduction(command=cast_.command("ana"), run_id=run.id).value
        again = run_reproduction(asked.id)
        assert again is not None
        assert (run.check_slug, again.outcome) == (run.check_slug, "identical")
