"""A server that says what the test tells it to, in order, and remembers what it was asked."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    port: int

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Handler = BaseHTTPRequestHandler
Reply = Callable[[Handler], None]


def answer(status: int, body: Any = None, **headers: str) -> Reply:
    """JSON for dicts and lists, bytes as they are; header names with _ for -."""

    def reply(handler: Handler) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return reply


def problem(
    status: int, code: str, detail: str = "No.", headers: dict[str, str] | None = None, **more: Any
) -> Reply:
    body = {
        "type": f"urn:crivo:problem:{code}",
        "status": status,
        "code": code,
        "detail": detail,
        "params": {},
    }
    return answer(status, {**body, **more}, **(headers or {}))


def reset(handler: Handler) -> None:
    """The connection breaks with RST, without an answer."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True
    handler.connection.close()
    handler.wfile = open("/dev/null", "wb")  # noqa: SIM115


def hang_up(handler: Handler) -> None:
    """The connection ends in good order, without an answer."""
    handler.close_connection = True


def raw(data: bytes) -> Reply:
    def reply(handler: Handler) -> None:
        handler.wfile.write(data)
        handler.close_connection = True

    return reply


@dataclass
class Double:
    replies: list[Reply] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    before_body: Reply | None = None
    """Answers instead, before the body is read, and hangs up."""

    def __enter__(self) -> Self:
        double = self

        class Answering(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except (OSError, ValueError):
                    self.close_connection = True

            def answer_it(self) -> None:
                if double.before_body is not None:
                    double.before_body(self)
                    self.close_connection = True
                    return
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                double.asked.append(Asked(self.command, self.path, headers, body, self.client_address[1]))
                reply = double.replies.pop(0) if double.replies else problem(500, "nothing_left_to_say")
                reply(self)

            do_GET = do_POST = answer_it

            def log_message(self, *args: Any) -> None:
                return None

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"
