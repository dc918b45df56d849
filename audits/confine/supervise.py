"""Watching one job from the worker: the clock, the pipe, the zygote; and naming what happened.

A killed child, a full pipe, a dead zygote and a child that lies about its result all end here, as one
outcome.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import selectors
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from audits.checks.contract import Message
from audits.confine.frames import MESSAGE_LIMIT, Frames, GarbledError, decode
from audits.confine.outcome import ConfinedOutcome, Confinement, Limits

CHUNK: Final = 1 << 16
GRACE_SECONDS: Final = 10.0  # from SIGKILL to the zygote's word that the child is gone
STOP_SECONDS: Final = 0.5  # how long a child that nobody waits for may go on
_CODE = re.compile(r"[a-z][a-z0-9_.]{0,63}")


@dataclass
class _Job:
    """What is known of the child so far."""

    frames: Frames
    deadline: float
    pidfd: int | None = None
    killed: Literal["timeout", "output", "stopped"] | None = None
    status: dict[str, Any] | None = None
    failed: str | None = None  # the zygote is not to be trusted any further
    refused: str | None = None  # the zygote did not fork, and is fine
    ooms: int = field(default_factory=lambda: _oom_kills())

    def kill(self, reason: Literal["timeout", "output", "stopped"]) -> None:
        self.killed = self.killed or reason
        self.deadline = time.monotonic() + GRACE_SECONDS
        self.end()

    def end(self) -> None:
        if self.pidfd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)


def supervise(
    control: socket.socket,
    header: bytes,
    handles: list[int],
    limits: Limits,
    required_level: int,
    libraries: dict[str, str],
    stopped: Callable[[], bool] | None = None,
) -> tuple[ConfinedOutcome, bool]:
    """Send one job to the zygote and wait. `handles`: check input and files. `stopped`: asked now and then,
    does nobody want the answer any more? Second value: may the zygote go on?
    """
    started = time.monotonic()
    job = _Job(frames=Frames(limits.output_bytes), deadline=started + limits.wall_seconds)
    reading, writing = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(reading, False)
    try:
        try:
            socket.send_fds(control, [header], [handles[0], writing, *handles[1:]])
        except OSError as broken:
            job.failed = f"{type(broken).__name__} on sending the job"
        finally:
            os.close(writing)  # else the pipe never ends
        _watch(control, reading, job, stopped)
        _drain(reading, job.frames)
    finally:
        if job.status is None:
            # The zygote died, or the worker is interrupted (a soft time limit): the child must not run on.
            job.end()
        os.close(reading)
        if job.pidfd is not None:
            os.close(job.pidfd)
    confinement, result, error = _judge(job, limits, required_level)
    outcome = ConfinedOutcome(
        result=result,
        error=error,
        confinement=confinement,
        seconds=time.monotonic() - started,
        max_rss_bytes=job.status["max_rss_bytes"] if job.status else 0,
        libraries=dict(libraries),
    )
    return outcome, job.failed is None


def _watch(
    control: socket.socket, reading: int, job: _Job, stopped: Callable[[], bool] | None = None
) -> None:
    """Until the zygote has reaped the child, refused the job, or failed."""
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        selector.register(reading, selectors.EVENT_READ)
        while job.status is None and job.failed is None and job.refused is None:
            patience = max(0.0, job.deadline - time.monotonic())
            events = selector.select(patience if stopped is None else min(patience, STOP_SECONDS))
            for key, _ in events:
                if key.fileobj is control:
                    _hear(control, job)
                elif not _read(reading, job.frames):
                    selector.unregister(reading)
            if job.frames.broken and job.killed is None:
                job.kill("output")
            if stopped is not None and job.killed is None and stopped():
                job.kill("stopped")
            if time.monotonic() >= job.deadline and job.status is None:
                if job.killed is None:
                    job.kill("timeout")
                else:  # nobody reaped the child, or there never was one: the zygote hangs
                    job.failed = "no answer"


def _hear(control: socket.socket, job: _Job) -> None:
    try:
        message, descriptors, _, _ = socket.recv_fds(control, MESSAGE_LIMIT, 1)
    except OSError as error:
        job.failed = type(error).__name__
        return
    if not message:
        job.failed = "it died"
        return
    value = json.loads(message)
    if "failed" in value:
        job.refused = value["failed"]
    elif "pid" in value:
        (job.pidfd,) = descriptors
        if job.killed is not None:
            job.kill(job.killed)
    else:
        job.status = value


def _read(reading: int, frames: Frames) -> bool:
    """One chunk; False at the end."""
    try:
        chunk = os.read(reading, CHUNK)
    except BlockingIOError:
        return True
    frames.feed(chunk)
    return bool(chunk)


def _drain(reading: int, frames: Frames) -> None:
    """What a dead child left in the pipe (at most its 64 KiB)."""
    with contextlib.suppress(BlockingIOError):
        while chunk := os.read(reading, CHUNK):
            frames.feed(chunk)


def _judge(
    job: _Job, limits: Limits, required_level: int
) -> tuple[Confinement | None, dict[str, Any] | None, Message | None]:
    """Name what happened. A result counts only if the child also ended well, by itself, with nothing left
    to say.
    """
    confinement = _confinement(job.frames)
    ended = _ended_badly(job, limits)
    if ended is not None:
        return confinement, None, ended
    if confinement is None or confinement.level < required_level:
        level = confinement.level if confinement else 0
        missing = (confinement or Confinement(0, ())).missing(required_level)
        params = {"required_level": required_level, "level": level, "missing": missing}
        return confinement, None, Message("confinement_unavailable", params)
    if len(job.frames.frames) < 2:
        reason = "truncated" if job.frames.partial else "no_result"
        return confinement, None, Message("garbled_output", {"reason": reason})
    try:
        return confinement, *_answer(decode(job.frames.frames[1]))
    except GarbledError as error:
        return confinement, None, Message("garbled_output", {"reason": error.reason})


def _confinement(frames: Frames) -> Confinement | None:
    """The first frame, written by our own code before any foreign byte was read."""
    if not frames.frames:
        return None
    report = json.loads(frames.frames[0])
    return Confinement(level=report["level"], mechanisms=tuple(report["mechanisms"]))


def _ended_badly(job: _Job, limits: Limits) -> Message | None:
    if job.failed is not None and job.pidfd is None:  # no child, so no limit of the child's
        return Message("zygote_failed", {"stage": "run", "reason": job.failed})
    if job.killed == "timeout":
        return Message("timeout", {"kind": "wall", "seconds": limits.wall_seconds})
    if job.frames.too_large:
        return Message("output_too_large", {"limit_bytes": limits.output_bytes})
    if job.frames.extra:
        return Message("garbled_output", {"reason": "more_than_one_answer"})
    if job.refused is not None:
        return Message("zygote_failed", {"stage": "fork", "reason": job.refused})
    if job.status is None:
        return Message("zygote_failed", {"stage": "run", "reason": job.failed})
    status = job.status["status"]
    if status < 0:
        return _signalled(-status, job, limits)
    if status > 0:
        return Message("garbled_output", {"reason": "exit_status", "status": status})
    return None


def _signalled(number: int, job: _Job, limits: Limits) -> Message:
    assert job.status is not None  # noqa: S101  (the status told the signal)
    used_up = job.status["cpu_seconds"] >= limits.cpu_seconds - 0.1
    if number == signal.SIGXCPU or (number == signal.SIGKILL and used_up):
        return Message("timeout", {"kind": "cpu", "seconds": limits.cpu_seconds})
    if number == signal.SIGKILL and _oom_kills() > job.ooms:  # the machine, not the limit, ran out
        return Message("out_of_memory", {"memory_bytes": limits.memory_bytes})
    try:
        name = signal.Signals(number).name
    except ValueError:  # real-time signals have no names
        name = str(number)
    return Message("killed_by_signal", {"signal": name})


def _answer(value: dict[str, Any]) -> tuple[dict[str, Any] | None, Message | None]:
    """The second frame, from a process that may lie: exactly {"result": object} or {"error": {code,
    params}}.
    """
    if set(value) == {"result"} and isinstance(value["result"], dict):
        return value["result"], None
    error = value.get("error")
    if set(value) == {"error"} and isinstance(error, dict) and set(error) == {"code", "params"}:
        code, params = error["code"], error["params"]
        if isinstance(code, str) and _CODE.fullmatch(code) and isinstance(params, dict):
            return None, Message(code, params)
    raise GarbledError("not_an_answer")


def _oom_kills() -> int:
    """How many processes the kernel's out-of-memory killer has ended so far, on this machine (0 if it won't
    say).
    """
    with contextlib.suppress(OSError), open("/proc/vmstat") as file:
        for line in file:
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
