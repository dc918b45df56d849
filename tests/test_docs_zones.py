"""docs/zones.md: its commands are run as they stand there, against the real service; nothing is fetched or uploaded."""

from __future__ import annotations

import io
import json
import re
import shlex
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from audits.models import Blob, CheckRun
from governance.client.cli import main
from governance.client.console import Console
from governance.models import Promotion
from registry.models import Dataset, DatasetVersion, ModelVersion
from tests import study
from tests.cast import Cast
from tests.client.conftest import Ran
from tests.snapshot import unchanged

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "zones.md").read_text()
BLOCK = re.search(r"## Registering\n\n```sh\n(.*?)```", PAGE, re.DOTALL)[1]  # type: ignore[index]
COMMANDS = BLOCK.replace("\\\n", " ").strip().splitlines()
DATA = b"PAR1 the content, which only the zone has"
MODEL = b"a model file"


@pytest.fixture
def command(
    live_server: Any, committed_cast: Cast, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Ran]:
    """A line of the page, typed in a folder with the files it names."""
    settings.CRIVO_ZONES = ["clinic"]
    study.use_case_with_policies(committed_cast)
    study.sequence()
    declared = study.metadata(
        target="ill",
        training=["patients@1"],
        evaluation="patients@1",
        sensitive={"sex": {"use": "monitored"}},
    )
    (tmp_path / "patients.parquet").write_bytes(DATA)
    (tmp_path / "model.skops").write_bytes(MODEL)
    (tmp_path / "metadata.json").write_text(json.dumps(declared))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CRIVO_URL", live_server.url)
    monkeypatch.setenv("CRIVO_TOKEN", committed_cast.token("pipeline"))

    def typed(line: str) -> Ran:
        out, err = io.StringIO(), io.StringIO()
        words = shlex.split(line.replace("sha256:…", f"sha256:{sha256(DATA).hexdigest()}"), comments=True)
        assert words[0] == "crivo"
        return Ran(main(words[1:], console=Console(out=out, err=err)), out.getvalue(), err.getvalue())

    return typed


def test_the_commands_of_the_page(command: Callable[[str], Ran]) -> None:
    assert [shlex.split(line)[1] for line in COMMANDS] == ["digest", "dataset", "model", "promote"]
    assert command(COMMANDS[0]).out == f"sha256:{sha256(DATA).hexdigest()}\n"
    for line in COMMANDS[1:]:
        ran = command(line)
        assert ran.code == 0, (line, ran.err)
    dataset = Dataset.objects.get()
    assert (dataset.name, dataset.zone, dataset.smallest_cell) == ("patients", "clinic", 10)
    version = DatasetVersion.objects.get()
    assert (version.uri, version.size, version.rows) == ("s3://clinic/patients.parquet", 0, None)
    assert [column["name"] for column in version.columns] == ["age", "sex", "ill"]
    assert (version.sensitive, version.format) == ({"sex": {}}, "parquet")
    assert list(Blob.objects.values_list("digest", flat=True)) == [f"sha256:{sha256(MODEL).hexdigest()}"]
    assert ModelVersion.objects.get().label == "triage@1"
    assert Promotion.objects.get().environment.name == "development"
    assert set(CheckRun.objects.values_list("zone", flat=True)) <= {"clinic"}
    assert "clinic" in command("crivo list datasets").out
    again = command(COMMANDS[1])
    assert (again.code, "was there already" in again.out) == (0, True)


def test_a_zone_is_decided_once(command: Callable[[str], Ran]) -> None:
    command(COMMANDS[1])
    for changed in (
        COMMANDS[1].replace("--smallest-cell 10", "--smallest-cell 5"),
        COMMANDS[1].partition(" --zone")[0],
        "crivo dataset register patients.parquet --name patients",
    ):
        with unchanged(refusals=1):
            ran = command(changed)
            assert (ran.code, "patients" in ran.err) == (1, True), ran.err


def test_an_upload_by_hand_is_refused_by_the_server_too(command: Callable[[str], Ran]) -> None:
    """The flags only say it sooner."""
    command(COMMANDS[1])
    from governance.client import Crivo, Refused

    with Crivo.from_environment() as crivo, unchanged(refusals=1), pytest.raises(Refused) as caught:
        crivo.register_dataset_version("patients", "patients.parquet", columns=["age"])
    assert caught.value.code == "zone_upload_refused"
