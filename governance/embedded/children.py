"""Starting and ending child processes: each in a session of its own, none outliving its parent."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

LAUNCHER = Path(__file__).with_name("launch.py")


def launch(
    command: Sequence[str | Path],
    *,
    stdin: int | None = subprocess.DEVNULL,
    stdout: int | None = None,
    stderr: int | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    death_signal: signal.Signals = signal.SIGTERM,
    pass_fds: Sequence[int] = (),
    user: tuple[int, int] | None = None,
    namespace: tuple[int, int] | None = None,
    own_session: bool = True,
) -> subprocess.Popen[bytes]:
    """Start ``command``; it gets ``death_signal`` when this process ends for whatever reason.

    The kernel counts the *thread* that called this as the parent, so call it from one that stays.
    In its own session a child sees no Ctrl-C of the terminal: who started it decides when and in which order
    it ends. ``user`` and ``namespace`` are (uid, gid), see launch.py.
    """
    parts = [str(part) for part in command]
    parts[0] = shutil.which(parts[0], path=None if env is None else env.get("PATH")) or parts[0]
    options = {"parent": os.getpid(), "death_signal": int(death_signal), "user": user, "namespace": namespace}
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(LAUNCHER), json.dumps(options), *parts],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        cwd=cwd,
        env=None if env is None else dict(env),
        pass_fds=tuple(pass_fds),
        start_new_session=own_session,
    )


def exited(child: subprocess.Popen[bytes]) -> bool:
    """Whether ``child`` ended. Unlike ``poll`` it leaves the process id taken, see ``reap``."""
    if child.returncode is not None:
        return True
    return os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def wait(child: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether ``child`` ended within ``seconds``; does not reap it."""
    deadline = time.monotonic() + seconds
    while not exited(child):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def reap(child: subprocess.Popen[bytes]) -> int:
    """Kill what is left of the session ``child`` led, take its exit status and return it.

    In this order: until it is reaped its id, which is the group's too, cannot be given to anybody else, so
    the signal can hit nobody else. Returns once they are all gone: a killed process still holds its
    sockets and locks for a moment.
    """
    if child.returncode is None:
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        deadline = time.monotonic() + 5.0
        while _group_lives(child.pid) and time.monotonic() < deadline:
            time.sleep(0.005)
    return child.wait()


def _group_lives(group: int) -> bool:
    """Whether a process of ``group`` lives; one that only waits to be reaped does not."""
    for folder in os.scandir("/proc"):
        if folder.name.isdecimal():
            fields = _stat(int(folder.name))
            if fields is not None and int(fields[2]) == group:
                return True
    return False


def _stat(pid: int) -> list[str] | None:
    """State, parent, group … of a living process as proc_pid_stat(5) lists them after its name."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name in parentheses may hold anything, a closing parenthesis included: count from the last one.
    fields = text.rpartition(")")[2].split()
    if not fields or (fields[0] in "ZX" and int(fields[17]) <= 1):
        # With other threads left (num_threads) it is only the first one that ended: files are still open.
        return None
    return fields


def end(child: subprocess.Popen[bytes], steps: Sequence[tuple[signal.Signals, float]]) -> int:
    """Ask ``child`` to end: each signal with the seconds it is given, then SIGKILL for its whole session."""
    for number, seconds in steps:
        if exited(child):
            break
        os.kill(child.pid, number)
        if wait(child, seconds):
            break
    return reap(child)


def parent_of(pid: int) -> int | None:
    """The parent of process ``pid`` as /proc tells it, None when there is no such process."""
    fields = _stat(pid)
    return None if fields is None else int(fields[1])


def wait_until_gone(pid: int, seconds: float) -> bool:
    """Whether process ``pid`` (not necessarily a child) ended within ``seconds``."""
    deadline = time.monotonic() + seconds
    while parent_of(pid) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
