"""The API as its callers see it: the way of a pipeline, and everything that can be wrong with a request."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from audits.models import Blob, Event, IdempotencyRecord
from governance.models import ApiToken
from registry.models import DatasetVersion, ModelVersion
from tests import study
from tests.cast import Cast
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def cast(committed_cast: Cast) -> Cast:
    return committed_cast


class Caller:
    def __init__(self, cast: Cast, name: str) -> None:
        self.client, self.headers = Client(raise_request_exception=False), cast.headers(name)

    def post(self, path: str, body: Any, **headers: str) -> Any:
        return self.client.post(
            f"/api/v1/{path}", body, content_type="application/json", headers={**self.headers, **headers}
        )

    def get(self, path: str) -> Any:
        return self.client.get(f"/api/v1/{path}", headers=self.headers)

    def upload(self, path: str, part: str, content: bytes, metadata: Any = None, **headers: str) -> Any:
        data: dict[str, Any] = {part: SimpleUploadedFile("upload", content)}
        if metadata is not None:
            data["metadata"] = metadata if isinstance(metadata, str) else json.dumps(metadata)
        return self.client.post(f"/api/v1/{path}", data, headers={**self.headers, **headers})


@pytest.fixture
def pipeline(cast: Cast) -> Caller:
    return Caller(cast, "pipeline")


def problem(answer: Any, status: int, code: str, field: str = "") -> dict[str, Any]:
    assert answer.status_code == status, answer.content
    assert answer.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["code"] == code, body
    assert body["type"] == f"urn:crivo:problem:{code}"
    assert body["status"] == status
    assert body["detail"] not in ("", code), "every code has a sentence"
    assert not re.search(r"\{[a-z_]+\}", body["detail"]), "every parameter of the sentence is there"
    if field:
        assert body["errors"][0]["field"] == field
    return body


def test_a_pipeline_registers_and_asks(cast: Cast, pipeline: Caller) -> None:
    study.use_case_with_policies(cast)
    assert pipeline.post("datasets", {"name": "patients"}).status_code == 201
    assert pipeline.post("datasets", {"name": "patients"}).status_code == 200
    path = "datasets/patients/versions"
    first = pipeline.upload(path, "file", study.CSV, {"sensitive": {"sex": {}, "age": {"bins": [50]}}})
    assert first.status_code == 201, first.content
    assert first.json()["reference"] == "patients@1"
    assert first.json()["rows"] == 4
    assert [column["type"] for column in first.json()["columns"]] == [
        "integer",
        "integer",
        "number",
        "integer",
    ]
    again = pipeline.upload(path, "file", study.CSV, {"sensitive": {"sex": {}, "age": {"bins": [50]}}})
    assert (again.status_code, again.json()["n"]) == (200, 1)
    assert pipeline.post("models", {"name": "progression"}).status_code == 201
    version = pipeline.upload("models/progression/versions", "artifact", b"a model", study.metadata())
    assert version.status_code == 201, version.content
    assert version.json()["training"] == ["patients@1"]
    asked = pipeline.post(
        "models/progression/versions/1/promotions", {"to": "development", "reason": "first step"}
    )
    assert asked.status_code == 201, asked.content
    assert (asked.json()["state"], asked.json()["effective"]) == ("granted", False)
    gate = pipeline.get(f"gate?digest={version.json()['artifact_digest']}&environment=development").json()
    assert (gate["allowed"], gate["reasons"][0]["code"]) == (False, "not_effective_yet")
    study.sequence()
    assert pipeline.get(f"promotions/{asked.json()['id']}?wait=0").json()["effective"] is True
    gate = pipeline.get(f"gate?digest={version.json()['artifact_digest']}&environment=development").json()
    assert gate["allowed"] is True
    walk = pipeline.get("lineage?nodeId=model:crivo:progression@1&direction=up").json()
    assert [node["id"] for node in walk["nodes"]] == ["model:crivo:progression@1", "dataset:crivo:patients@1"]


@pytest.mark.parametrize(
    ("content", "metadata", "status", "code", "field"),
    [
        (b"", None, 422, "upload_csv_empty", "file"),
        (b"\n\n", None, 422, "upload_csv_empty", "file"),
        (b"a,b\n", None, 422, "upload_csv_no_rows", "file"),
        (b"a,b\n1,2\n1,2,3\n", None, 422, "upload_csv_row_length", "file"),
        (b"a,a\n1,2\n", None, 422, "upload_csv_duplicate_column", "file"),
        (b"a,\n1,2\n", None, 422, "upload_csv_column_without_name", "file"),
        (b"\xff\xfe\x00a,b\n1,2\n", None, 422, "upload_csv_not_text", "file"),
        (b'a,b\n"1,2\n', None, 422, "upload_csv_unreadable", "file"),
        (study.CSV, {"sensitive": {"race": {}}}, 422, "column_not_in_data", "sensitive"),
        (study.CSV, {"digest": "sha256:" + "0" * 64}, 422, "upload_digest_mismatch", "digest"),
        (study.CSV, {"format": "xls"}, 422, "dataset_format_unknown", "format"),
        (study.CSV, {"format": "parquet"}, 422, "parquet_expected", "file"),
        (study.CSV, {"colour": "red"}, 400, "invalid", "metadata.colour"),
        (study.CSV, {"sensitive": {"sex": {"bins": ["a"]}}}, 400, "invalid", "metadata"),
        (study.CSV, "not json", 400, "upload_metadata_invalid", "metadata"),
        (study.CSV, "[1]", 400, "upload_metadata_invalid", "metadata"),
        (study.CSV, '{"x": NaN}', 400, "upload_metadata_invalid", "metadata"),
        (study.CSV, "[" * 100_000, 400, "upload_metadata_invalid", "metadata"),
    ],
)
def test_bad_data_is_refused_and_nothing_is_kept(
    cast: Cast, pipeline: Caller, content: bytes, metadata: Any, status: int, code: str, field: str
) -> None:
    pipeline.post("datasets", {"name": "patients"})
    with unchanged(refusals=1 if status == 422 else 0):
        problem(pipeline.upload("datasets/patients/versions", "file", content, metadata), status, code, field)
    assert not DatasetVersion.objects.exists()
    assert not Blob.objects.exists()


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"positive_label": ...}, "metadata_missing", "metadata.positive_label"),
        ({"favourable_label": ...}, "metadata_missing", "metadata.favourable_label"),
        ({"threshold": ...}, "metadata_missing", "metadata.threshold"),
        ({"target": ...}, "metadata_missing", "metadata.target"),
        ({"seed": -1}, "metadata_invalid", "metadata.seed"),
        ({"target": "outcome"}, "column_not_in_data", "metadata.target"),
        ({"sensitive": {"race": {"use": "monitored"}}}, "column_not_in_data", "metadata.sensitive.race"),
        ({"sensitive": {"sex": {"use": "monitored"}}}, "sensitive_column_not_declared", "metadata.sensitive"),
        ({"sensitive": {"sex": {"use": "allowed"}}}, "metadata_missing", "metadata.sensitive.sex.reason"),
        ({"training": ["nothing@1"]}, "dataset_version_unknown", "metadata.training"),
        ({"evaluation": "patients@9"}, "dataset_version_unknown", "metadata.evaluation"),
        ({"use_case": "unheard-of"}, "use_case_unknown", "metadata.use_case"),
        ({"author": "nobody"}, "author_unknown", "metadata.author"),
        ({"format": "an exe"}, "metadata_invalid", "metadata.format"),
        ({"output": "probability", "threshold": 2}, "metadata_invalid", "metadata.threshold"),
        ({"surprise": 1}, "metadata_invalid", "metadata"),
        ({"digest": "sha256:" + "1" * 64}, "upload_digest_mismatch", "digest"),
        ({"environment_digest": "md5:1"}, "metadata_invalid", "metadata.environment_digest"),
        ({"split": "time"}, "metadata_missing", "metadata.time_column"),
        ({"split": "entity"}, "metadata_missing", "metadata.entity_key"),
        ({"split": "by hand"}, "metadata_invalid", "metadata.split"),
        ({"cost_matrix": {}}, "metadata_invalid", "metadata.cost_matrix"),
        ({"cost_matrix": {"1": {"0": "dear"}}}, "metadata_invalid", "metadata.cost_matrix.1.0"),
    ],
)
def test_bad_metadata_is_refused_and_nothing_is_kept(
    cast: Cast, pipeline: Caller, change: dict[str, Any], code: str, field: str
) -> None:
    study.use_case_with_policies(cast)
    study.dataset_version(cast)
    pipeline.post("models", {"name": "progression"})
    declared = study.metadata(**change)
    declared = {name: value for name, value in declared.items() if value is not ...}
    with unchanged(refusals=1):
        problem(
            pipeline.upload("models/progression/versions", "artifact", b"model", declared), 422, code, field
        )
    assert not ModelVersion.objects.exists()


def test_an_upload_over_the_cap_is_refused_early(
    cast: Cast, pipeline: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.post("datasets", {"name": "patients"})
    monkeypatch.setattr(settings, "CRIVO_UPLOAD_CAP", 1000)
    with unchanged(refusals=0):
        for size in (1001, 3 << 20):
            answer = pipeline.upload("datasets/patients/versions", "file", b"a\n" * size)
            problem(answer, 413, "upload_too_large")


def test_a_file_part_is_needed(cast: Cast, pipeline: Caller) -> None:
    pipeline.post("datasets", {"name": "patients"})
    problem(pipeline.upload("datasets/patients/versions", "wrong", study.CSV), 400, "upload_missing", "file")
    answer = pipeline.client.post(
        "/api/v1/datasets/patients/versions",
        b"--cut\r\nContent-Disposition: form-data; name=",
        content_type="multipart/form-data; boundary=cut",
        headers=pipeline.headers,
    )
    problem(answer, 400, "upload_missing")
    answer = pipeline.client.post(
        "/api/v1/datasets/patients/versions", b"x", content_type="text/plain", headers=pipeline.headers
    )
    problem(answer, 415, "unsupported_media_type")


def test_json_that_is_none(pipeline: Caller) -> None:
    for body in (b"{", b"\xff", b"[" * 100_000, b""):
        answer = pipeline.client.post(
            "/api/v1/datasets", body, content_type="application/json", headers=pipeline.headers
        )
        assert answer.status_code == 400, answer.content
        assert answer.json()["status"] == 400


@pytest.mark.parametrize("name", ["Upper", "with space", "", "x" * 201, "-dash", "a/b", "ação", "a\x00b"])
def test_names_are_plain(pipeline: Caller, name: str) -> None:
    answer = pipeline.post("models", {"name": name})
    assert answer.status_code in (400, 422)
    assert answer.json()["errors"][0]["field"] == "name"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a: [", "policy_not_yaml"),
        ("just text", "policy_invalid"),
        ("policy: p\napplies_to: {environment: test, risk_tier: high}\napprovals: []", "policy_invalid"),
        ("policy: p\npolicy: q", "policy_not_yaml"),
        ("a: &x [1]\nb: *x", "policy_not_yaml"),
        ("!!python/object/apply:os.system ['true']", "policy_not_yaml"),
        (study.HOMOLOGATION.replace("demographic_parity_ratio", "luck"), "policy_metric_unknown"),
        (study.HOMOLOGATION.replace("bias.group_disparity", "bias.nothing"), "policy_invalid"),
        (study.HOMOLOGATION.replace("min_group: 30", "min_group: 0"), "policy_invalid"),
        (study.HOMOLOGATION.replace("environment: homologation", "environment: moon"), "environment_unknown"),
        (study.HOMOLOGATION.replace("validator", "janitor"), "policy_invalid"),
        (study.HOMOLOGATION + "#" * 66_000, "policy_too_large"),
    ],
)
def test_an_invalid_policy_changes_nothing(cast: Cast, text: str, code: str) -> None:
    rita = Caller(cast, "rita")
    with unchanged(refusals=1):
        problem(rita.post("policies", {"text": text, "reason": "because"}), 422, code)


def test_the_wrong_role_leaves_its_event(cast: Cast, pipeline: Caller) -> None:
    with unchanged(refusals=1):
        problem(pipeline.post("policies", {"text": study.HOMOLOGATION, "reason": "x"}), 403, "not_permitted")
    clara = Caller(cast, "clara")
    with unchanged(refusals=1):
        problem(clara.post("datasets", {"name": "patients"}), 403, "not_permitted")


def test_another_workspace_sees_nothing(cast: Cast) -> None:
    version = study.study(cast)
    promotion = study.ask(cast, version, "development")
    davi = Caller(cast, "davi")
    with unchanged(refusals=0):
        for path in (
            "datasets/patients",
            "datasets/patients/versions",
            "datasets/patients/versions/1",
            "models/progression",
            "models/progression/versions/1",
            "use-cases/care",
            f"promotions/{promotion.id}",
            f"promotions/{promotion.id}/attestation",
            f"promotions/{promotion.id}/receipt",
            "lineage?nodeId=model:crivo:progression@1",
        ):
            assert davi.get(path).status_code == 404, path
        asked = davi.post("models/progression/versions/1/promotions", {"to": "test", "reason": "x"})
        assert asked.status_code == 404
        decision = {"verdict": "approve", "reason": "x", "dossier_digest": "sha256:" + "0" * 64}
        assert davi.post(f"promotions/{promotion.id}/decisions", decision).status_code == 404
        assert davi.get("models").json()["results"] == []
        gate = davi.get(f"gate?digest={version.artifact_digest}&environment=development").json()
        assert gate["reasons"][0]["code"] == "unknown_digest"


@pytest.mark.past_the_door
def test_tokens_that_are_no_longer_good(cast: Cast, pipeline: Caller) -> None:
    tokens = ApiToken.objects.filter(id=cast.pipeline_token.id)
    for change in ({"expires_at": timezone.now() - timedelta(seconds=1)}, {"revoked_at": timezone.now()}):
        before = tokens.values(*change)[0]
        tokens.update(**change)
        answer = pipeline.get("me")
        body = problem(answer, 401, "not_authenticated")
        assert "token" in body["detail"]
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        tokens.update(**before)
    assert pipeline.get("me").status_code == 200


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer x", "Basic abc", "Bearer crv_\xff", "Bearer " + "a" * 5000]
)
def test_no_or_strange_credentials(client: Client, db: None, header: str) -> None:
    answer = client.get("/api/v1/me", headers={"Authorization": header} if header else {})
    problem(answer, 401, "not_authenticated")


def test_the_same_key_gets_the_same_answer(cast: Cast, pipeline: Caller) -> None:
    first = pipeline.post("datasets", {"name": "patients"}, **{"Idempotency-Key": "one"})
    again = pipeline.post("datasets", {"name": "patients"}, **{"Idempotency-Key": "one"})
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["id"] == again.json()["id"]
    other = pipeline.post("datasets", {"name": "others"}, **{"Idempotency-Key": "one"})
    problem(other, 422, "idempotency_key_reused", "Idempotency-Key")
    assert Event.objects.filter(verb="dataset.registered").count() == 1


def test_a_refusal_is_told_again_without_a_second_event(cast: Cast, pipeline: Caller) -> None:
    version = study.study(cast)
    path, body = (
        f"models/progression/versions/{version.n}/promotions",
        {"to": "production", "reason": "hurry"},
    )
    first = problem(pipeline.post(path, body, **{"Idempotency-Key": "k"}), 409, "not_the_next_environment")
    again = problem(pipeline.post(path, body, **{"Idempotency-Key": "k"}), 409, "not_the_next_environment")
    assert first == again
    assert Event.objects.filter(verb="promotion.requested", outcome="refused").count() == 1
    assert IdempotencyRecord.objects.count() == 1


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ("digest=abc&environment=production", "digest_malformed", "digest"),
        ("environment=production", "parameter_missing", "digest"),
        ("digest=sha256:" + "0" * 64, "parameter_missing", "environment"),
        (f"digest=sha256:{'0' * 64}&environment=production&at=2020-01-01", "at_malformed", "at"),
        (f"digest=sha256:{'0' * 64}&environment=production&when=now", "query_parameter_unknown", "when"),
    ],
)
def test_a_malformed_question_to_the_gate(pipeline: Caller, query: str, code: str, field: str) -> None:
    problem(pipeline.get(f"gate?{query}"), 400, code, field)


def test_what_the_gate_will_say_is_not_known(pipeline: Caller) -> None:
    question = f"digest=sha256:{'0' * 64}&environment=production&at=9000-01-01T00:00:00Z"
    problem(pipeline.get(f"gate?{question}"), 422, "at_in_future", "at")


def test_the_gate_says_no_to_what_it_does_not_know(cast: Cast, pipeline: Caller) -> None:
    version = study.study(cast)
    unknown = pipeline.get(f"gate?digest=sha256:{'0' * 64}&environment=production").json()
    assert (unknown["allowed"], unknown["reasons"][0]["code"]) == (False, "unknown_digest")
    digest = version.artifact_digest
    answer = pipeline.get(f"gate?digest={digest}&environment=moon").json()
    assert (answer["allowed"], answer["reasons"][0]["code"]) == (False, "unknown_environment")
    answer = pipeline.get(f"gate?digest={digest}&environment=production").json()
    assert (answer["allowed"], answer["reasons"][0]["code"]) == (False, "not_promoted")


def test_a_refused_version_says_why_to_people(cast: Cast, pipeline: Caller) -> None:
    version = study.study(cast)
    for environment in ("development", "test"):
        study.ask(cast, version, environment)
        study.sequence()
    promotion = study.finish_checks(study.ask(cast, version, "homologation"), study.ratio_result(0.628))
    body = pipeline.get(f"promotions/{promotion.id}").json()
    assert body["state"] == "refused"
    assert body["requirements"][0]["verdict"] == "failed"
    assert body["requirements"][0]["reason"]["text"] == "0.628 is below the limit of 0.8."
    assert body["reasons"][1]["text"] == (
        "bias.group_disparity, demographic_parity_ratio sex: 0.628 is below the limit of 0.8."
    )


def test_answers_speak_the_language_of_the_reader_or_english(pipeline: Caller) -> None:
    answer = pipeline.client.get("/api/v1/models/none", headers={**pipeline.headers, "Accept-Language": "xx"})
    assert answer.json()["detail"] == "There is no model none, or you may not see it."


def test_lineage_is_kept_whole_and_once(cast: Cast, pipeline: Caller) -> None:
    event = {
        "eventType": "COMPLETE",
        "eventTime": "2026-01-01T00:00:00Z",
        "run": {"runId": "0199a000-0000-7000-8000-000000000001"},
        "job": {"namespace": "hospital", "name": "prepare"},
        "inputs": [{"namespace": "s3://raw", "name": "patients.csv"}],
        "outputs": [{"namespace": "crivo", "name": "patients@1"}],
    }
    for path in ("lineage", "lineage/"):
        assert pipeline.post(path, event).status_code == (201 if path == "lineage" else 200)
    study.study(cast)
    graph = pipeline.get("lineage?nodeId=dataset:s3://raw:patients.csv&direction=down").json()
    assert [node["name"] for node in graph["nodes"]] == [
        "patients.csv",
        "prepare",
        "patients@1",
        "progression@1",
    ]
    assert graph["truncated"] is False
    for nothing in ({}, {"job": {}}, {"run": "x"}):
        problem(pipeline.post("lineage", nothing), 400, "lineage_names_nothing")
    problem(pipeline.post("lineage", [1]), 400, "lineage_not_an_object")
    odd = {"job": {"name": "x" * 5000, "namespace": "a\x00b"}, "eventTime": "yesterday", "inputs": "none"}
    assert pipeline.post("lineage", odd).status_code == 201
