"""The port on loopback: taken before the server that serves it exists, and asked whether it does."""

from __future__ import annotations

import errno
import http.client
import socket

from .errors import EmbeddedError

HOST = "127.0.0.1"


def listen(port: int) -> socket.socket:
    """A listening socket on loopback, 0 for a free port. EmbeddedError ``port_taken`` or ``bad_port``.

    Bound here and handed to the server: between looking for a free port and using it, another could take it.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(2048)
    except (OSError, OverflowError) as error:
        listener.close()
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise EmbeddedError(
                "port_taken",
                f"Port {port} is taken by another program: choose another one, e.g. CRIVO_PORT={port + 1}.",
            ) from error
        raise EmbeddedError(
            "bad_port",
            f"Port {port} cannot be used ({error}): set CRIVO_PORT to a number from 1024 to 65535.",
        ) from error
    return listener


def healthy(port: int, seconds: float = 5.0) -> bool:
    """Whether /healthz answers 200 within ``seconds``."""
    connection = http.client.HTTPConnection(HOST, port, timeout=seconds)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
