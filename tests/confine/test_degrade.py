"""Machines that lack a mechanism, or pretend to have it: the level sinks, the missing is named, nothing is
loaded.
"""

from __future__ import annotations

import errno
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from audits.confine import LEVEL_1, LEVEL_2
from tests.confine.conftest import as_root
from tests.confine.test_escape import Runs

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).parent / "weakened.py"
PRETEND = 0


def run(
    level: int,
    probe: str,
    artifact: Path,
    *,
    python: str = sys.executable,
    user: int | None = None,
    **calls: int,
) -> dict[str, Any]:
    pairs = [f"{name}={answer}" for name, answer in calls.items()]
    done = subprocess.run(
        [python, str(SCRIPT), str(ROOT), str(level), probe, str(artifact), *pairs],
        capture_output=True,
        text=True,
        timeout=60,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
        env={"PATH": os.environ.get("PATH", ""), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.fixture(autouse=True)
def _confined(zygote: object) -> None:
    """Skips where not even the unweakened machine reaches level 1."""


@pytest.mark.parametrize(
    ("calls", "missing"),
    [
        ({"landlock_create_ruleset": errno.ENOSYS}, ["landlock"]),
        ({"landlock_create_ruleset": errno.EOPNOTSUPP}, ["landlock"]),
        ({"landlock_restrict_self": PRETEND}, ["landlock"]),
        ({"seccomp": errno.EINVAL}, ["seccomp"]),
        ({"seccomp": PRETEND}, ["seccomp"]),
        ({"landlock_restrict_self": PRETEND, "seccomp": PRETEND}, ["landlock", "seccomp"]),
        # The lock breaks off: nothing is certain, so nothing holds.
        ({"prctl": errno.EPERM}, list(LEVEL_1)),
    ],
    ids=[
        "no_landlock",
        "landlock_off",
        "landlock_lies",
        "no_seccomp",
        "seccomp_lies",
        "both_lie",
        "no_prctl",
    ],
)
def test_below_level_1_nothing_is_loaded(tmp_path: Path, calls: dict[str, int], missing: list[str]) -> None:
    tmp_path.chmod(0o777)
    marker = tmp_path / "loaded"
    artifact = tmp_path / "artifact"
    artifact.write_bytes(pickle.dumps(Runs(open, str(marker), "w")))
    outcome = run(1, "unpickle", artifact, **calls)
    assert outcome["result"] is None
    assert outcome["error"] == {
        "code": "confinement_unavailable",
        "params": {"required_level": 1, "level": 0, "missing": missing},
    }
    assert outcome["confinement"]["level"] == 0
    assert not marker.exists()


@pytest.mark.parametrize("answer", [errno.EPERM, PRETEND], ids=["refused", "lies"])
def test_without_namespaces_level_1_remains(artifact: Path, answer: int) -> None:
    outcome = run(1, "escapes", artifact, unshare=answer)
    assert outcome["error"] is None
    assert outcome["confinement"]["level"] == 1
    assert set(LEVEL_1) <= set(outcome["confinement"]["mechanisms"])
    assert set(outcome["result"].values()) == {"EPERM", "EBADF", "ValueError"}
    refused = run(2, "echo", artifact, unshare=answer)
    assert refused["result"] is None
    assert refused["error"] == {
        "code": "confinement_unavailable",
        "params": {
            "required_level": 2,
            "level": 1,
            "missing": ["user_namespace", "network_namespace", "ipc_namespace"],
        },
    }


@as_root
def test_root_without_namespaces_still_gets_an_empty_root(artifact: Path) -> None:
    outcome = run(1, "echo", artifact, unshare=errno.EPERM)
    assert "empty_root" in outcome["confinement"]["mechanisms"]
    assert "unprivileged_user" in outcome["confinement"]["mechanisms"]


def _python_of_everybody() -> str | None:
    """An interpreter an ordinary user may execute (that of the tests may lie below a home folder)."""
    for candidate in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        try:
            done = subprocess.run(
                [candidate, "-c", "import sys; sys.exit(sys.version_info < (3, 11))", str(SCRIPT)],
                user=1000,
                group=1000,
                extra_groups=[],
                capture_output=True,
            )
            readable = subprocess.run(["/bin/cat", str(SCRIPT)], user=1000, group=1000, capture_output=True)
        except OSError:
            continue
        if done.returncode == 0 and readable.returncode == 0:
            return candidate
    return None


@as_root
def test_ordinary_user_reaches_level_1(tmp_path: Path) -> None:
    python = _python_of_everybody()
    if python is None:
        pytest.skip("no Python 3.11 or checkout that an ordinary user may read")
    artifact = tmp_path / "artifact"
    artifact.write_text("hello")
    for folder in (tmp_path, *tmp_path.parents[:3]):
        if str(folder).startswith("/tmp/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    outcome = run(1, "escapes", artifact, python=python, user=1000)
    assert outcome["error"] is None
    assert set(LEVEL_1) <= set(outcome["confinement"]["mechanisms"])
    assert set(outcome["result"].values()) == {"EPERM", "EBADF", "ValueError"}
    assert "unprivileged_user" not in outcome["confinement"]["mechanisms"]  # it stays who it is
    namespaced = run(2, "echo", artifact, python=python, user=1000)
    if namespaced["error"] is None:  # where user namespaces are open to everybody
        assert namespaced["confinement"]["level"] == 2
        assert set(LEVEL_2) <= set(namespaced["confinement"]["mechanisms"])
    else:
        assert namespaced["error"]["code"] == "confinement_unavailable"
