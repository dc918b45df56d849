from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from audits.confine import ConfinedOutcome, Limits, Zygote

SMALL = {"wall_seconds": 10.0, "cpu_seconds": 5, "memory_bytes": 256 << 20, "output_bytes": 1 << 20}
Run = Callable[..., ConfinedOutcome]


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    """A zygote without libraries: the lock is the same, and it starts in 0.1 s."""
    with Zygote(preload=()) as started:
        if started.run({}, {}, entry="tests.confine.probes:echo").error is not None:
            pytest.skip("this machine cannot confine at level 1 (Landlock and seccomp)")
        yield started


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    path = tmp_path / "artifact"
    path.write_text("hello")
    return path


@pytest.fixture
def probe(zygote: Zygote, artifact: Path) -> Iterator[Run]:
    """Run a probe with small limits. Whatever it did, the same zygote serves the next job and nothing is
    left.
    """
    pid = zygote.pid

    def run(name: str, check_input: dict[str, Any] | None = None, **limits: Any) -> ConfinedOutcome:
        return zygote.run(
            check_input or {},
            {"artifact": artifact},
            limits=Limits(**{**SMALL, **limits}),
            entry=f"tests.confine.probes:{name}",
        )

    yield run
    after = run("echo", {"next": 1})
    assert after.error is None
    assert after.result == {"input": {"next": 1}, "files": {"artifact": "hello"}}
    assert zygote.pid == pid
    assert children(pid) == []


def children(pid: int | None) -> list[int]:
    """Child processes of `pid`, zombies included."""
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
