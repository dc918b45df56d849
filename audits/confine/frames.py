"""What travels between worker, zygote and child: length-prefixed JSON on a pipe, small JSON on the socket."""

from __future__ import annotations

import json
import os
import re
from typing import Any, Final, NoReturn

HEADER: Final = 8  # bytes, big-endian length
REPORT_LIMIT: Final = 64 << 10  # the confinement report, written before any foreign byte is read
MESSAGE_LIMIT: Final = 64 << 10  # a message on the control socket

# PostgreSQL's jsonb takes neither, and a lone surrogate cannot be encoded at all.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_ESCAPED = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")


class GarbledError(ValueError):
    """Not an answer; `reason` is a stable word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def write_frame(fd: int, payload: bytes) -> None:
    view = memoryview(len(payload).to_bytes(HEADER, "big") + payload)
    while view:
        view = view[os.write(fd, view) :]


def encode(value: Any) -> bytes:
    """Strict JSON; ValueError for NaN and infinity, TypeError for a value that isn't JSON."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


def _no_constant(name: str) -> NoReturn:
    raise GarbledError("not_a_number")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):  # 1e999 is JSON, but not a number anybody measured
        raise GarbledError("not_a_number")
    return value


def _check_strings(value: Any) -> None:
    """Iterative: foreign nesting must not reach our stack."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            if _UNSTORABLE.search(item):
                raise GarbledError("unstorable_text")
        elif isinstance(item, dict):
            stack.extend(item.keys())
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)


def decode(payload: bytes) -> dict[str, Any]:
    """A JSON object from a process that may lie; GarbledError for anything else, NaN, NUL and lone
    surrogates included.
    """
    try:
        value = json.loads(payload.decode("utf-8"), parse_constant=_no_constant, parse_float=_finite)
    except GarbledError:
        raise
    except RecursionError:
        raise GarbledError("too_deep") from None
    except ValueError:  # not UTF-8, not JSON, a number of more than 4,300 digits
        raise GarbledError("not_json") from None
    if not isinstance(value, dict):
        raise GarbledError("not_an_object")
    if _ESCAPED.search(payload):
        _check_strings(value)
    return value


class Frames:
    """Cuts the child's byte stream into the report and the answer, never holding more than the limits
    allow.
    """

    def __init__(self, answer_limit: int) -> None:
        self._limits = (REPORT_LIMIT, answer_limit)
        self._buffer = bytearray()
        self.frames: list[bytes] = []
        self.too_large = False
        self.extra = False

    @property
    def broken(self) -> bool:
        """More was sent than may be: the sender can be killed."""
        return self.too_large or self.extra

    @property
    def partial(self) -> bool:
        return bool(self._buffer)

    def feed(self, chunk: bytes) -> None:
        if self.broken:
            return
        self._buffer += chunk
        while self._buffer:
            if len(self.frames) == len(self._limits):
                self.extra = True
                return
            if len(self._buffer) < HEADER:
                return
            length = int.from_bytes(self._buffer[:HEADER], "big")
            if length > self._limits[len(self.frames)]:
                self.too_large = True
                self._buffer.clear()
                return
            if len(self._buffer) < HEADER + length:
                return
            self.frames.append(bytes(self._buffer[HEADER : HEADER + length]))
            del self._buffer[: HEADER + length]
