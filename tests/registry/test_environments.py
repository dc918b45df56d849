"""The environment lock of a version: kept only if it is the declared one, listed, and told as a bill of materials."""

from __future__ import annotations

import json
from hashlib import sha256
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
from django.db import DatabaseError, connections, transaction
from referencing import Registry, Resource

from audits.errors import Unprocessable
from audits.models import Event
from registry.locks import MAX_PACKAGES, SIZE_LIMIT, Package, read
from registry.models import EnvironmentLock, ModelVersion
from tests import study
from tests.cast import Cast
from tests.governance.test_api import Caller, problem
from tests.snapshot import unchanged

ONE, TWO = "1" * 64, "2" * 64
REQUIREMENTS = f"""\
# made by pip-compile
--index-url https://pypi.example.org/simple
Numpy==2.4.0 ; python_version >= "3.11" \\
    --hash=sha256:{TWO} \\
    --hash=sha256:{ONE}
    # via -r requirements.in
scikit_learn===1.8.0
pandas>=2   # left open
-e .
"""
UV = f"""\
version = 1
[[package]]
name = "ours"
version = "0.1"
source = {{ virtual = "." }}
[[package]]
name = "numpy"
version = "2.4.0"
source = {{ registry = "https://pypi.org/simple" }}
sdist = {{ url = "https://e/numpy.tar.gz", hash = "sha256:{ONE}", size = 1 }}
wheels = [{{ url = "https://e/numpy.whl", hash = "sha256:{TWO}", size = 1 }}]
"""
POETRY = f"""\
[[package]]
name = "numpy"
version = "2.4.0"
files = [{{file = "numpy.whl", hash = "sha256:{ONE}"}}]
[metadata]
lock-version = "2.1"
"""
PYLOCK = f"""\
lock-version = "1.0"
[[packages]]
name = "numpy"
version = "2.4.0"
wheels = [{{ name = "numpy.whl", hashes = {{ sha256 = "{ONE}" }} }}]
"""
CONDA = f"""\
# platform: linux-64
@EXPLICIT
https://conda.anaconda.org/conda-forge/linux-64/libblas-3.9.0-1_h.conda#{"0" * 32}
https://conda.anaconda.org/conda-forge/linux-64/numpy-2.4.0-py311h_0.conda#sha256:{ONE}
"""


def listed(text: str) -> list[tuple[str, str, str, int]]:
    return [
        (item.name, item.version, item.ecosystem, len(item.sha256)) for item in read(text.encode()).packages
    ]


class TestReading:
    @pytest.mark.parametrize(
        ("text", "format_", "expected"),
        [
            (
                REQUIREMENTS,
                "requirements",
                [
                    ("numpy", "2.4.0", "pypi", 2),
                    ("pandas", "", "pypi", 0),
                    ("scikit-learn", "1.8.0", "pypi", 0),
                ],
            ),
            (UV, "uv.lock", [("numpy", "2.4.0", "pypi", 2)]),
            (POETRY, "poetry.lock", [("numpy", "2.4.0", "pypi", 1)]),
            (PYLOCK, "pylock.toml", [("numpy", "2.4.0", "pypi", 1)]),
            (CONDA, "conda-explicit", [("libblas", "3.9.0", "conda", 0), ("numpy", "2.4.0", "conda", 1)]),
            ('[{"name": "Numpy", "version": "2.4.0"}]', "pip-json", [("numpy", "2.4.0", "pypi", 0)]),
            (
                '{"version": "1", "installed": [{"metadata": {"name": "numpy", "version": "2.4.0"}}]}',
                "pip-json",
                [("numpy", "2.4.0", "pypi", 0)],
            ),
            (
                '[{"name": "a", "version": "1", "channel": "pypi"}, {"name": "b", "version": "2", "channel": "main"}]',
                "conda-json",
                [("a", "1", "pypi", 0), ("b", "2", "conda", 0)],
            ),
        ],
    )
    def test_each_form_lists_its_packages(self, text: str, format_: str, expected: Any) -> None:
        assert read(text.encode()).format == format_
        assert listed(text) == expected

    def test_what_is_left_open_is_counted(self) -> None:
        assert read(REQUIREMENTS.encode()).open == 1
        assert read(b"numpy==2.*\nscipy~=1.0\n").open == 2

    def test_a_version_for_two_platforms_is_one_package_with_the_files_of_both(self) -> None:
        twice = f"numpy==2.4.0 --hash=sha256:{TWO}\nnumpy==2.4.0 --hash=sha256:{ONE}\n"
        assert read(twice.encode()).packages == (Package("numpy", "2.4.0", "pypi", (ONE, TWO)),)

    def test_our_own_lock_is_read_whole(self) -> None:
        from pathlib import Path

        lock = read((Path(__file__).parents[2] / "requirements.txt").read_bytes())
        assert (lock.format, lock.open) == ("requirements", 0)
        assert all(package.sha256 for package in lock.packages)
        assert {"django", "numpy", "shap"} <= {package.name for package in lock.packages}

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"# nothing here\n",
            b"\xff\xfe",
            b"numpy==2.4.0\x00",
            b"not a requirement at all\n",
            b"../wheels/numpy.whl\n",
            b"[[package]]\nname = \n",
            b"[[package]]\nversion = '1'\n",
            b'[[package]]\nname = "a b"\nversion = "1"\n',
            b"[1, 2",
            b"{}",
            b"[" * 100_000,
            b'[{"name": "numpy", "version": 2}]',
            b'[{"name": "=cmd|calc", "version": "1"}]',
            b"@EXPLICIT\nhttps://e/one.conda\n",
            b"x" * (SIZE_LIMIT + 1),
            "".join(f"p{place}==1\n" for place in range(MAX_PACKAGES + 1)).encode(),
        ],
        ids=range(17),
    )
    def test_what_lists_nothing_is_refused_with_a_reason(self, content: bytes) -> None:
        with pytest.raises(Unprocessable) as refusal:
            read(content)
        assert refusal.value.code == "lock_unreadable"
        assert refusal.value.message.params["reason"]


