"""The client against the real service: HTTP, database and roles are real; only the checks are not run here."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from audits.models import Event
from governance.client import Crivo, Refused
from governance.client.cli import main
from governance.client.console import Console
from governance.models import UseCase
from registry.models import DatasetVersion, ModelVersion
from tests import study
from tests.cast import Cast
from tests.client.conftest import Ran

ROWS = "age,sex,bmi,progression\n" + "".join(f"{40 + n},{1 + n % 2},{20 + n},{n % 2}\n" for n in range(20))


@pytest.fixture
def crivo_of(live_server: Any, committed_cast: Cast) -> Iterator[Callable[[str], Crivo]]:
    """Closed afterwards: a server thread with an open connection keeps its one to the database."""
    with ExitStack() as opened:
        yield lambda name: opened.enter_context(Crivo(live_server.url, committed_cast.token(name), tries=1))


@pytest.fixture(autouse=True)
def _in_force(committed_cast: Cast) -> None:
    """The policies of the first start are in force: their events are in a published checkpoint."""
    study.sequence()


@pytest.fixture
def command(live_server: Any, committed_cast: Cast, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    def called(who: str, *arguments: Any) -> Ran:
        monkeypatch.setenv("CRIVO_URL", live_server.url)
        monkeypatch.setenv("CRIVO_TOKEN", committed_cast.token(who))
        out, err = io.StringIO(), io.StringIO()
        texts = list(map(str, arguments))
        code = main(texts, console=Console(as_json="--json" in texts, out=out, err=err))
        return Ran(code, out.getvalue(), err.getvalue())

    return called


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "training.csv").write_text(ROWS)
    (tmp_path / "evaluation.csv").write_text(ROWS.replace("40,", "39,"))
    (tmp_path / "model.skops").write_bytes(b"not really a model")
    metadata = {
        "format": "skops",
        "framework": "scikit-learn",
        "task": "binary",
        "target": "progression",
        "positive_label": 1,
        "favourable_label": 1,
        "output": "probability",
        "threshold": 0.5,
        "sensitive": {"sex": {"use": "monitored"}, "age": {"use": "monitored"}},
        "training": ["training@1"],
        "evaluation": "evaluation@1",
        "seed": 0,
        "code_commit": "abcdef0",
        "environment_digest": "sha256:" + "0" * 64,
        "use_case": "triage",
    }
    (tmp_path / "model.json").write_text(json.dumps(metadata))
    return tmp_path


def registered(command: Callable[..., Ran], files: Path) -> None:
    for arguments in (
        ("use-case", "register", "triage", "--purpose", "Who is seen first.", "--risk-tier", "high"),
        ("dataset", "register", files / "training.csv", "--name", "training", "--sensitive", "sex,age",
         "--bins", "age=50"),
        ("dataset", "register", files / "evaluation.csv", "--name", "evaluation"),
        ("model", "register", files / "model.skops", "--name", "scoring", "--metadata", files / "model.json"),
    ):  # fmt: skip
        ran = command("pipeline", *arguments)
        assert ran.code == 0, ran.err


def test_from_registration_to_a_closed_gate(command: Callable[..., Ran], files: Path) -> None:
    registered(command, files)
    assert UseCase.objects.get().risk_tier == "high"
    assert DatasetVersion.objects.get(dataset__name="training").sensitive == {
        "sex": {},
        "age": {"bins": [50]},
    }
    version = ModelVersion.objects.get()
    assert version.metadata["sensitive"]["age"]["bins"] == [50]

    ran = command("pipeline", "promote", "scoring", 1, "--to", "development", "--reason", "first", "--json")
    assert ran.code == 0, ran.out
    asked = json.loads(ran.out)
    assert (asked["state"], asked["to"]) == ("checking", "development")

    ran = command("pipeline", "status", asked["id"])
    assert ran.code == 4
    assert "scoring@1 to development: the checks are running" in ran.out
    assert command("pipeline", "status", "scoring", 1).code == 4
    assert command("ana", "approve", asked["id"], "--reason", "x").code == 4  # nothing to decide on yet

    ran = command("pipeline", "gate", files / "model.skops", "--environment", "development", "--json")
    assert ran.code == 1
    assert [reason["code"] for reason in json.loads(ran.out)["reasons"]] == ["not_promoted"]
    assert command("pipeline", "attestation", asked["id"]).code == 4

    ran = command("pipeline", "promote", "scoring", 1, "--to", "production", "--reason", "at once")
    assert ran.code == 1
    assert "development" in ran.err


def test_registering_again_changes_nothing(command: Callable[..., Ran], files: Path) -> None:
    registered(command, files)
    before = Event.objects.count()
    registered(command, files)
    assert Event.objects.count() == before
    assert (DatasetVersion.objects.count(), ModelVersion.objects.count()) == (2, 1)


def test_an_outsider_finds_nothing(
    command: Callable[..., Ran], crivo_of: Callable[[str], Crivo], files: Path
) -> None:
    registered(command, files)
    asked = crivo_of("pipeline").promote("scoring", 1, to="development", reason="r")
    davi = crivo_of("davi")
    with pytest.raises(Refused) as caught:
        davi.promotion(asked.id)
    assert (caught.value.status, caught.value.code) == (404, "not_found")
    assert davi.promotions() == []


def test_a_wrong_digest_of_nothing_written(crivo_of: Callable[[str], Crivo], files: Path) -> None:
    """The client announces the digest it computed: bytes that arrive otherwise are refused."""
    pipeline = crivo_of("pipeline")
    pipeline.register_dataset("training")
    from governance.client.multipart import Upload

    upload = Upload.of("file", files / "training.csv", {"format": "csv", "digest": "sha256:" + "0" * 64})
    with pytest.raises(Refused) as caught:
        pipeline._upload("datasets/training/versions", upload, None)
    assert (caught.value.status, caught.value.code) == (422, "upload_digest_mismatch")
    assert DatasetVersion.objects.count() == 0


def test_one_key_one_effect(crivo_of: Callable[[str], Crivo]) -> None:
    pipeline = crivo_of("pipeline")
    first = pipeline.register_use_case("triage", purpose="p", risk_tier="high", key="run-1")
    again = pipeline.register_use_case("triage", purpose="p", risk_tier="high", key="run-1")
    assert (first.raw, first.created) == (again.raw, again.created)
    with pytest.raises(Refused) as caught:
        pipeline.register_use_case("other", purpose="p", risk_tier="high", key="run-1")
    assert caught.value.code == "idempotency_key_reused"


def test_a_policy_that_is_none(command: Callable[..., Ran], tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("policy: x\napplies_to: {risk_tier: high}\nchecks: []\napprovals: []\n")
    ran = command("rita", "policy", "apply", tmp_path / "p.yaml", "--yes", "--reason", "new")
    assert (ran.code, "p.yaml" in ran.out, "environment" in ran.out) == (1, True, True)


def test_a_policy_is_proposed_and_approved(command: Callable[..., Ran], tmp_path: Path) -> None:
    text = "policy: care-test\napplies_to: {use_case: other, environment: test}\nchecks: []\napprovals: []\n"
    (tmp_path / "p.yaml").write_text(text)
    apply = ("policy", "apply", tmp_path / "p.yaml")
    assert command("rita", *apply).out.startswith("new        care-test")
    assert command("pipeline", *apply, "--yes", "--reason", "new").code == 1
    assert command("rita", *apply, "--yes", "--reason", "new").code == 0
    change = json.loads(command("rita", "policy", "changes", "--json").out)[0]["id"]
    assert command("rita", "policy", "approve", change, "--reason", "mine").code == 1
    ran = command("bia", "policy", "approve", change, "--reason", "agreed")
    assert (ran.code, ran.out.splitlines()[-1]) == (0, "care-test: approved")
    assert command("rita", *apply).out.startswith("unchanged  care-test (version 1 is current)")
    assert command("bia", "policy", "diff", "care-test", 1, 1).code == 0


def test_lineage(command: Callable[..., Ran], files: Path, tmp_path: Path) -> None:
    registered(command, files)
    event = {
        "eventTime": "2026-01-01T00:00:00Z", "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json",
        "run": {"runId": "01890a5d-ac96-774b-bcce-b302099a8057"}, "job": {"namespace": "j", "name": "split"},
        "inputs": [{"namespace": "s3://lake", "name": "raw"}],
        "outputs": [{"namespace": "crivo", "name": "training@1"}],
    }  # fmt: skip
    path = tmp_path / "event.json"
    path.write_text(json.dumps(event))
    assert command("pipeline", "lineage", "record", path).out.startswith("lineage event recorded")
    assert command("pipeline", "lineage", "record", path).out.startswith("lineage event was recorded already")
    ran = command("pipeline", "lineage", "scoring@1", "--direction", "up", "--json")
    assert "dataset:s3://lake:raw" in {node["id"] for node in json.loads(ran.out)["nodes"]}
    assert command("pipeline", "lineage", "nothing@1").code == 1


def test_who_am_i(command: Callable[..., Ran]) -> None:
    assert json.loads(command("clara", "whoami", "--json").out)["roles"] == ["auditor"]


def test_an_unknown_token(
    live_server: Any,
    committed_cast: Cast,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("CRIVO_URL", live_server.url)
    monkeypatch.setenv("CRIVO_TOKEN", "crv_000000000000_" + "0" * 46)
    assert main(["whoami"]) == 1
    assert capsys.readouterr().err.startswith("Refused: ")
