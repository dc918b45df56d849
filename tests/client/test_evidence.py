"""Attested evidence, hidden evaluation sets and files by URI: SDK and command against the real service."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from governance.client import Crivo
from governance.client.errors import Usage
from governance.models import ExternalEvidence
from registry.models import Dataset, DatasetVersion, EnvironmentLock, ModelVersion
from tests import study
from tests.cast import Cast
from tests.client.conftest import Ran
from tests.client.test_live import command, crivo_of  # noqa: F401

Command = Callable[..., Ran]
JUNIT = b'<testsuite><testcase name="a"/><testcase name="b"><failure/></testcase></testsuite>'


@pytest.fixture
def version(live_server: Any, committed_cast: Cast) -> ModelVersion:
    return study.study(committed_cast)


def test_a_report_and_a_signed_document(command: Command, version: ModelVersion, tmp_path: Path) -> None:  # noqa: F811
    report = tmp_path / "report.xml"
    report.write_bytes(JUNIT)
    about = ("--check", "robustness.perturbation", "--title", "Vendor's tests", "--issuer", "Vendor Ltd")
    ran = command("ana", "evidence", "attach", "progression@1", report, *about)
    assert (ran.code, "attested for robustness.perturbation" in ran.out) == (0, True), ran.err
    assert "was there already" in command("ana", "evidence", "attach", "progression@1", report, *about).out
    key = Ed25519PrivateKey.generate()
    document, pem, signature = (tmp_path / name for name in ("d.pdf", "key.pem", "d.sig"))
    document.write_bytes(b"%PDF what the vendor says")
    pem.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    signature.write_bytes(key.sign(document.read_bytes()))
    signed = ("--kind", "document", "--public-key", pem, "--signature", signature)
    assert command("ana", "evidence", "attach", "progression@1", document, *about, *signed).code == 0
    document.write_bytes(b"%PDF something else")
    ran = command("ana", "evidence", "attach", "progression@1", document, *about, *signed)
    assert ran.code == 1
    assert ExternalEvidence.objects.count() == 2
    rows = json.loads(command("ana", "evidence", "list", "progression@1", "--json").out)
    assert {(row["kind"], row["attested"]) for row in rows} == {("junit", True), ("document", True)}
    assert command("ana", "evidence", "attach", "progression@1", tmp_path / "none.xml", *about).code == 2


def test_a_hidden_evaluation_set(command: Command, version: ModelVersion, tmp_path: Path) -> None:  # noqa: F811
    data = tmp_path / "exam.csv"
    data.write_bytes(study.CSV)
    refused = command("ana", "dataset", "register", data, "--name", "exam", "--hidden")
    # Ana validates other people's models, so she may; the pipeline, which only builds, may not.
    assert refused.code == 0, refused.err
    assert command("pipeline", "dataset", "register", data, "--name", "other", "--hidden").code == 1
    assert Dataset.objects.get(name="exam").hidden
    assert not Dataset.objects.filter(name="other").exists()


def test_a_file_the_server_fetches(
    command: Command,  # noqa: F811
    version: ModelVersion,
    tmp_path: Path,
    settings: Any,
) -> None:
    settings.CRIVO_FILE_ROOTS = [str(tmp_path)]
    data = tmp_path / "more.csv"
    data.write_bytes(study.CSV + b"33,1,20.0,0\n")
    digest = f"sha256:{sha256(data.read_bytes()).hexdigest()}"
    uri = f"file://{data}"
    assert command("ana", "dataset", "register", uri, "--name", "patients").code == 2
    ran = command("ana", "dataset", "register", uri, "--name", "patients", "--digest", digest)
    assert ran.code == 0, ran.err
    assert DatasetVersion.objects.get(dataset__name="patients", n=2).digest == digest
    wrong = f"sha256:{'0' * 64}"
    assert command("ana", "dataset", "register", uri, "--name", "patients", "--digest", wrong).code == 1
    assert DatasetVersion.objects.filter(dataset__name="patients").count() == 2


def test_a_digest_that_is_not_the_files(
    crivo_of: Callable[[str], Crivo],  # noqa: F811
    version: ModelVersion,
    tmp_path: Path,
) -> None:
    data = tmp_path / "more.csv"
    data.write_bytes(study.CSV)
    with pytest.raises(Usage, match="has the digest"):
        crivo_of("ana").register_dataset_version("patients", data, digest=f"sha256:{'0' * 64}")


def test_the_lock_of_an_environment(command: Command, version: ModelVersion, tmp_path: Path) -> None:  # noqa: F811
    lock, out = tmp_path / "requirements.txt", tmp_path / "out.json"
    lock.write_bytes(study.LOCK)
    assert command("clara", "sbom", "progression@1").code == 1  # not kept yet
    ran = command("pipeline", "lock", "progression@1", lock)
    assert (ran.code, "2 packages" in ran.out) == (0, True), ran.err
    assert "was there already" in command("pipeline", "lock", "progression@1", lock).out
    assert "scikit-learn" in command("clara", "sbom", "progression@1").out
    assert command("clara", "sbom", "progression@1", "--output", out).code == 0
    printed = json.loads(command("clara", "sbom", "progression@1", "--json").out)
    assert json.loads(out.read_bytes()) == printed
    assert [item["name"] for item in printed["components"]] == ["numpy", "scikit-learn"]
    assert command("clara", "sbom", "progression@1", "--output", tmp_path).code == 2
    lock.write_bytes(b"numpy==1.0\n")
    assert command("pipeline", "lock", "progression@1", lock).code == 1


def test_a_version_is_registered_with_its_lock(
    command: Command,  # noqa: F811
    version: ModelVersion,
    tmp_path: Path,
) -> None:
    lock, about, model = (tmp_path / name for name in ("uv.txt", "about.json", "model.skops"))
    lock.write_bytes(b"xgboost==3.0.0\n")
    model.write_bytes(b"another model")
    declared = study.metadata()
    del declared["environment_digest"]
    about.write_text(json.dumps(declared))
    register = ("model", "register", model, "--name", "progression", "--metadata", about, "--lock", lock)
    assert command("pipeline", *register).code == 0
    kept = EnvironmentLock.objects.get()
    assert (kept.version.n, kept.packages[0]["name"]) == (2, "xgboost")
    assert kept.version.metadata["environment_digest"] == kept.digest
