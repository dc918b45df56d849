"""A project as small as can be in Crivo's place: what the supervisor starts must not depend on what it is."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, Queue
from subprocess import PIPE, STDOUT, Popen

CHECKOUT = Path(__file__).resolve().parents[2]

FILES = {
    "manage.py": """
import os, signal, sys, time
if sys.argv[1] == "notary":
    print("notary with", os.environ["DATABASE_NOTARY_URL"][:25], flush=True)
    print("notary is up", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: (print("notary is down", flush=True), sys.exit(0)))
    while True:
        time.sleep(60)
print(sys.argv[1], "with", os.environ["DATABASE_MIGRATION_URL"][:28], flush=True)
time.sleep(float(os.environ.get("STANDIN_SLEEP", "0")))
""",
    "governance/__init__.py": "",
    "governance/celery.py": """
import os
from celery import Celery
app = Celery("standin", broker=os.environ["CELERY_BROKER_URL"])
@app.task(name="write")
def write(path, text):
    open(path, "w").write(text)
""",
    "governance/wsgi.py": """
import json, os
def application(environ, start_response):
    body = json.dumps({"pid": os.getpid(), "env": sorted(os.environ)}).encode()
    start_response("200 OK" if environ["PATH_INFO"] == "/healthz" else "404 Not Found", [])
    return [body]
""",
}

SERVE = """
import sys
from pathlib import Path
from governance.embedded.processes import SETUP
from governance.embedded.stack import EmbeddedStack
from governance.embedded.supervisor import say, serve
home, project, port, *processes = sys.argv[1:]
steps = [step for step in SETUP if step.name == "migrate"]
sys.exit(serve(EmbeddedStack(
    Path(home), port=int(port), processes=processes, steps=steps, project=Path(project), fsync=False,
    report=say,
)))
"""


def make(folder: Path) -> Path:
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


class Serving:
    """``serve`` in a process of its own, its output read line by line."""

    def __init__(self, home: Path, project: Path, *processes: str, port: int = 0, **env: str) -> None:
        import os

        self.process = Popen(
            [sys.executable, "-c", SERVE, str(home), str(project), str(port), *processes],
            cwd=CHECKOUT,
            env=os.environ | env,
            stdout=PIPE,
            stderr=STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._queue: Queue[str] = Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._queue.put(line.rstrip("\n"))

    def until(self, text: str, seconds: float = 30) -> str:
        """The first new line that holds ``text``; AssertionError with all lines when none comes in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                line = self._queue.get(timeout=0.1)
            except Empty:
                if self.process.poll() is not None and self._queue.empty():
                    break
                continue
            self.lines.append(line)
            if text in line:
                return line
        raise AssertionError(f"no line with {text!r} in {self.lines}, exit status {self.process.poll()}")

    def ready(self) -> str:
        """Its address, once it is ready."""
        return self.until("Crivo is ready at").split()[4]

    def rest(self, seconds: float = 30) -> tuple[int, str]:
        """Exit status and the whole output, once it ended."""
        status = self.process.wait(seconds)
        time.sleep(0.05)
        while not self._queue.empty():
            self.lines.append(self._queue.get())
        return status, "\n".join(self.lines)


def descendants(pid: int) -> set[int]:
    """Process ids below ``pid``."""
    return set(_below(pid))


def _below(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").glob("*"):
        for child in (task / "children").read_text().split():
            yield int(child)
            yield from _below(int(child))
