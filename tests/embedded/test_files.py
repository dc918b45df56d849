from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from governance.embedded.errors import EmbeddedError
from governance.embedded.files import (
    open_log,
    private_folder,
    runtime_folder,
    tail,
    try_lock,
    write_private,
)

from .conftest import root_only

SELF = os.geteuid(), os.getegid()


@pytest.fixture(autouse=True)
def _runtime(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("CRIVO_RUNTIME_DIR", str(home))


def refused(home: Path) -> str:
    with pytest.raises(EmbeddedError) as caught:
        runtime_folder(home, *SELF)
    return caught.value.code


def test_runtime_folder_is_private_and_the_same_every_time(home: Path) -> None:
    folder = runtime_folder(home, *SELF)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert runtime_folder(home, *SELF) == folder
    assert runtime_folder(home / "other", *SELF) != folder


def test_runtime_folder_is_not_made_when_only_looked_for(home: Path) -> None:
    with pytest.raises(FileNotFoundError):
        runtime_folder(home, *SELF, make=False)
    assert list(home.iterdir()) == []


def test_runtime_folder_open_to_others_is_refused(home: Path) -> None:
    runtime_folder(home, *SELF).chmod(0o750)
    assert refused(home) == "runtime_folder_squatted"


def test_runtime_folder_that_is_a_link_is_refused(home: Path) -> None:
    folder = runtime_folder(home, *SELF)
    folder.rmdir()
    elsewhere = home / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    folder.symlink_to(elsewhere)
    assert refused(home) == "runtime_folder_squatted"


def test_runtime_folder_that_is_a_file_is_refused(home: Path) -> None:
    folder = runtime_folder(home, *SELF)
    folder.rmdir()
    folder.touch(mode=0o600)
    assert refused(home) == "runtime_folder_squatted"


@root_only
def test_runtime_folder_of_somebody_else_is_refused(home: Path) -> None:
    os.chown(runtime_folder(home, *SELF), 65534, 65534)
    assert refused(home) == "runtime_folder_squatted"


def test_runtime_folder_too_long_for_a_socket_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fixed = len(os.fsencode(runtime_folder(home, *SELF) / ".s.PGSQL.5432")) - len(os.fsencode(home))
    for length, accepted in ((107 - fixed, True), (108 - fixed, False)):
        base = home / ("x" * (length - len(os.fsencode(home)) - 1))
        base.mkdir()
        monkeypatch.setenv("CRIVO_RUNTIME_DIR", str(base))
        if accepted:
            assert len(os.fsencode(runtime_folder(home, *SELF) / ".s.PGSQL.5432")) == 107
        else:
            assert refused(home) == "socket_path_too_long"


def test_private_folder_is_closed_even_if_it_was_open(home: Path) -> None:
    folder = home / "a" / "b"
    folder.mkdir(parents=True, mode=0o755)
    assert stat.S_IMODE(private_folder(folder).stat().st_mode) == 0o700


@root_only
def test_private_folder_of_somebody_else_is_refused(home: Path) -> None:
    os.chown(home, 65534, 65534)
    with pytest.raises(EmbeddedError, match="belongs to user id 65534") as caught:
        private_folder(home)
    assert caught.value.code == "foreign_folder"


def test_write_private_replaces_whole_and_leaves_nothing_beside(home: Path) -> None:
    path = home / "secret"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, "new")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(UnicodeEncodeError):
        write_private(path, "half \udce9")
    assert path.read_text() == "new"
    assert [entry.name for entry in home.iterdir()] == ["secret"]


def test_a_lock_lives_as_long_as_a_child_that_inherited_it(home: Path) -> None:
    path = home / "lock"
    held = try_lock(path)
    assert held is not None
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[held])
    os.close(held)
    assert try_lock(path) is None
    child.kill()
    child.wait()
    free = try_lock(path)
    assert free is not None
    os.close(free)


def test_log_is_set_aside_when_it_is_long(home: Path) -> None:
    path = home / "x.log"
    path.write_text("12345")
    os.close(open_log(path, keep_bytes=5))
    assert path.read_text() == "12345"
    os.close(open_log(path, keep_bytes=4))
    assert path.read_text() == ""
    assert (home / "x.log.1").read_text() == "12345"


def test_tail_counts_from_where_a_process_began(home: Path) -> None:
    path = home / "x.log"
    path.write_text("old\nnew 1\nnew 2\n")
    assert tail(path, since=4) == ["new 1", "new 2"]
    assert tail(path, lines=1) == ["new 2"]
    assert tail(home / "absent") == []
