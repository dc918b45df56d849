"""The zygote: loads the libraries once, holds no secret and no connection, and forks one locked child per
job.

Started by `runner.Zygote` as `python -s -P -c BOOT ROOT CONTROL_FD PARENT_PID PRELOAD…` in an empty
environment. It never reads a foreign byte: descriptors pass through it. It serves one job at a time, has
one thread, and goes when its parent closes the socket or dies.

On the socket (SOCK_SEQPACKET): a job is {"entry", "files": [names], "limits", "required_level"} with
descriptors [check input, result pipe, files…]; the answers are {"pid"} with a pidfd, then {"status",
"max_rss_bytes", "cpu_seconds"}; or one {"failed": reason}.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from audits.confine import job, warm
from audits.confine.frames import MESSAGE_LIMIT
from audits.confine.outcome import Limits

MAX_FILES = 64


@dataclass(frozen=True)
class _Order:
    entry: str
    files: list[str]
    limits: Limits
    required_level: int


def main(argv: list[str]) -> int:
    """Run until the parent goes. `argv`: control descriptor, parent's pid, names to preload."""
    control = socket.socket(fileno=int(argv[0]))
    parent = os.pidfd_open(int(argv[1]))
    if os.getppid() != int(argv[1]):  # it died before the pidfd named it
        return 1
    versions = warm.preload(argv[2:])
    warm.rehearse()
    root = _empty_directory()
    gc.collect()
    gc.freeze()  # children share these pages: a collection in a child must not write to them
    _send(control, {"ready": True, "libraries": versions})
    while True:
        with selectors.DefaultSelector() as selector:
            selector.register(control, selectors.EVENT_READ)
            selector.register(parent, selectors.EVENT_READ)
            if any(key.fileobj == parent for key, _ in selector.select()):
                return 0
        message, descriptors, _, _ = socket.recv_fds(control, MESSAGE_LIMIT, MAX_FILES + 2)
        if not message:
            return 0
        try:
            _serve(control, parent, root, message, descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)


def _send(control: socket.socket, value: dict[str, Any], descriptors: tuple[int, ...] = ()) -> None:
    socket.send_fds(control, [json.dumps(value).encode()], descriptors)


def _empty_directory() -> int | None:
    """A descriptor of a directory that is empty and removed: nothing can ever be created in it."""
    try:
        path = tempfile.mkdtemp(prefix="confine-")
        os.chmod(path, 0o755)  # noqa: S103  (empty, and gone on the next line but one)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        os.rmdir(path)
    except OSError:
        return None
    return descriptor


def _resolve(entry: str) -> Callable[..., Any]:
    module, _, name = entry.partition(":")
    return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]


def _serve(
    control: socket.socket, parent: int, root: int | None, message: bytes, descriptors: list[int]
) -> None:
    try:
        order = json.loads(message)
        order = _Order(**{**order, "limits": Limits(**order["limits"])})
        function = _resolve(
            order.entry
        )  # our own code, imported before the fork: the child can import nothing
    except Exception as error:
        _send(control, {"failed": f"{type(error).__name__}: {error}"[:500]})
        return
    threads = len(os.listdir("/proc/self/task"))
    if threads != 1:  # a fork would copy the locks of the other threads, held for ever
        _send(control, {"failed": f"{threads} threads before the fork"})
        return
    me = os.getpid()
    pid = os.fork()
    if pid == 0:
        _child(me, root, order, function, descriptors)
    pidfd = os.pidfd_open(pid)  # not reaped yet, so it cannot name anybody else
    try:
        _send(control, {"pid": pid}, (pidfd,))
        status = _wait(control, parent, pid, pidfd)
        _send(control, status)
    except OSError:  # the parent has gone
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    finally:
        os.close(pidfd)


def _wait(control: socket.socket, parent: int, pid: int, pidfd: int) -> dict[str, Any]:
    """Reap the child; kill it as soon as nobody waits for its answer any more."""
    with selectors.DefaultSelector() as selector:
        for source in (control, parent, pidfd):
            selector.register(source, selectors.EVENT_READ)
        if not any(key.fileobj == pidfd for key, _ in selector.select()):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    _, status, usage = os.wait4(pid, 0)
    return {
        "status": os.waitstatus_to_exitcode(status),
        "max_rss_bytes": usage.ru_maxrss * 1024,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
    }


def _child(
    me: int, root: int | None, order: _Order, function: Callable[..., Any], descriptors: list[int]
) -> NoReturn:
    """Never returns into the zygote's loop, whatever happens."""
    try:
        job.run(
            function,
            check_input=descriptors[0],
            result=descriptors[1],
            files=dict(zip(order.files, descriptors[2:], strict=True)),
            limits=order.limits,
            required_level=order.required_level,
            parent=me,
            empty_root=root,
        )
    finally:
        os._exit(70)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
