"""``serve``: the stack in the foreground, watched, until somebody ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import deque
from pathlib import Path
from types import FrameType

from .children import launch
from .errors import EmbeddedError
from .stack import EmbeddedStack

RESTARTS = 5
RESTART_WINDOW = 60.0
"""A process that dies more than RESTARTS times in RESTART_WINDOW seconds is not mended by another start."""

LOGINS = "logins.txt"
"""File of the home folder in which the demonstration leaves what to log in with; shown after a start."""


class Interrupted(BaseException):
    """Somebody asked us to end (Ctrl-C, SIGTERM, the terminal closed)."""


def say(sentence: str) -> None:
    """Print and flush. A terminal that is gone must not keep the servers from being stopped."""
    try:
        print(sentence, flush=True)
    except (OSError, ValueError):
        pass


class Signals:
    """The first signal interrupts what is running; later ones only hurry the ending."""

    def __init__(self) -> None:
        self.stack: EmbeddedStack | None = None
        self.ending = False
        self.child: subprocess.Popen[bytes] | None = None
        """A command in the foreground that gets the signals in our place."""

    def install(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup means it
                signal.signal(number, self.receive)

    def receive(self, number: int, frame: FrameType | None) -> None:
        if self.child is not None:
            if number != signal.SIGINT:  # that one the terminal has sent to both of us
                os.kill(self.child.pid, number)
        elif not self.ending:
            self.ending = True
            raise Interrupted
        elif number == signal.SIGINT and self.stack is not None:
            # One closing terminal may send SIGHUP and SIGTERM both: only another Ctrl-C shows impatience.
            self.stack.hurried = True


def serve(stack: EmbeddedStack, *, banner: bool = True) -> int:
    """Start ``stack``, say where it is, keep it running, stop it; the exit status, 0 when asked to end."""
    signals = Signals()
    signals.stack = stack
    signals.install()
    try:
        started = time.monotonic()
        stack.start()
        if stack.processes:
            stack.announce()
        if banner:
            for line in greeting(stack, time.monotonic() - started):
                say(line)
        watch(stack)
    except Interrupted:
        say("\nStopping …")
        return 0
    except EmbeddedError as error:
        signals.ending = True
        say(str(error))
        return 1
    finally:
        signals.ending = True
        stack.stop()
    return 0


def greeting(stack: EmbeddedStack, seconds: float) -> list[str]:
    """The lines for a person: address, logins, logs, how to end it."""
    if not stack.processes:
        return [
            f"Database and broker are ready ({seconds:.1f} s). Their addresses: {stack.home / 'env'}",
            "Ctrl-C stops them.",
        ]
    logins: Path = stack.home / LOGINS
    lines = ["", f"Crivo is ready at {stack.base_url} ({seconds:.1f} s)"]
    if logins.exists():
        lines += ["", *logins.read_text(encoding="utf-8").splitlines()]
    return [*lines, "", f"Logs: {stack.logs}   Ctrl-C stops everything."]


def watch(stack: EmbeddedStack) -> None:
    """Restart what dies, and say so. EmbeddedError once that does not help, or when a server died."""
    deaths: dict[str, deque[float]] = {name: deque(maxlen=RESTARTS) for name in stack.children}
    while True:
        time.sleep(0.25)
        for name in stack.dead():
            death = stack.death_of(name)
            if name not in stack.children:  # database or broker: everything else hangs on it
                raise death
            times = deaths[name]
            if len(times) == RESTARTS and time.monotonic() - times[0] < RESTART_WINDOW:
                raise EmbeddedError(
                    death.code, f"{death}\nIt died {RESTARTS + 1} times in a row, so everything is stopped."
                )
            times.append(time.monotonic())
            say(f"{death}\nStarting it again …")
            time.sleep(min(0.5 * 2 ** (len(times) - 1), 8.0))
            try:
                stack.start_process(name)
            except EmbeddedError as error:
                if error.code != "process_died":
                    raise
                continue  # counted at the next look
            say(f"The {name} process runs again.")


def run(stack: EmbeddedStack, command: list[str]) -> int:
    """Run ``command`` with the stack's environment while the stack runs; its exit status.

    The command shares our terminal: Ctrl-C reaches it directly, and we end after it. What dies meanwhile is not started
    again, as ``serve`` does: a test that kills a process, or a demonstration that lost one, must see that it is gone.
    """
    signals = Signals()
    signals.stack = stack
    signals.install()
    try:
        stack.start()
        # With our standard streams and in our session, it is as if it had been called without us.
        signals.child = launch(command, stdin=None, env=stack.env, own_session=False)
        status = signals.child.wait()
        return 128 - status if status < 0 else status
    except Interrupted:
        return 130
    except EmbeddedError as error:
        say(str(error))
        return 1
    finally:
        signals.ending, signals.child = True, None
        stack.stop()
