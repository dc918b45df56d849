"""The life of the zygote: restarts, forks, signals, parents that die."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import FrameType

import pytest

from audits.checks.contract import Message
from audits.confine import Limits, Zygote, ZygoteError
from tests.confine.conftest import alive, children

ROOT = Path(__file__).resolve().parents[2]
ECHO = "tests.confine.probes:echo"
SLEEPER = "tests.confine.probes:sleeper"


def wait_until(condition: object, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "never happened"
        time.sleep(0.01)


def test_dead_zygote_is_replaced(zygote: Zygote) -> None:
    first = zygote.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: not alive(first))
    assert zygote.run({}, {}, entry=ECHO).error is None
    assert zygote.pid not in (None, first)


def test_zygote_killed_during_a_job(zygote: Zygote) -> None:
    zygote.start()
    first = zygote.pid
    assert first is not None
    seen: list[int] = []

    def kill() -> None:
        wait_until(lambda: children(first) != [])
        seen.extend(children(first))
        os.kill(first, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    outcome = zygote.run({}, {}, entry=SLEEPER)
    killer.join()
    assert outcome.error is not None
    assert outcome.error.code == "zygote_failed"
    assert outcome.error.params["stage"] == "run"
    wait_until(lambda: not alive(seen[0]))  # the child went with it
    assert zygote.run({}, {}, entry=ECHO).error is None


class SoftTimeLimit(Exception):
    pass


def test_interrupted_worker_leaves_no_child_and_no_stale_answer(zygote: Zygote) -> None:
    """As celery's soft time limit does: an exception out of a signal handler, in the middle of `run`."""
    zygote.start()
    first = zygote.pid
    assert first is not None

    def handler(number: int, frame: FrameType | None) -> None:
        raise SoftTimeLimit

    old = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(SoftTimeLimit):
            zygote.run({}, {}, entry=SLEEPER)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    wait_until(lambda: not alive(first))
    outcome = zygote.run({"job": 2}, {}, entry=ECHO)
    assert outcome.result == {"input": {"job": 2}, "files": {}}


def test_close_is_idempotent_and_leaves_no_zombie() -> None:
    zygote = Zygote(preload=())
    zygote.close()
    assert zygote.pid is None
    zygote.start()
    pid = zygote.pid
    assert pid is not None
    zygote.close()
    zygote.close()
    assert not Path(f"/proc/{pid}").exists()
    assert zygote.run({}, {}, entry=ECHO).error is None
    zygote.close()


def test_forked_worker_starts_its_own(zygote: Zygote) -> None:
    """celery forks: an inherited object must neither use nor stop the zygote of the parent."""
    zygote.start()
    mine = zygote.pid
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            before = zygote.pid
            outcome = zygote.run({"in": "fork"}, {}, entry=ECHO)
            os.write(writing, json.dumps([before, zygote.pid, outcome.result]).encode())
            zygote.close()
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        before, theirs, result = json.loads(pipe.read())
    os.waitpid(pid, 0)
    assert before is None
    assert theirs not in (None, mine)
    assert result == {"input": {"in": "fork"}, "files": {}}
    assert zygote.pid == mine
    assert zygote.run({}, {}, entry=ECHO).error is None


WORKER = """
import sys
sys.path.insert(0, sys.argv[1])
from audits.confine import Zygote
zygote = Zygote(preload=())
zygote.start()
print(zygote.pid, flush=True)
zygote.run({}, {}, entry="tests.confine.probes:sleeper")
"""