PATH = "models/progression/versions/1"


@pytest.fixture
def cast(committed_cast: Cast) -> Cast:
    return committed_cast


@pytest.fixture
def version(cast: Cast) -> ModelVersion:
    return study.study(cast)


def valid_cyclonedx(document: Any) -> None:
    """Against the schema of the standard, which the library brings along; nothing is fetched."""
    folder = files("cyclonedx.schema._res")
    names = ("bom-1.6", "spdx", "jsf-0.82")
    schemas = {name: json.loads((folder / f"{name}.SNAPSHOT.schema.json").read_text()) for name in names}
    registry = Registry().with_resources(
        (schema["$id"], Resource.from_contents(schema)) for schema in schemas.values()
    )
    jsonschema.Draft7Validator(schemas["bom-1.6"], registry=registry).validate(document)


@pytest.mark.django_db(transaction=True)
class TestKeeping:
    def test_the_declared_lock_is_kept_once_and_told(self, cast: Cast, version: ModelVersion) -> None:
        pipeline = Caller(cast, "pipeline")
        problem(pipeline.get(f"{PATH}/environment"), 404, "not_found")
        answer = pipeline.upload(f"{PATH}/environment", "file", study.LOCK)
        assert answer.status_code == 201, answer.content
        body = answer.json()
        assert (body["version"], body["format"], body["open"]) == ("progression@1", "requirements", 0)
        assert body["digest"] == version.metadata["environment_digest"]
        assert body["packages"] == [
            {"name": "numpy", "version": "2.4.0", "ecosystem": "pypi", "sha256": ["1" * 64]},
            {"name": "scikit-learn", "version": "1.8.0", "ecosystem": "pypi", "sha256": []},
        ]
        event = Event.objects.get(verb="environment_lock.kept", outcome="done")
        assert (event.subject_kind, event.subject_id) == ("model_version", version.id)
        assert event.evidence == [{"kind": "environment_lock", "digest": body["digest"]}]
        assert event.detail == {"format": "requirements", "packages": 2, "open": 0}
        again = pipeline.upload(f"{PATH}/environment", "file", study.LOCK)
        assert (again.status_code, again.json()) == (200, body)
        assert Caller(cast, "clara").get(f"{PATH}/environment").json() == body
        assert Event.objects.filter(verb="environment_lock.kept").count() == 1

    def test_another_file_is_refused_and_nothing_changes(self, cast: Cast, version: ModelVersion) -> None:
        pipeline = Caller(cast, "pipeline")
        with unchanged(refusals=1):
            answer = pipeline.upload(f"{PATH}/environment", "file", study.LOCK + b"\n")
        body = problem(answer, 422, "lock_not_declared", "file")
        assert body["params"]["expected"] == version.metadata["environment_digest"]

    def test_a_declared_file_that_lists_nothing_is_refused(self, cast: Cast) -> None:
        study.use_case_with_policies(cast)
        study.dataset_version(cast)
        study.model_version(cast, environment_digest=f"sha256:{sha256(b'conda env').hexdigest()}")
        pipeline = Caller(cast, "pipeline")
        with unchanged(refusals=1):
            answer = pipeline.upload(f"{PATH}/environment", "file", b"conda env")
        problem(answer, 422, "lock_unreadable", "file")

    def test_who_may_not_register_versions_keeps_no_lock(self, cast: Cast, version: ModelVersion) -> None:
        clara = Caller(cast, "clara")
        with unchanged(refusals=1):
            answer = clara.upload(f"{PATH}/environment", "file", study.LOCK)
        problem(answer, 403, "not_permitted")

    def test_it_is_never_changed_and_nothing_lands_beside_the_door(
        self, cast: Cast, version: ModelVersion
    ) -> None:
        study.kept_lock(cast, version)
        for alias in ("default", "migrator"):
            for statement in (
                "UPDATE registry_environment_lock SET packages = '[]'",
                "DELETE FROM registry_environment_lock",
                "TRUNCATE registry_environment_lock",
            ):
                with pytest.raises(DatabaseError), transaction.atomic(using=alias):
                    connections[alias].cursor().execute(statement)
        with connections["migrator"].cursor() as cursor:
            cursor.execute("SELECT count(*) FROM out_of_band_change")
            assert cursor.fetchone() == (0,)

    @pytest.mark.past_the_door
    def test_a_row_that_no_event_tells_of_is_seen_by_the_net(self, cast: Cast, version: ModelVersion) -> None:
        EnvironmentLock.objects.create(
            workspace=cast.workspace, version=version, format="requirements", digest="", size=0, packages=[]
        )
        with connections["migrator"].cursor() as cursor:
            cursor.execute("SELECT code, table_name FROM out_of_band_change")
            assert cursor.fetchall() == [("no_event", "registry_environment_lock")]


