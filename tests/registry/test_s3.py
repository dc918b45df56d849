"""S3 as it is, by moto's server with its check of signatures and policies: what is at a URI is registered and checked
only if it is what the digest says, with the keys and at the endpoint that the operator set up.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
import pandas as pd
import pytest
import requests
import xgboost
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from django.test import Client
from moto.server import ThreadedMotoServer

from audits import blobs, fetching
from audits.folders import pack
from audits.models import CheckRun
from audits.services import confined, execution
from governance.services.settling import settle_after_check
from registry.models import DatasetVersion, ModelVersion
from tests import study
from tests.cast import Cast
from tests.checks import cast as data
from tests.registry.test_by_uri import OTHER, digest, put
from tests.snapshot import unchanged

pytestmark = pytest.mark.django_db(transaction=True)
MIB = 1 << 20
PART = 5 * MIB  # the smallest S3 takes for all parts but the last
WORD = b"the key of the store"


@dataclass
class Store:
    """A running S3. `owner` puts what it likes; the keys of `reader` may read `lake`, and list it, and nothing else."""

    endpoint: str
    owner: Any
    reader: dict[str, str]
    kept: list[str] = field(default_factory=list)

    def put(self, key: str, content: bytes, bucket: str = "lake") -> str:
        self.owner.put_object(Bucket=bucket, Key=key, Body=content)
        return f"s3://{bucket}/{key}"

    def folder(self, prefix: str, files: dict[str, bytes]) -> tuple[str, str]:
        """Its URI and its digest."""
        for name, content in files.items():
            self.put(f"{prefix}/{name}", content)
        packed = io.BytesIO()
        pack([(name, io.BytesIO(files[name])) for name in sorted(files)], packed)
        return f"s3://lake/{prefix}/", digest(packed.getvalue())


def _client(service: str, endpoint: str, key: str, secret: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
    )


def _key_of(iam: Any, name: str, *statements: dict[str, Any]) -> tuple[str, str]:
    iam.create_user(UserName=name)
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **row} for row in statements]}
    iam.put_user_policy(UserName=name, PolicyName="may", PolicyDocument=json.dumps(policy))
    made = iam.create_access_key(UserName=name)["AccessKey"]
    return made["AccessKeyId"], made["SecretAccessKey"]


@pytest.fixture(scope="module")
def running() -> Iterator[Store]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    before = None
    try:
        requests.post(f"{endpoint}/moto-api/reset", timeout=10)
        iam = _client("iam", endpoint, "anybody", "anything")
        owner = _client("s3", endpoint, *_key_of(iam, "owner", {"Action": "s3:*", "Resource": "*"}))
        key, secret = _key_of(
            iam,
            "reader",
            {"Action": "s3:GetObject", "Resource": "arn:aws:s3:::lake/*"},
            {"Action": "s3:ListBucket", "Resource": "arn:aws:s3:::lake"},
        )
        for bucket in ("lake", "vault"):
            owner.create_bucket(Bucket=bucket)
        # from here on every signature and policy is checked
        answer = requests.post(f"{endpoint}/moto-api/reset-auth", data="0", timeout=10).json()
        before = answer["PREVIOUS_INITIAL_NO_AUTH_ACTION_COUNT"]
        yield Store(endpoint, owner, {"key": key, "secret": secret})
    finally:
        if before is not None:
            requests.post(f"{endpoint}/moto-api/reset-auth", data=before, timeout=10)
        server.stop()


@pytest.fixture
def store(running: Store, settings: Any) -> Store:
    settings.CRIVO_S3 = {**running.reader, "endpoint_url": running.endpoint, "region": "us-east-1"}
    settings.CRIVO_S3_BUCKETS = ["lake"]
    return running


def put_model(cast: Cast, uri: str, announced: str, **changes: Any) -> Any:
    return Client().post(
        "/api/v1/models/progression/versions",
        {"uri": uri, "digest": announced, "metadata": study.metadata(**changes)},
        content_type="application/json",
        headers=cast.headers("pipeline"),
    )


def kept(cast: Cast, found: str) -> bytes:
    with blobs.opened(cast.workspace.id, found) as file:
        return file.read()


class TestRegistering:
    def test_an_object(self, ready: Cast, store: Store) -> None:
        uri = store.put("day one/d ü+&.csv", OTHER)
        answer = put(ready, uri, digest(OTHER), sensitive={"sex": {}})
        assert answer.status_code == 201, answer.content
        version = DatasetVersion.objects.get(n=2)
        assert (version.uri, version.digest, version.rows, version.kind) == (uri, digest(OTHER), 5, "uri")
        assert kept(ready, version.digest) == OTHER

    def test_an_empty_object(self, ready: Cast, store: Store) -> None:
        uri = store.put("empty.bin", b"")
        answer = put_model(ready, uri, digest(b""), format="of-our-own")
        assert (answer.status_code, answer.json()["artifact_digest"]) == (201, digest(b"")), answer.content

    def test_a_folder_of_parquet(self, ready: Cast, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "2")  # the listing comes in pages
        files = {
            name: b"PAR1" + name.encode()
            for name in ("a.parquet", "p=10/b.parquet", "p=2/b.parquet", "z", "Z")
        }
        uri, announced = store.folder("table", files)
        for marker in ("table/", "table/p=2/"):  # what consoles make when somebody makes a folder
            store.put(marker, b"")
        store.put("tables", b"a neighbour")
        answer = put(ready, uri, announced, format="parquet-folder")
        assert answer.status_code == 201, answer.content
        assert answer.json()["digest"] == announced

    def test_an_object_of_many_parts(self, ready: Cast, store: Store, settings: Any) -> None:
        """Longer than one block of the reader, sent in parts: its ETag is not the digest of anything."""
        content = WORD * (56 * MIB // len(WORD) + 1)
        config = TransferConfig(multipart_threshold=PART, multipart_chunksize=12 * MIB)
        store.owner.upload_fileobj(io.BytesIO(content), "lake", "long.bin", Config=config)
        assert store.owner.head_object(Bucket="lake", Key="long.bin")["ETag"].strip('"').endswith("-5")
        answer = put_model(ready, "s3://lake/long.bin", digest(content), format="of-our-own")
        assert answer.status_code == 201, answer.content
        assert kept(ready, digest(content)) == content
        settings.CRIVO_UPLOAD_CAP = len(content) - 1
        with unchanged(refusals=1):
            answer = put_model(ready, "s3://lake/long.bin", digest(content), format="of-our-own", seed=8)
            assert (answer.status_code, answer.json()["code"]) == (422, "fetch_too_large")


class TestRefusals:
    @pytest.mark.parametrize(
        ("uri", "code"),
        [
            ("s3://lake/there.csv", "upload_digest_mismatch"),
            ("s3://lake/no-such", "fetch_no_answer"),
            ("s3://lake/no-such-folder/", "fetch_folder_empty"),
            ("s3://vault/there.csv", "fetch_bucket_refused"),
            ("s3://lake/a/../../vault/there.csv", "fetch_uri_malformed"),
            ("s3://lake.evil.example:80/x", "fetch_uri_malformed"),
            ("s3://lake@evil/x", "fetch_uri_malformed"),
            ("s3://lake/x?versionId=1", "fetch_uri_malformed"),
            ("s3://lake/x?endpoint_url=http://169.254.169.254", "fetch_uri_malformed"),
            ("s3://lake", "fetch_uri_malformed"),
        ],
    )
    def test_what_is_not_there_or_not_that(self, ready: Cast, store: Store, uri: str, code: str) -> None:
        store.put("there.csv", b"other bytes")
        store.put("there.csv", OTHER, bucket="vault")
        with unchanged(refusals=1):
            answer = put(ready, uri, digest(OTHER))
            assert (answer.status_code, answer.json()["code"]) == (422, code), answer.content

    def test_a_folder_with_one_object_more(self, ready: Cast, store: Store) -> None:
        uri, announced = store.folder("grows", {"a.parquet": b"PAR1a", "b.parquet": b"PAR1b"})
        store.put("grows/c.parquet", b"PAR1c")
        with unchanged(refusals=1):
            answer = put(ready, uri, announced, format="parquet-folder")
            assert answer.json()["code"] == "upload_digest_mismatch"

    @pytest.mark.parametrize("wrong", [{"secret": "x" * 40}, {"key": "AKIAIOSFODNN7EXAMPLE"}, {"token": "t"}])
    def test_keys_that_are_none(
        self, ready: Cast, store: Store, settings: Any, wrong: dict[str, str]
    ) -> None:
        uri = store.put("there.csv", OTHER)
        if "token" in wrong:  # none at all: what lies about in the environment is not taken instead
            settings.CRIVO_S3 = {
                name: value for name, value in settings.CRIVO_S3.items() if name not in store.reader
            } | {"anon": True}
        else:
            settings.CRIVO_S3 = {**settings.CRIVO_S3, **wrong}
        with unchanged(refusals=1):
            answer = put(ready, uri, digest(OTHER))
            assert (answer.status_code, answer.json()["code"]) == (422, "fetch_no_answer"), answer.content
            assert answer.json()["params"]["error"] == "PermissionError"
        assert str(store.reader["secret"]) not in answer.content.decode()

    def test_a_bucket_the_keys_may_not_read(self, ready: Cast, store: Store, settings: Any) -> None:
        """Named by the operator, and still the store's own policy says no."""
        settings.CRIVO_S3_BUCKETS = ["lake", "vault"]
        uri = store.put("there.csv", OTHER, bucket="vault")
        with unchanged(refusals=2):
            assert put(ready, uri, digest(OTHER)).json()["code"] == "fetch_no_answer"
            assert put(ready, "s3://vault/a/", digest(OTHER)).json()["code"] == "fetch_no_answer"

    def test_an_object_that_changes_while_it_is_read(
        self, ready: Cast, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Half of the one and half of the other: the second block is asked for by the ETag of the first."""
        content = WORD * (52 * MIB // len(WORD))
        uri = store.put("changes.bin", content)
        honest = fetching._copied

        def meanwhile(source: Any, sink: Any) -> None:
            sink.write(source.read(MIB))
            store.put("changes.bin", content[::-1])
            honest(source, sink)

        monkeypatch.setattr(fetching, "_copied", meanwhile)
        with unchanged(refusals=1):
            answer = put_model(ready, uri, digest(content), format="of-our-own")
            assert (answer.status_code, answer.json()["code"]) == (422, "fetch_no_answer")
            assert answer.json()["params"]["error"] == "FileExpired"

    @pytest.mark.parametrize("field", ["endpoint_url", "key", "secret", "region", "CRIVO_S3", "bucket"])
    def test_where_the_store_is_nobody_asks_by_request(self, ready: Cast, store: Store, field: str) -> None:
        uri = store.put("there.csv", OTHER)
        body = {"uri": uri, "digest": digest(OTHER), "metadata": {}}
        for wrong in ({**body, field: "http://169.254.169.254"}, {**body, "metadata": {field: "x"}}):
            with unchanged(refusals=0):
                answer = Client().post(
                    "/api/v1/datasets/patients/versions",
                    wrong,
                    content_type="application/json",
                    headers=ready.headers("pipeline"),
                )
                assert answer.status_code == 400, answer.content


class TestInZones:
    """Workers of a zone read anew for every check, by the digest that was registered."""

    def test_what_was_registered(self, store: Store) -> None:
        uri, announced = store.folder("zone", {"a.parquet": b"PAR1a", "p=1/b.parquet": b"PAR1b"})
        with fetching.fetched(uri, announced) as file:
            assert digest(file.read()) == announced

    @pytest.mark.parametrize("change", ["other", "gone"])
    def test_what_has_changed_since(self, store: Store, change: str) -> None:
        uri = store.put("since.csv", OTHER)
        if change == "other":
            store.put("since.csv", OTHER + b"1,1,1,1\n")
        else:
            store.owner.delete_object(Bucket="lake", Key="since.csv")
        with pytest.raises(fetching.NotFetched) as caught, fetching.fetched(uri, digest(OTHER)):
            pass
        assert caught.value.code == {"other": "upload_digest_mismatch", "gone": "fetch_no_answer"}[change]


POLICY = """
policy: study-development
applies_to: {use_case: care, environment: development}
checks:
  - check: evaluation.performance
    require: [{metric: accuracy, min: 0.5, bound: point}]
  - check: bias.group_disparity
    parameters: {sensitive: [sex], min_group: 30}
    require: [{metric: demographic_parity_ratio, min: 0.1, bound: point}]
approvals: []
artifact_formats: [mlflow]
"""


@pytest.fixture
def _end_of_the_zygote() -> Iterator[None]:
    yield
    confined.zygote().close()
    confined.zygote.cache_clear()


@pytest.mark.usefixtures("_end_of_the_zygote")
def test_what_came_from_s3_is_checked(ready: Cast, store: Store) -> None:
    """A model folder as MLflow leaves it, training data as a folder of Parquet, evaluation data as an object."""
    study.put_in_force(ready, POLICY)
    training, evaluation = data.diabetes()
    model = xgboost.XGBClassifier(n_estimators=8, n_jobs=1).fit(
        training.drop(columns="progression"), training["progression"]
    )
    described = {"flavors": {"xgboost": {"data": "model.ubj", "xgb_version": "3"}, "python_function": {}}}
    artefact = store.folder(
        "run/artifacts/model",
        {"MLmodel": json.dumps(described).encode(), "model.ubj": bytes(model.get_booster().save_raw("ubj"))},
    )
    halves = {
        f"part={n}/rows.parquet": half.to_parquet(index=False)
        for n, half in enumerate((training.iloc[:100], training.iloc[100:]))
    }
    folder = store.folder("training", halves)
    rows = evaluation.to_parquet(index=False)
    single = (store.put("evaluation.parquet", rows), digest(rows))
    for name, (uri, announced), format_ in (
        ("training", folder, "parquet-folder"),
        ("evaluation", single, "parquet"),
    ):
        Client().post(
            "/api/v1/datasets",
            {"name": name},
            content_type="application/json",
            headers=ready.headers("pipeline"),
        )
        answer = Client().post(
            f"/api/v1/datasets/{name}/versions",
            {"uri": uri, "digest": announced, "metadata": {"format": format_, "sensitive": {"sex": {}}}},
            content_type="application/json",
            headers=ready.headers("pipeline"),
        )
        assert answer.status_code == 201, answer.content
    answer = put_model(
        ready, *artefact, format="mlflow", training=["training@1"], evaluation="evaluation@1", classes=[0, 1],
        sensitive={"sex": {"use": "monitored"}},
    )  # fmt: skip
    assert answer.status_code == 201, answer.content
    promotion = study.ask(ready, ModelVersion.objects.get(), "development")
    for run in CheckRun.objects.filter(state="queued"):
        execution.run_check(run.id)
        settle_after_check(run.id)
    promotion.refresh_from_db()
    errors = [run.result["error"] for run in CheckRun.objects.all()]
    assert errors == [None, None]
    assert {line["verdict"] for line in promotion.requirements} == {"passed"}, promotion.requirements
    features = evaluation.drop(columns="progression")
    accuracy = next(line["value"] for line in promotion.requirements if line["metric"] == "accuracy")
    assert accuracy == pytest.approx(float((model.predict(features) == evaluation["progression"]).mean()))
    pd.testing.assert_frame_equal(pd.read_parquet(io.BytesIO(kept(ready, single[1]))), evaluation)