def test_everything_dies_with_a_killed_worker() -> None:
    worker = subprocess.Popen([sys.executable, "-c", WORKER, str(ROOT)], stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    zygote = int(worker.stdout.readline())
    wait_until(lambda: children(zygote) != [])
    (job,) = children(zygote)
    worker.kill()
    worker.wait()
    worker.stdout.close()
    wait_until(lambda: not alive(zygote) and not alive(job))


def test_daemonic_process_may_run_jobs() -> None:
    """celery's prefork workers are daemonic, which forbids them multiprocessing children."""
    import multiprocessing

    context = multiprocessing.get_context("fork")
    receiving, sending = context.Pipe(duplex=False)

    def work() -> None:
        with Zygote(preload=()) as zygote:
            sending.send(zygote.run({}, {}, entry=ECHO).result)

    process = context.Process(target=work, daemon=True)
    process.start()
    assert receiving.poll(30)
    assert receiving.recv() == {"input": {}, "files": {}}
    process.join()


def test_threads_take_turns(zygote: Zygote) -> None:
    results: list[object] = []

    def work(number: int) -> None:
        results.append(zygote.run({"n": number}, {}, entry=ECHO).result)

    crowd = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    assert sorted(results, key=str) == [{"input": {"n": n}, "files": {}} for n in range(6)]


def test_start_that_fails_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audits.confine.runner._ROOT", Path("/nonexistent"))
    zygote = Zygote(preload=())
    outcome = zygote.run({}, {}, entry=ECHO)
    assert outcome.error is not None
    assert outcome.error.code == "zygote_failed"
    assert outcome.error.params == {
        "stage": "start",
        "reason": "ModuleNotFoundError: No module named 'audits'",
    }
    assert outcome.confinement is None
    with pytest.raises(ZygoteError, match="No module named"):
        zygote.start()
    assert zygote.pid is None


def test_start_that_hangs_is_given_up() -> None:
    zygote = Zygote(preload=("tests.confine.slow_start",), start_seconds=0.5)
    with pytest.raises(ZygoteError, match="Timeout"):
        zygote.start()
    assert zygote.pid is None


def test_preload_with_threads_is_refused() -> None:
    """A fork copies the locks other threads hold, and they are never released."""
    with Zygote(preload=("tests.confine.starts_thread",)) as zygote:
        outcome = zygote.run({}, {}, entry=ECHO)
        assert outcome.error is not None
        assert outcome.error.params == {"stage": "fork", "reason": "2 threads before the fork"}


def test_files_by_descriptor_are_reopened_read_only(zygote: Zygote, tmp_path: Path) -> None:
    path = tmp_path / "blob"
    path.write_text("bytes")
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.lseek(descriptor, 3, os.SEEK_SET)
        path.unlink()  # the blob store may clean up meanwhile
        files = {"artifact": descriptor}
        assert zygote.run({}, files, entry=ECHO).result == {"input": {}, "files": {"artifact": "bytes"}}
        assert os.lseek(descriptor, 0, os.SEEK_CUR) == 3
        doors = zygote.run({}, files, entry="tests.confine.probes:escapes").result
        assert doors is not None
        assert doors["write_artifact"] == "EBADF"
    finally:
        os.close(descriptor)


def test_digest_is_checked_before_anything_runs(zygote: Zygote, artifact: Path) -> None:
    right = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    assert zygote.run({}, {"artifact": artifact}, entry=ECHO, digests={"artifact": right}).error is None
    wrong = "sha256:" + "0" * 64
    outcome = zygote.run({}, {"artifact": artifact}, entry=ECHO, digests={"artifact": wrong})
    assert outcome.result is None
    assert outcome.confinement is None
    assert outcome.error == Message(
        "digest_mismatch", {"file": "artifact", "expected": wrong, "found": right}
    )


def test_no_descriptor_leaks(zygote: Zygote, tmp_path: Path) -> None:
    path = tmp_path / "blob"
    path.write_text("bytes")
    zygote.start()

    def count() -> tuple[int, int]:
        time.sleep(0.1)  # the zygote goes back to its selector, itself a descriptor
        return len(os.listdir("/proc/self/fd")), len(os.listdir(f"/proc/{zygote.pid}/fd"))

    zygote.run({}, {"artifact": path}, entry=ECHO)
    before = count()
    for _ in range(10):
        zygote.run({}, {"artifact": path}, entry=ECHO)
        zygote.run({}, {}, limits=Limits(wall_seconds=0.01), entry=SLEEPER)
    assert count() == before


def test_mistakes_of_the_caller(zygote: Zygote, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        zygote.run({}, {"artifact": tmp_path / "missing"}, entry=ECHO)
    with pytest.raises(ValueError, match="not a regular file"):
        zygote.run({}, {"artifact": tmp_path}, entry=ECHO)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ValueError, match="not a regular file"):
        zygote.run({}, {"artifact": tmp_path / "fifo"}, entry=ECHO)
    with pytest.raises(ValueError, match="required_level"):
        zygote.run({}, {}, required_level=0, entry=ECHO)
    with pytest.raises(ValueError, match="at most 64"):
        zygote.run({}, {str(n): tmp_path for n in range(65)}, entry=ECHO)
    with pytest.raises(ValueError, match="JSON"):
        zygote.run({"x": float("nan")}, {}, entry=ECHO)


def test_zygote_that_hangs_is_named_and_replaced(zygote: Zygote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audits.confine.supervise.GRACE_SECONDS", 0.3)
    zygote.start()
    first = zygote.pid
    assert first is not None
    os.kill(first, signal.SIGSTOP)
    outcome = zygote.run({}, {}, limits=Limits(wall_seconds=0.2), entry=ECHO)
    assert outcome.error == Message("zygote_failed", {"stage": "run", "reason": "no answer"})
    assert not alive(first)
    assert zygote.run({}, {}, entry=ECHO).error is None
