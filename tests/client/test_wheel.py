"""The client's own wheel: builds offline, imports without Django, brings the verifier, and the command works."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.client import answers
from tests.client.double import Double, answer

ROOT = Path(__file__).resolve().parents[2]


def run(*command: Any, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "CRIVO", "PIP"))
    }
    return subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**kept, **environment},
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    built = run(
        sys.executable, "-m", "pip", "--isolated", "wheel", "--no-index", "--no-deps", "-q", "-w", folder,
        ROOT / "governance" / "client",
    )  # fmt: skip
    if "No module named pip" in built.stderr:
        sys.path.insert(0, str(ROOT / "governance" / "client" / "wheel"))
        import backend

        backend.build_wheel(str(folder))
    else:
        assert built.returncode == 0, built.stderr
    (found,) = folder.glob("crivo-*.whl")
    return found


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that holds the wheel and nothing else."""
    folder = tmp_path_factory.mktemp("venv")
    base = getattr(sys, "_base_executable", sys.executable)
    made = run(base, "-m", "venv", folder)
    assert made.returncode == 0, made.stderr
    installed = run(folder / "bin" / "pip", "--isolated", "install", "--no-index", "--no-deps", "-q", wheel)
    assert installed.returncode == 0, installed.stderr
    return folder / "bin" / "python"


def test_what_is_in_it(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert archive.read("crivo/verifier.py") == (ROOT / "audits" / "verifier.py").read_bytes()
        (metadata,) = (archive.read(name).decode() for name in names if name.endswith("METADATA"))
        for name in names:
            if name.startswith("crivo/") and name != "crivo/verifier.py":
                assert b"governance.client" not in archive.read(name), name
    assert "Requires-Dist: cryptography>=42; extra == 'verify'" in metadata
    assert not [name for name in names if "wheel/" in name or "pycache" in name]


def test_the_same_sources_make_the_same_bytes(wheel: Path, tmp_path: Path) -> None:
    program = "import sys; sys.path.insert(0, sys.argv[1]); import backend; backend.build_wheel(sys.argv[2])"
    assert run(sys.executable, "-c", program, ROOT / "governance/client/wheel", tmp_path).returncode == 0
    assert (tmp_path / wheel.name).read_bytes() == wheel.read_bytes()


def test_it_imports_without_django(python: Path) -> None:
    program = (
        "import sys, crivo, crivo.cli, crivo.offline, crivo.mlflow\n"
        "from crivo import Crivo, Refused\n"
        "assert not [n for n in sys.modules if n.split('.')[0] in ('django', 'governance', 'audits', 'cryptography')]\n"
    )
    ran = run(python, "-I", "-c", program)
    assert ran.returncode == 0, ran.stderr


def test_the_command_asks_a_server(python: Path, tmp_path: Path) -> None:
    with Double() as double:
        double.replies = [answer(200, answers.gate(True))]
        ran = run(
            python.parent / "crivo", "gate", answers.ARTIFACT, "--environment", "production",
            CRIVO_URL=double.url, CRIVO_TOKEN="crv_x",
        )  # fmt: skip
    assert (ran.returncode, ran.stdout.split(":")[0]) == (0, "yes")
    for name in ("bundle.jsonl", "jwks.json", "model.bin"):
        (tmp_path / name).write_text("{}")
    ran = run(
        python.parent / "crivo", "gate", tmp_path / "model.bin", "--environment", "production", "--offline",
        tmp_path / "bundle.jsonl", "--jwks", tmp_path / "jwks.json",
    )  # fmt: skip
    assert ran.returncode == 2
    lacking = run(
        python, "-I", "-c", f"from crivo import offline; offline.read_keys({str(tmp_path / 'jwks.json')!r})"
    )
    assert "crivo[verify]" in lacking.stderr
