"""The evaluation run on a hostile file, in a zygote that has to outlive it."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from audits.confine import ConfinedOutcome, Limits, Zygote
from tests.checks import cast
from tests.confine.conftest import children

MARK = Path("/tmp/hostile-marker")
SMALL = Limits(wall_seconds=30, cpu_seconds=4, memory_bytes=768 << 20, output_bytes=1 << 20)
TRAINING, EVALUATION = cast.diabetes()
INPUTS = TRAINING.drop(columns="progression")


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    with Zygote() as started:
        if started.run({}, {}, entry="tests.confine.probes:echo").error is not None:
            pytest.skip("this machine cannot confine at level 1 (Landlock and seccomp)")
        yield started


Judge = Callable[..., tuple[str, dict[str, Any], ConfinedOutcome]]


@pytest.fixture
def judged(zygote: Zygote, tmp_path: Path) -> Iterator[Judge]:
    """Run the evaluation on these files: (code, params, outcome) of the error, "completed" without one."""
    pid = zygote.pid

    def run(
        artifact: bytes | None = None,
        format_: str = "skops",
        *,
        evaluation: bytes | None = None,
        data_format: str = "csv",
        declared: dict[str, Any] | None = None,
    ) -> tuple[str, dict[str, Any], ConfinedOutcome]:
        check = "data.quality" if artifact is None else "evaluation.performance"
        files = {
            "training": TRAINING.to_csv(index=False).encode(),
            "evaluation": EVALUATION.to_csv(index=False).encode() if evaluation is None else evaluation,
        }
        formats = {"training": "csv", "evaluation": "csv" if evaluation is None else data_format}
        if artifact is not None:
            files["artifact"], formats["artifact"] = artifact, format_
        paths = {}
        for name, content in files.items():
            paths[name] = tmp_path / name
            paths[name].write_bytes(content)
        inputs, _ = cast.given(check, declared=declared)
        question = inputs.to_json()
        question["materials"] = [
            {"role": name, "digest": "sha256:00", "format": formats[name]} for name in files
        ]
        outcome = zygote.run(question, paths, limits=SMALL)
        assert outcome.confinement is not None
        assert outcome.confinement.level >= 1
        for name, content in files.items():
            assert paths[name].read_bytes() == content
        if outcome.error is not None:
            assert outcome.result is None
            return outcome.error.code, outcome.error.params, outcome
        result = outcome.result or {}
        if result["outcome"] == "completed":
            return "completed", {}, outcome
        assert result["metrics"] == []
        return result["error"]["code"], result["error"]["params"], outcome

    yield run
    assert not MARK.exists()
    honest = zygote.run({"next": 1}, {}, entry="tests.confine.probes:echo")
    assert honest.result == {"input": {"next": 1}, "files": {}}
    assert zygote.pid == pid
    assert children(pid) == []


def packed(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()
