"""The whole demonstration, as script/demo plays it: fresh processes, real checks, and what it leaves is verifiable."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from governance.demo import proofs

PROJECT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-P", "-m", "governance.demo"]


def environ(tmp: Path) -> dict[str, str]:
    """Nothing of this test run's own servers; temporary folders where we can look what is left."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "PYTHONPATH": str(PROJECT), "TMPDIR": str(tmp)}


@pytest.mark.slow
def test_the_main_job(tmp_path: Path) -> None:
    temporary, keep = tmp_path / "tmp", tmp_path / "keep"
    temporary.mkdir()
    ended = subprocess.run(
        [*COMMAND, "--keep", str(keep)],
        capture_output=True, text=True, cwd=tmp_path, env=environ(temporary), timeout=600, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout[-6000:] + ended.stderr[-3000:]
    assert "All of it held" in ended.stdout
    assert sorted(path.name for path in keep.iterdir()) == ["attestations", "export", "jwks.json", "vkey"]
    assert proofs.verify(keep / "export", keep / "vkey")[0] == 0
    jwks = json.loads((keep / "jwks.json").read_text())
    found = sorted((keep / "attestations").glob("*.intoto.jsonl"))
    assert [path.name.split(".")[0].split("-", 2)[2] for path in found] == [
        "1-development", "1-test", "2-development", "2-homologation", "2-production", "2-test",
    ]  # fmt: skip
    for path in found:
        assert path.read_bytes().count(b"\n") == 1
        proofs.attested(path.read_bytes(), jwks)
    assert list(temporary.iterdir()) == []


def test_a_folder_of_an_earlier_run_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "vkey").write_text("kept since January")
    ended = subprocess.run(
        [*COMMAND, "--keep", str(tmp_path)],
        capture_output=True, text=True, env=environ(tmp_path), timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 2
    assert "holds vkey of an earlier run" in ended.stdout
    assert (tmp_path / "vkey").read_text() == "kept since January"


@pytest.mark.slow
def test_ended_in_the_middle_it_leaves_nothing(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out:
        started = subprocess.Popen(
            [*COMMAND], stdout=out, stderr=subprocess.STDOUT, env=environ(tmp_path), cwd=tmp_path
        )
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("crivo-demo-*/home/postgres-*/postmaster.pid")):
            assert time.monotonic() < deadline, (tmp_path / "out").read_text()
            assert started.poll() is None, (tmp_path / "out").read_text()
            time.sleep(0.05)
        started.send_signal(signal.SIGTERM)
        assert started.wait(timeout=60) == 130
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
