from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from governance.embedded import setup
from governance.embedded.errors import EmbeddedError
from governance.embedded.processes import PROCESSES, SETUP, Process, Step, chosen

APPEND = "import sys; open('ran', 'a').write('x'); print('working'); sys.exit(int(open('status').read()))"


@pytest.fixture
def project(home: Path) -> Path:
    folder = home / "project"
    (folder / "app" / "migrations").mkdir(parents=True)
    (folder / "app" / "migrations" / "0001.py").write_text("first")
    (folder / "status").write_text("0")
    return folder


STEP = Step("migrate", "Migrating", (sys.executable, "-c", APPEND), changed=("*/migrations/*.py",))


def go(project: Path, *steps: Step, home: str = "home") -> tuple[list[str], list[str]]:
    said: list[str] = []
    ran = setup.run(
        steps,
        home=project.parent / home,
        checkout_home=project / ".crivo",
        project=project,
        env=os.environ,
        report=said.append,
    )
    return ran, said


def test_a_step_runs_again_only_when_what_it_depends_on_changed(project: Path) -> None:
    assert go(project, STEP)[0] == ["migrate"]
    assert go(project, STEP) == ([], [])
    (project / "app" / "migrations" / "0002.py").write_text("second")
    assert go(project, STEP)[0] == ["migrate"]
    (project / "app" / "migrations" / "0002.py").write_text("changed")
    assert go(project, STEP)[0] == ["migrate"]
    (project / "app" / "migrations" / "0002.py").unlink()
    assert go(project, STEP)[0] == ["migrate"]
    (project / "app" / "other.py").write_text("unrelated")
    assert go(project, STEP)[0] == []
    assert go(project, replace(STEP, command=(*STEP.command, "--new")))[0] == ["migrate"]
    assert (project / "ran").read_text() == "xxxxx"


def test_what_lies_in_the_home_folder_is_made_for_each_and_what_lies_in_the_checkout_once(
    project: Path,
) -> None:
    shared = replace(STEP, name="static", keeps="checkout")
    assert go(project, STEP, shared)[0] == ["migrate", "static"]
    assert go(project, STEP, shared, home="another")[0] == ["migrate"]


def test_a_failed_step_is_told_and_tried_again(project: Path) -> None:
    later = replace(STEP, name="later")
    (project / "status").write_text("3")
    with pytest.raises(EmbeddedError, match=r"Migrating failed \(status 3") as caught:
        go(project, STEP, later)
    assert caught.value.code == "setup_failed"
    assert "working" in str(caught.value)
    (project / "status").write_text("0")
    assert go(project, STEP, later)[0] == ["migrate", "later"]


def test_a_step_that_failed_after_it_had_succeeded_is_not_taken_for_done(project: Path) -> None:
    go(project, STEP)
    (project / "app" / "migrations" / "0001.py").write_text("changed")
    (project / "status").write_text("1")
    with pytest.raises(EmbeddedError):
        go(project, STEP)
    (project / "app" / "migrations" / "0001.py").write_text("first")  # the stamp of the first run would match
    (project / "status").write_text("0")
    assert go(project, STEP)[0] == ["migrate"]


def test_output_is_shown_only_where_it_is_progress(project: Path) -> None:
    assert "  working" not in go(project, STEP)[1]
    assert "  working" in go(project, replace(STEP, name="loud", show=True))[1]
    assert (project.parent / "home" / "logs" / "setup.log").read_text() == "working\n" * 2


def test_torn_stamps_mean_nothing_is_done(project: Path) -> None:
    go(project, STEP)
    (project.parent / "home" / "setup.json").write_text('{"migrate": ')
    assert go(project, STEP)[0] == ["migrate"]


def test_always_means_always(project: Path) -> None:
    step = replace(STEP, always=True)
    assert [go(project, step)[0], go(project, step)[0]] == [["migrate"], ["migrate"]]


def test_the_tables_have_no_name_twice_and_nothing_that_serves_migrates() -> None:
    assert len({step.name for step in SETUP}) == len(SETUP)
    assert len({process.name for process in PROCESSES}) == len(PROCESSES)
    assert [process.name for process in PROCESSES if process.migrates] == []
    assert [process.name for process in PROCESSES if process.listens] == ["web"]


def test_processes_are_chosen_by_name_or_given() -> None:
    own = Process("own", ("true",), stop=(), wave=0)
    assert [process.name for process in chosen(["web", own])] == ["web", "own"]
    with pytest.raises(ValueError, match="'wbe'"):
        chosen(["wbe"])
