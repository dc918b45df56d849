"""Models out of MLflow: against recorded answers of a real server (3.17.2), and a file store with its real layout."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from governance.client import Unreachable, Usage, mlflow
from governance.client.cli import main
from governance.client.console import Console
from registry.models import ModelVersion
from tests import study
from tests.cast import Cast

RECORDED = Path(__file__).resolve().parents[1] / "recorded" / "mlflow-3.17.2.json"
MISSING = {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Model Version (name=x, version=9) not found"}


@pytest.fixture
def answers() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RECORDED.read_text())
    return found


@pytest.fixture
def server(answers: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """MLflow as it answered; whatever was not asked then is not there."""
    asked: list[str] = []

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers.get("Authorization", ""))
            found = answers.get(self.path)
            body = json.dumps(MISSING).encode()
            if found is not None:
                body = found["text"].encode() if "text" in found else json.dumps(found["json"]).encode()
            self.send_response(200 if found is not None else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            return None

    started = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    thread = Thread(target=started.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret")
    url = f"http://127.0.0.1:{started.server_address[1]}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    yield url
    started.shutdown()
    thread.join()
    started.server_close()
    assert set(asked) <= {"Bearer secret"}


def lock_digest(answers: dict[str, Any]) -> str:
    (text,) = (found["text"] for path, found in answers.items() if path.endswith("requirements.txt"))
    return f"sha256:{sha256(text.encode()).hexdigest()}"


def test_what_a_real_server_answered(server: str, answers: dict[str, Any]) -> None:
    version = mlflow.read("models:/scoring/1", server)
    assert version.run_id == "f92298a807c44352ac4a338296f71723"
    assert version.artifacts.files() == [
        "MLmodel",
        "conda.yaml",
        "model.pkl",
        "python_env.yaml",
        "requirements.txt",
    ]
    found = mlflow.carried(version)
    assert found.path == "model.pkl"
    assert found.metadata == {
        "format": "pickle",
        "framework": "scikit-learn",
        "claimed_metrics": {"auc": 0.81, "loss": 0.3},
        "seed": 7,
        "code_commit": "0123456789abcdef0123456789abcdef01234567",
        "environment_digest": lock_digest(answers),
        "params": {
            "C": "0.5",
            "random_state": "7",
            "mlflow": {
                "model": "models:/scoring/1",
                "run_id": "f92298a807c44352ac4a338296f71723",
                "datasets": [
                    {"name": "patients", "digest": "bed4224a", "source_type": "code", "context": "training"}
                ],
                "source": {
                    "mlflow.source.git.commit": "0123456789abcdef0123456789abcdef01234567",
                    "mlflow.source.name": "log.py",
                    "mlflow.source.type": "LOCAL",
                },
            },
        },
    }
    sink = io.BytesIO()
    version.artifacts.read("model.pkl", sink)
    assert sink.getvalue() == b"the bytes of a model"


def test_what_is_not_there_or_no_reference(server: str) -> None:
    with pytest.raises(Usage, match="not found"):
        mlflow.read("models:/scoring/9", server)
    for reference in (
        "models:/scoring",
        "models:/scoring/latest",
        "models:/a/b/1",
        "runs:/x/model",
        "scoring/1",
    ):
        with pytest.raises(Usage, match="models:/NAME/VERSION"):
            mlflow.read(reference, server)
    for uri in ("databricks://x", "http://user:secret@host", "sqlite:///x.db"):
        with pytest.raises(Usage):
            mlflow.read("models:/scoring/1", uri)
    with pytest.raises(Unreachable):
        mlflow.read("models:/scoring/1", "http://127.0.0.1:9")
    with pytest.raises(Usage, match="no file other"):
        mlflow.carried(mlflow.read("models:/scoring/1", server), "other")


@pytest.mark.parametrize("path", ["..", ".", "", "a\\..\\b"])
def test_a_server_that_names_files_elsewhere(server: str, answers: dict[str, Any], path: str) -> None:
    (listing,) = (found for asked, found in answers.items() if "artifacts?path=" in asked)
    listing["json"]["files"].append({"path": path, "is_dir": False})
    with pytest.raises(Unreachable, match="no path of a model"):
        mlflow.read("models:/scoring/1", server).artifacts.files()


def test_files_that_lie_in_a_bucket(server: str, answers: dict[str, Any]) -> None:
    (address,) = (asked for asked in answers if "get-download-uri" in asked)
    answers[address] = {"json": {"artifact_uri": "s3://bucket/1/model"}}
    with pytest.raises(Usage, match="s3://bucket"):
        mlflow.read("models:/scoring/1", server)


def test_a_server_that_is_something_else(server: str, answers: dict[str, Any]) -> None:
    for address in list(answers):
        if "model-versions/get?" in address:
            answers[address] = {"text": "<html>"}
    with pytest.raises(Unreachable, match="does not answer as MLflow"):
        mlflow.read("models:/scoring/1", server)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A file store as MLflow lays it out (seen with 3.17.2)."""
    files = {
        "models/scoring/meta.yaml": "name: scoring\n",
        "models/scoring/version-1/meta.yaml": (
            "creation_timestamp: 1\ndescription: Two rows.\nname: scoring\nrun_id: r1\nsource: models:/m-1\n"
            f"storage_location: file://{tmp_path}/77/models/m-1/artifacts\nversion: 1\n"
        ),
        "77/r1/params/C": "0.5",
        "77/r1/params/random_state": "7",
        "77/r1/metrics/auc": "1795178433652 0.7 0\n1795178433653 0.81 1\n",
        "77/r1/metrics/broken": "1795178433652 nan 0\n",
        "77/r1/tags/mlflow.source.git.commit": "0123456789abcdef",
        "77/r1/tags/team": "risk",
        "77/r1/inputs/i1/meta.yaml": (
            "destination_id: d1\ndestination_type: RUN\nsource_id: d1\nsource_type: DATASET\n"
            "tags:\n  mlflow.data.context: training\n"
        ),
        "77/datasets/d1/meta.yaml": (
            'digest: bed4224a\nname: patients\nschema: \'{"x": [{"name":\n  "y"}]}\'\nsource_type: code\n'
        ),
        "77/models/m-1/artifacts/MLmodel": "flavors:\n  sklearn:\n    pickled_model: model.pkl\n",
        "77/models/m-1/artifacts/model.pkl": "the bytes",
        "77/models/m-1/artifacts/requirements.txt": "scikit-learn\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize("form", ["file://{}", "{}"])
def test_a_store_in_a_folder(store: Path, form: str) -> None:
    found = mlflow.carried(mlflow.read("models:/scoring/1", form.format(store)))
    assert found.path == "model.pkl"
    assert found.metadata["claimed_metrics"] == {"auc": 0.81}
    assert found.metadata["seed"] == 7
    assert found.metadata["code_commit"] == "0123456789abcdef"
    assert found.metadata["params"]["mlflow"]["datasets"] == [
        {"name": "patients", "digest": "bed4224a", "source_type": "code", "context": "training"}
    ]
    with pytest.raises(Usage):
        mlflow.read("models:/scoring/2", form.format(store))
    with pytest.raises(Unreachable):
        mlflow.read("models:/../1", form.format(store))


def test_which_file_is_the_model(store: Path) -> None:
    folder = store / "77/models/m-1/artifacts"
    (folder / "MLmodel").write_text("flavors:\n  python_function:\n")
    (folder / "other.skops").write_text("x")
    version = mlflow.read("models:/scoring/1", str(store))
    with pytest.raises(Usage, match="--artifact"):
        mlflow.carried(version)
    found = mlflow.carried(version, "other.skops")
    assert (found.path, found.metadata["format"]) == ("other.skops", "skops")


@pytest.mark.django_db(transaction=True)
def test_registered_once_however_often_it_is_told(
    live_server: Any,
    committed_cast: Cast,
    server: str,
    answers: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cast = committed_cast
    study.use_case_with_policies(cast)
    study.dataset_version(cast)
    monkeypatch.setenv("CRIVO_URL", live_server.url)
    monkeypatch.setenv("CRIVO_TOKEN", cast.token("pipeline"))
    declared = study.metadata()
    for name in ("format", "framework", "seed", "code_commit", "environment_digest"):
        del declared[name]
    (tmp_path / "declared.json").write_text(json.dumps(declared))
    call: Callable[[], tuple[int, str]]

    def call() -> tuple[int, str]:
        out, err = io.StringIO(), io.StringIO()
        arguments = ["model", "register", "--from-mlflow", "models:/scoring/1"]
        code = main(
            [*arguments, "--metadata", str(tmp_path / "declared.json")], console=Console(out=out, err=err)
        )
        return code, out.getvalue() + err.getvalue()

    code, said = call()
    assert (code, "model version scoring@1 registered" in said) == (0, True), said
    version = ModelVersion.objects.get()
    assert version.artifact_digest == f"sha256:{sha256(b'the bytes of a model').hexdigest()}"
    assert version.metadata["claimed_metrics"] == {"auc": 0.81, "loss": 0.3}
    assert version.metadata["environment_digest"] == lock_digest(answers)
    assert version.metadata["params"]["mlflow"]["datasets"][0]["digest"] == "bed4224a"
    about = next(
        found["json"]["model_version"] for asked, found in answers.items() if "model-versions/get?" in asked
    )
    about["description"], about["tags"] = "another", [{"key": "stage", "value": "new"}]
    code, said = call()
    assert (code, "was there already" in said) == (0, True), said
    assert ModelVersion.objects.count() == 1
