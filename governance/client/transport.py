"""HTTP with what the standard library has: keep-alive, repeats that are safe, bounds on what a server may send.

Repeated are: connection failures, 429, 502, 503, 504, and 409 `request_in_flight` (our own earlier try is still being
worked on). Never anything else. All writes carry an Idempotency-Key, the same on every try. Redirects are not followed:
the token is for the address it was given for.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from governance.client.answers import reasons_of, unexpected
from governance.client.errors import Refused, Unreachable, Usage
from governance.client.multipart import Upload

TIMEOUT = 60.0  # seconds without a byte
UPLOAD_TIMEOUT = 600.0  # a server reads and hashes an upload before it answers
TRIES = 6
PATIENCE = 60.0  # seconds of waiting, between tries and for answers that did not come, in all
MAX_JSON = 64 << 20
AGAIN = {429, 502, 503, 504}
LOST = (OSError, http.client.HTTPException)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise unexpected("it is no JSON") from error


@dataclass(frozen=True)
class Call:
    """One request as it is sent, on every try alike."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes | Upload | None = None
    timeout: float = TIMEOUT
    sink: BinaryIO | None = None
    """Where the body of a 2xx goes instead of into memory; emptied before each try."""


class Transport:
    """Requests to one server over one connection, kept open. For one thread; make one for each."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        tries: int = TRIES,
        patience: float = PATIENCE,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        parts = _checked(url)
        self._https = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port
        self.base = parts.path.rstrip("/")
        self.url = url.rstrip("/")
        if not token.isascii() or not token.isprintable() or " " in token:
            raise Usage(
                "The token holds characters no token has. Copy it again, on one line.", code="token_malformed"
            )
        self._token = token
        self._tries = tries
        self._patience = patience
        self._sleep = sleep
        self._connection: http.client.HTTPConnection | None = None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def send(self, call: Call) -> Answer:
        """The answer, if it is a 2xx or 304. Refused: the server said no. Unreachable: no answer, or a broken one."""
        waited = 0.0
        for attempt in range(1, self._tries + 1):
            reused = self._connection is not None
            problem: Unreachable | Refused
            pause: float | None = None
            try:
                answer = self._once(call)
            except LOST as error:
                self.close()
                problem = self._lost(error)
                if isinstance(error, TimeoutError):
                    waited += call.timeout
                if isinstance(error, ssl.SSLCertVerificationError):
                    raise problem from error
                if reused and attempt == 1 and not isinstance(error, TimeoutError):
                    continue  # a kept connection that the server had closed meanwhile says nothing
            else:
                if answer.status < 300 or answer.status == 304:
                    return answer
                problem = failure(answer, self.url)
                if not _repeat(answer.status, problem):
                    raise problem
                pause = retry_after(answer.headers.get("retry-after"))
            pause = _backoff(attempt) if pause is None else pause
            if attempt == self._tries or waited + pause > self._patience:
                raise problem
            waited += pause
            self._sleep(pause)
        raise AssertionError("unreachable")

    def _once(self, call: Call) -> Answer:
        connection = self._open(call.timeout)
        headers = {"User-Agent": "crivo-client/1", "Accept": "*/*", **call.headers}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        if isinstance(call.body, Upload):
            headers |= {"Content-Type": call.body.content_type, "Content-Length": str(call.body.length)}
        try:
            connection.request(
                call.method,
                self.base + call.path,
                body=call.body.body() if isinstance(call.body, Upload) else call.body,
                headers=headers,
            )
        except (BrokenPipeError, ConnectionResetError):
            pass  # it may have answered before it hung up: 413, for one
        except BaseException:
            self.close()  # half a request is on this connection
            raise
        try:
            response = connection.getresponse()
            body = self._read(response, call)
        except BaseException:
            self.close()
            raise
        answer = Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, body)
        if response.will_close:
            self.close()
        return answer

    def _open(self, timeout: float) -> http.client.HTTPConnection:
        if self._connection is None:
            if self._https:
                context = ssl.create_default_context()
                self._connection = http.client.HTTPSConnection(
                    self._host, self._port, timeout=timeout, context=context
                )
            else:
                self._connection = http.client.HTTPConnection(self._host, self._port, timeout=timeout)
            self._connection.connect()
            self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection.sock.settimeout(timeout)
        return self._connection

    def _read(self, response: http.client.HTTPResponse, call: Call) -> bytes:
        """The body: into memory up to MAX_JSON, or into the sink. A body cut short is a lost connection."""
        sink = call.sink if response.status < 300 else None
        if sink is not None:
            sink.seek(0)
            sink.truncate()
        found, size = bytearray(), 0
        while chunk := response.read(1 << 16):
            size += len(chunk)
            if sink is not None:
                sink.write(chunk)
            elif size > MAX_JSON:
                self.close()
                raise unexpected(f"it is longer than {MAX_JSON >> 20} MiB")
            else:
                found += chunk
        if response.length:  # read(amount) ends silently where the connection did
            raise http.client.IncompleteRead(bytes(found[:0]), response.length)
        return bytes(found)

    def _lost(self, error: Exception) -> Unreachable:
        if isinstance(error, TimeoutError):
            why = "did not answer in time"
        elif isinstance(error, socket.gaierror):
            why = "has a host name that is not known"
        elif isinstance(error, ConnectionRefusedError):
            why = "has nothing listening"
        elif isinstance(error, ssl.SSLError):
            why = f"cannot be trusted or spoken to over TLS ({error.reason or error})"
        elif isinstance(error, http.client.HTTPException) and not isinstance(
            error, http.client.RemoteDisconnected | http.client.IncompleteRead
        ):
            why = "does not speak HTTP"
        else:
            why = f"broke the connection off ({getattr(error, 'strerror', None) or type(error).__name__})"
        return Unreachable(f"{self.url} {why}. Check CRIVO_URL and that the server runs, then try again.")


def _checked(url: str) -> Any:
    try:
        parts = urlsplit(url.strip())
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or parts.username is not None
        or parts.query
        or parts.fragment
        or not url.isprintable()
        or " " in url.strip()
    ):
        raise Usage(
            f"{url!r} is not the address of a server. CRIVO_URL looks like http://localhost:8000",
            code="url_malformed",
        )
    return parts


def _repeat(status: int, problem: Unreachable | Refused) -> bool:
    return status in AGAIN or problem.code == "request_in_flight"


def _backoff(attempt: int) -> float:
    """0.25 s, 0.5 s, 1 s, …, each with up to a half of it taken off at random, so that many clients spread out."""
    pause: float = 0.25 * 2 ** (attempt - 1)
    return pause * (1 - random.random() / 2)  # noqa: S311 - spreads load, hides nothing


def retry_after(text: str | None) -> float | None:
    """Seconds from a Retry-After header (RFC 9110 §10.2.3: seconds or a date); None where there is no sensible one."""
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(min(int(text[:9]), 10**8))
    try:
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    except (ValueError, TypeError, OverflowError):
        return None


def failure(answer: Answer, url: str) -> Unreachable | Refused:
    """What an answer that is no success means."""
    status = answer.status
    if 300 <= status < 400:
        target = answer.headers.get("location", "somewhere else")[:200]
        return Unreachable(
            f"{url} sends us on to {target}. The token is not taken there: set CRIVO_URL to the address itself.",
            code="redirected",
            status=status,
        )
    try:
        problem = answer.json()
        code, detail = problem["code"], problem["detail"]
        if not isinstance(code, str) or not isinstance(detail, str):
            raise TypeError
    except (Unreachable, KeyError, TypeError):
        return _without_problem(status, url)
    if status >= 500 or status == 429:
        return Unreachable(detail, code=code, status=status)
    try:
        reasons = reasons_of(problem) if "reasons" in problem else ()
    except Unreachable:
        reasons = ()
    errors = problem.get("errors")
    fields = tuple(
        item["field"]
        for item in (errors if isinstance(errors, list) else [])
        if isinstance(item, dict) and isinstance(item.get("field"), str)
    )
    params = problem.get("params")
    return Refused(
        status,
        code,
        detail,
        reasons=reasons,
        fields=fields,
        params=params if isinstance(params, dict) else {},
        problem=problem,
    )


def _without_problem(status: int, url: str) -> Unreachable:
    """Not our server's words: a proxy in between, or another program altogether."""
    name = http.client.responses.get(status, "")
    if status >= 500 or status == 429:
        return Unreachable(
            f"{url} answered {status} {name}. Try again; if it stays so, look into the log of the server.",
            code="server_error",
            status=status,
        )
    return Unreachable(
        f"{url} answered {status} {name}, and not as Crivo does. Check CRIVO_URL: is it Crivo that listens there?",
        code="answer_unexpected",
        status=status,
    )


def from_environment() -> tuple[str, str]:
    """(CRIVO_URL, CRIVO_TOKEN). Usage where one is missing."""
    url, token = os.environ.get("CRIVO_URL", "").strip(), os.environ.get("CRIVO_TOKEN", "").strip()
    if not url:
        raise Usage(
            "CRIVO_URL is not set: where is the server? For example: export CRIVO_URL=http://localhost:8000",
            code="url_missing",
        )
    if not token:
        raise Usage(
            "CRIVO_TOKEN is not set: who are you? An administrator makes a token with: "
            "python manage.py issue_token --actor NAME --scope SCOPE",
            code="token_missing",
        )
    return url, token
