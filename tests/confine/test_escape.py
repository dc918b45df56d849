"""Attacks by code that already runs in the child, and by pickles that bring it."""

from __future__ import annotations

import os
import pickle
import platform
import subprocess
from pathlib import Path
from typing import Any

import pytest

from audits.checks.contract import Message
from audits.confine import LEVEL_1, Zygote
from tests.confine.conftest import Run, as_root

only_x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers are those of x86_64")


def test_every_door_is_closed_from_python(probe: Run, artifact: Path) -> None:
    before = artifact.stat()
    outcome = probe("escapes")
    assert outcome.error is None
    assert outcome.result is not None
    expected = dict.fromkeys(outcome.result, "EPERM") | {
        "write_artifact": "EBADF",
        "raise_limits": "ValueError",
    }
    assert outcome.result == expected
    assert len(outcome.result) == 44
    after = artifact.stat()
    assert (after.st_mode, after.st_mtime_ns, after.st_size) == (before.st_mode, before.st_mtime_ns, 5)
    assert not Path("/tmp/escaped").exists()


@only_x86
def test_every_door_is_closed_past_the_wrappers(probe: Run) -> None:
    outcome = probe("raw_calls")
    assert outcome.result is not None
    expected = dict.fromkeys(outcome.result, "EPERM") | {
        "clone3": "ENOSYS",
        "future_call": "ENOSYS",
        "stat_by_hand": "ENOENT",
    }
    assert outcome.result == expected
    assert len(outcome.result) == 39


@only_x86
@pytest.mark.parametrize("entry", ["other_architecture", "int80"])
def test_other_numberings_of_system_calls_kill(probe: Run, entry: str) -> None:
    outcome = probe(entry)
    # Where the kernel is built without 32-bit calls the gate itself faults.
    assert outcome.error in (
        Message("killed_by_signal", {"signal": "SIGSYS"}),
        Message("killed_by_signal", {"signal": "SIGSEGV"}),
    )


def test_child_sees_no_secret_and_no_connection(
    zygote: Zygote, artifact: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SECRET_KEY", "canary-4711")
    monkeypatch.setenv("DATABASE_URL", "postgres://canary-4711")
    leak = os.open(tmp_path / "open-in-the-worker", os.O_CREAT | os.O_RDWR)
    os.set_inheritable(leak, True)
    try:
        with Zygote(preload=()) as fresh:
            outcome = fresh.run({}, {"artifact": artifact}, entry="tests.confine.probes:surroundings")
            with open(f"/proc/{fresh.pid}/environ", "rb") as file:
                assert b"canary" not in file.read()
    finally:
        os.close(leak)
    assert outcome.result is not None
    seen = outcome.result
    assert "SECRET_KEY" not in seen["environment"]
    assert "DATABASE_URL" not in seen["environment"]
    assert seen["descriptors"] == 5  # three times /dev/null, the artefact, the result pipe
    assert seen["standard_are_null"] == [True, True, True]
    assert (seen["uid_is_root"], seen["django"], seen["database"]) == (False, False, False)


def test_strings_hash_alike_in_every_zygote(artifact: Path) -> None:
    """Same input, same bytes: the order of a set of names must not depend on the process."""
    hashes = set()
    for _ in range(2):
        with Zygote(preload=()) as fresh:
            outcome = fresh.run({}, {"artifact": artifact}, entry="tests.confine.probes:surroundings")
            assert outcome.result is not None
            hashes.add(outcome.result["hash"])
    assert len(hashes) == 1


class Runs:
    """Pickles as a call of `function(*arguments)`."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call


MARK = "/tmp/confine-escape-marker"


@pytest.mark.parametrize(
    ("payload", "exception"),
    [
        (Runs(subprocess.check_output, ["touch", MARK]), "PermissionError"),
        (Runs(os.fork), "PermissionError"),
        (Runs(open, MARK, "w"), "PermissionError"),
        (Runs(open, "/proc/self/environ"), "PermissionError"),
        (Runs(os.kill, os.getpid(), 9), "PermissionError"),
        (Runs(__import__, "this"), "ModuleNotFoundError"),
        (Runs(exec, "import socket; socket.create_connection(('127.0.0.1', 1))"), "PermissionError"),
        (Runs(exec, "raise SystemExit(0)"), "SystemExit"),
        (Runs(exec, "raise KeyboardInterrupt"), "KeyboardInterrupt"),
    ],
    ids=["subprocess", "fork", "write", "environ", "kill", "import", "connect", "exit", "interrupt"],
)
def test_pickle_that_runs_code(probe: Run, artifact: Path, payload: Runs, exception: str) -> None:
    artifact.write_bytes(pickle.dumps(payload))
    try:
        outcome = probe("unpickle")
        assert not Path(MARK).exists()
    finally:
        artifact.write_text("hello")
    assert outcome.result is None
    assert outcome.error is not None
    assert outcome.error.code == "check_crashed"
    assert outcome.error.params["exception"] == exception


def test_pickle_that_calls_system(probe: Run, artifact: Path) -> None:
    artifact.write_bytes(pickle.dumps(Runs(os.system, f"touch {MARK}")))
    outcome = probe("unpickle")
    artifact.write_text("hello")
    assert not Path(MARK).exists()
    assert outcome.result in ({"loaded": "-1"}, {"loaded": "32512"})  # no process; 127 << 8 with newer libcs


def test_fork_bomb_forks_nothing(probe: Run) -> None:
    assert probe("fork_bomb").result == {"refused": 10_000}


def test_threads_are_allowed_and_counted(probe: Run) -> None:
    assert probe("threads").result == {"ran": list(range(8))}
    bomb = probe("thread_bomb", threads=40)
    assert bomb.confinement is not None
    assert bomb.result is not None
    if bomb.confinement.level == 2:
        assert bomb.result == {"threads": 39}  # and the main one
    else:
        assert bomb.result["threads"] <= 5000


def test_confinement_is_that_of_the_kernel(probe: Run) -> None:
    outcome = probe("seccomp_mode")
    assert outcome.result == {"seccomp": 2, "no_new_privs": 1}
    assert outcome.confinement is not None
    assert set(LEVEL_1) <= set(outcome.confinement.mechanisms)


@as_root
def test_root_becomes_nobody(probe: Run) -> None:
    outcome = probe("echo")
    assert outcome.confinement is not None
    assert {"unprivileged_user", "capabilities_dropped", "bounding_set_empty"} <= set(
        outcome.confinement.mechanisms
    )
