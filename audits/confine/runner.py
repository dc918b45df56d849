"""The worker's side: one zygote per worker process, one confined child per job, one outcome per child.

Sync and free of Django. Fork-safe: a copy inherited through a fork lets go of the original and starts its
own.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from audits.checks.contract import Message
from audits.confine.frames import MESSAGE_LIMIT, encode
from audits.confine.outcome import ConfinedOutcome, Limits
from audits.confine.supervise import supervise
from audits.confine.warm import PRELOAD
from audits.confine.zygote import MAX_FILES

ENTRY: Final = "audits.checks.execute:execute"
START_SECONDS: Final = 180.0  # a cold disk and no byte code yet; 6 s when warm
_ROOT: Final = Path(__file__).resolve().parents[2]
_BOOT: Final = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from audits.confine.zygote import main; "
    "sys.exit(main(sys.argv[1:]))"
)

# One run, one thread: parallel sums differ between machines, and threads don't survive a fork. Workers are
# the parallelism. joblib without multiprocessing runs n_jobs=-1 in sequence; jemalloc would start a thread
# of its own.
_ENVIRONMENT: Final = {
    "PATH": "",
    "HOME": "/nonexistent",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "PYTHONHASHSEED": "0",
    "PYTHONUTF8": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "LOKY_MAX_CPU_COUNT": "1",
    "JOBLIB_MULTIPROCESSING": "0",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "MALLOC_ARENA_MAX": "2",
    "ORT_DISABLE_TELEMETRY": "1",  # onnxruntime ≥ 1.29 starts a thread that reports to its maker
    "ORT_TELEMETRY_DISABLED": "1",
}
_PASSED_ON: Final = ("LD_LIBRARY_PATH",)  # where an installation keeps its libraries; holds no secret


class ZygoteError(Exception):
    """The zygote could not be started; `message` has the code zygote_failed, the stage and the reason."""

    def __init__(self, stage: str, reason: str) -> None:
        self.message = Message("zygote_failed", {"stage": stage, "reason": reason})
        super().__init__(f"zygote failed at {stage}: {reason}")


class Zygote:
    """Runs foreign model files and datasets in locked children. One job at a time; callers of other threads
    wait.

    `preload` names the libraries loaded before the fork (`name.*` with all modules below). Nothing starts
    before the first job or `start`. The zygote process dies with this process, by whatever signal that
    goes.
    """

    def __init__(self, *, preload: tuple[str, ...] = PRELOAD, start_seconds: float = START_SECONDS) -> None:
        self._preload = preload
        self._start_seconds = start_seconds
        self._forget()

    def _forget(self) -> None:
        self._lock = threading.RLock()
        self._owner = os.getpid()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._libraries: dict[str, str] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()

    @property
    def pid(self) -> int | None:
        """Process id of the running zygote, None when there is none."""
        self._adopt()
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def libraries(self) -> dict[str, str]:
        """Versions of what is preloaded, empty before the start."""
        return dict(self._libraries)

    def start(self) -> None:
        """Start the zygote unless it runs. Raises ZygoteError."""
        self._adopt()
        with self._lock:
            if self.pid is None:
                self.close()
                self._start()

    def close(self) -> None:
        """Stop the zygote, and the job it may be running. Idempotent; a later `run` starts a new one."""
        self._adopt()
        with self._lock:
            control, process = self._control, self._process
            self._control = self._process = None
            if control is not None:
                # Not only close: a process forked from this one may hold a copy of the descriptor.
                with contextlib.suppress(OSError):
                    control.shutdown(socket.SHUT_RDWR)
                control.close()
            if process is not None:
                try:
                    process.wait(5)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def run(
        self,
        check_input: dict[str, Any],
        files: Mapping[str, Path | int],
        *,
        limits: Limits | None = None,
        required_level: int = 1,
        entry: str = ENTRY,
        digests: Mapping[str, str] | None = None,
        stopped: Callable[[], bool] | None = None,
    ) -> ConfinedOutcome:
        """Call `entry(check_input, {name: open binary file})` in a locked child and wait for its outcome.

        `files` are paths or descriptors of regular files; the child gets its own read-only descriptors.
        `digests` (`sha256:<hex>` by name) are checked on those descriptors before anything starts.
        The child is ended (`killed_by_signal`) soon after `stopped` says that nobody wants the answer.
        `entry` is `module:function`, our code, imported by the zygote before the fork. Whatever the foreign
        bytes do is in the outcome. Raises only for mistakes of the caller's: ValueError (a level that is
        not 1 or 2, not a regular file, too many files, a check_input that isn't JSON), OSError (a file that
        cannot be opened).
        """
        if required_level not in (1, 2):
            raise ValueError(f"required_level is 1 or 2, not {required_level!r}: below 1 nothing runs")
        if len(files) > MAX_FILES:
            raise ValueError(f"{len(files)} files; a job takes at most {MAX_FILES}")
        limits = limits or Limits()
        payload = encode(check_input)
        header = encode(
            {"entry": entry, "files": list(files), "limits": asdict(limits), "required_level": required_level}
        )
        if len(header) > MESSAGE_LIMIT:
            raise ValueError("the names of the files are too long")
        self._adopt()
        with self._lock, contextlib.ExitStack() as stack:
            handles = [stack.enter_context(_read_only(source)) for source in files.values()]
            for name, handle in zip(files, handles, strict=True):
                wanted = (digests or {}).get(name)
                if wanted is not None and (found := _digest(handle)) != wanted:
                    params = {"file": name, "expected": wanted, "found": found}
                    return ConfinedOutcome(error=Message("digest_mismatch", params))
            handles.insert(0, stack.enter_context(_in_memory(payload)))
            return self._run(header, handles, limits, required_level, stopped)

    def _run(
        self,
        header: bytes,
        handles: list[int],
        limits: Limits,
        required_level: int,
        stopped: Callable[[], bool] | None,
    ) -> ConfinedOutcome:
        try:
            self.start()
        except ZygoteError as error:
            return ConfinedOutcome(error=error.message)
        assert self._control is not None  # noqa: S101  (start has set it)
        try:
            outcome, alive = supervise(
                self._control, header, handles, limits, required_level, self._libraries, stopped
            )
        except BaseException:
            # An exception from a signal handler (a soft time limit): the zygote's last words are still in the
            # socket, and the next job would take them for its own.
            self._abort()
            raise
        if not alive:  # dead, hung or out of step: the next job gets a new one
            self._abort()
        return outcome

    def _adopt(self) -> None:
        """After a fork the zygote is the parent's: drop our copy of its socket without ending it."""
        if self._owner != os.getpid():
            control, process = self._control, self._process
            self._forget()
            if control is not None:
                control.close()
            if process is not None:
                process.returncode = 0  # not ours to wait for

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        log = os.memfd_create("zygote-errors", os.MFD_CLOEXEC)
        environment = _ENVIRONMENT | {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        arguments = (str(_ROOT), str(theirs.fileno()), str(os.getpid()), *self._preload)
        try:
            self._control = ours
            self._process = subprocess.Popen(
                [sys.executable, "-s", "-P", "-c", _BOOT, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=environment,
                cwd="/",
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # a Ctrl-C at the terminal is the worker's to handle
            )
            theirs.close()
            ours.settimeout(self._start_seconds)
            ready = ours.recv(MESSAGE_LIMIT)
            ours.settimeout(None)
            if not ready:
                self._process.wait(5)
                raise ZygoteError("start", _last_line(log) or f"exit status {self._process.returncode}")
            self._libraries = json.loads(ready)["libraries"]
        except (OSError, subprocess.TimeoutExpired) as error:
            self._abort()
            raise ZygoteError("start", f"{type(error).__name__}: {error}") from error
        except BaseException:
            self._abort()
            raise
        finally:
            theirs.close()
            os.close(log)

    def _abort(self) -> None:
        if self._process is not None:
            self._process.kill()
        self.close()


@contextlib.contextmanager
def _read_only(source: Path | int) -> Iterator[int]:
    """A descriptor with its own offset that can only read. Reopened even when a descriptor is given: the
    child must neither write through it nor move the caller's position."""
    path = f"/proc/self/fd/{source}" if isinstance(source, int) else source
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO must not hang the worker
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError(f"{source} is not a regular file")
        yield descriptor
    finally:
        os.close(descriptor)


def _digest(descriptor: int) -> str:
    """Of the very descriptor the child will get; its position is left alone."""
    sha256, offset = hashlib.sha256(), 0
    while chunk := os.pread(descriptor, 1 << 20, offset):
        sha256.update(chunk)
        offset += len(chunk)
    return f"sha256:{sha256.hexdigest()}"


@contextlib.contextmanager
def _in_memory(payload: bytes) -> Iterator[int]:
    descriptor = os.memfd_create("check-input", os.MFD_CLOEXEC)
    try:
        view = memoryview(payload)
        while view:
            view = view[os.write(descriptor, view) :]
        yield descriptor
    finally:
        os.close(descriptor)


def _last_line(log: int) -> str:
    size = os.fstat(log).st_size
    lines = os.pread(log, 4096, max(0, size - 4096)).decode(errors="replace").strip().splitlines()
    return lines[-1][:500] if lines else ""