@pytest.mark.django_db(transaction=True)
class TestBillOfMaterials:
    def test_it_is_cyclonedx_about_this_version(self, cast: Cast, version: ModelVersion) -> None:
        kept = study.kept_lock(cast, version)
        answer = Caller(cast, "clara").get(f"{PATH}/sbom")
        assert answer.status_code == 200, answer.content
        assert answer.headers["Content-Type"] == "application/vnd.cyclonedx+json; version=1.6"
        document = answer.json()
        valid_cyclonedx(document)
        assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
        about = document["metadata"]["component"]
        assert (about["name"], about["version"], about["type"]) == (
            "progression",
            "1",
            "machine-learning-model",
        )
        assert {item["name"]: item["value"] for item in about["properties"]} == {
            "crivo:manifest": version.manifest_digest,
            "crivo:environment_lock": kept.digest,
        }
        assert [item["purl"] for item in document["components"]] == [
            "pkg:pypi/numpy@2.4.0",
            "pkg:pypi/scikit-learn@1.8.0",
        ]
        assert document["components"][0]["hashes"] == [{"alg": "SHA-256", "content": "1" * 64}]

    def test_the_same_lock_gives_the_same_bytes(self, cast: Cast, version: ModelVersion) -> None:
        study.kept_lock(cast, version)
        first, second = (Caller(cast, who).get(f"{PATH}/sbom").content for who in ("clara", "ana"))
        assert first == second

    def test_many_accepted_files_are_named_and_an_open_version_has_none(self) -> None:
        from datetime import UTC, datetime

        from registry.sbom import bill_of_materials

        text = bill_of_materials(
            name="m", version="1", manifest="sha256:0", lock="sha256:1", at=datetime(2026, 1, 1, tzinfo=UTC),
            packages=list(read(REQUIREMENTS.encode()).packages),
        )  # fmt: skip
        document = json.loads(text)
        valid_cyclonedx(document)
        numpy, pandas, _ = document["components"]
        assert "hashes" not in numpy
        assert [item["value"] for item in numpy["properties"]] == [ONE, TWO]
        assert (pandas["purl"], "version" in pandas) == ("pkg:pypi/pandas", False)

    def test_a_version_without_a_kept_lock_has_none(self, cast: Cast, version: ModelVersion) -> None:
        problem(Caller(cast, "clara").get(f"{PATH}/sbom"), 404, "not_found")
