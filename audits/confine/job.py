"""One job in its own process: close, lock, report what holds, and only then read the files and compute."""

from __future__ import annotations

import json
import os
import signal
import traceback
from collections.abc import Callable
from typing import Any, BinaryIO, NoReturn

from audits.checks.contract import CheckError
from audits.confine.frames import encode, write_frame
from audits.confine.lock import lock_down
from audits.confine.outcome import Confinement, Limits


def run(
    function: Callable[[dict[str, Any], dict[str, BinaryIO]], dict[str, Any]],
    *,
    check_input: int,
    result: int,
    files: dict[str, int],
    limits: Limits,
    required_level: int,
    parent: int,
    empty_root: int | None,
) -> NoReturn:
    """Lock this process, then answer with two frames on `result`: the confinement, and the outcome. Exits."""
    _default_signals()
    os.setsid()  # no terminal, no group shared with the worker
    _keep_only({check_input, result, *files.values(), *([] if empty_root is None else [empty_root])})
    try:
        mechanisms = lock_down(limits, parent=parent, empty_root=empty_root)
    except Exception:  # a kernel without /proc, say: nothing is certain, so nothing holds
        mechanisms = ()
    confinement = Confinement.of(mechanisms)
    if empty_root is not None:
        os.close(empty_root)
    # Written before a foreign byte is read: this frame is ours, whatever the rest of the stream says.
    write_frame(result, encode({"level": confinement.level, "mechanisms": confinement.mechanisms}))
    if confinement.level < required_level:
        os._exit(0)
    write_frame(result, _answer(function, check_input, files, limits))
    os._exit(0)


def _default_signals() -> None:
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_DFL)


def _keep_only(wanted: set[int]) -> None:
    """Close every descriptor but these and the standard three, which are made /dev/null."""
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    lowest = 3
    for descriptor in sorted(wanted):
        os.closerange(lowest, descriptor)
        lowest = descriptor + 1
    os.closerange(lowest, os.sysconf("SC_OPEN_MAX"))


def _answer(function: Callable[..., Any], check_input: int, files: dict[str, int], limits: Limits) -> bytes:
    try:
        with os.fdopen(check_input, "rb") as source:
            source.seek(0)
            arguments = json.load(source)
        handles = {name: os.fdopen(descriptor, "rb") for name, descriptor in files.items()}
        return _encode_result(function(arguments, handles))
    except MemoryError:
        return encode({"error": {"code": "out_of_memory", "params": {"memory_bytes": limits.memory_bytes}}})
    except CheckError as error:
        return _encode_result({"code": error.message.code, "params": error.message.params}, key="error")
    except BaseException as error:
        # The class name and our own line only: the text of an exception may quote a person's data.
        params = {"exception": type(error).__name__[:100], "where": _where(error)}
        if isinstance(error, ModuleNotFoundError):  # a model made with a library we don't have: say which
            params["module"] = str(error.name)[:100]
        return encode({"error": {"code": "check_crashed", "params": params}})


def _encode_result(value: Any, key: str = "result") -> bytes:
    try:
        return encode({key: value})
    except (TypeError, ValueError, RecursionError):  # numpy scalars, NaN, cycles: a mistake of the check's
        return encode({"error": {"code": "garbled_output", "params": {"reason": "not_json"}}})


def _where(error: BaseException) -> str:
    """`module:line` of the innermost frame of ours, else empty."""
    frames = [
        f"{frame.f_globals.get('__name__')}:{line}"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__", "")).startswith("audits.checks.")
    ]
    return frames[-1] if frames else ""
