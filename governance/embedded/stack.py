"""Everything Crivo needs to run, as one object: database, broker, set-up, processes.

    with EmbeddedStack(folder) as stack:
        urlopen(stack.base_url + "/healthz")
        stack.kill("worker")
        stack.restart("worker")

Used by ``script/server`` through ``supervisor``, by ``script/demo``, and by tests that kill processes.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from . import environment, setup
from .children import exited, launch, reap, wait
from .errors import EmbeddedError
from .files import open_log, private_folder, size_of, tail, try_lock, write_private
from .listener import HOST, healthy, listen
from .postgres import EmbeddedPostgres
from .processes import PROCESSES, WITHOUT_DEMONSTRATION, Process, Step, chosen
from .secrets import Secrets
from .valkey import EmbeddedValkey

READY_SECONDS = 90.0


class EmbeddedStack:
    """Database and broker of the folder ``home``, and ``processes`` on them.

    ``port`` 0 takes a free one. ``fsync=False`` and ``throw_away=True`` (delete ``home`` when it stops) are
    for tests and demonstrations. ``processes`` are names of ``processes.PROCESSES`` or Process objects;
    ``steps`` the set-up to run before them (the demonstration only if asked for). ``environ`` is what the
    children inherit; with ``outside=True`` the servers it names replace the embedded ones. ``report`` gets
    one sentence at a time.

    ``start`` raises EmbeddedError: port_taken, already_running, setup_failed, process_died, not_ready, and
    those of postgres and valkey; whatever was started by then has been stopped.
    Start it from a thread that outlives it: the kernel ends the children with the thread that started them.
    """

    def __init__(
        self,
        home: Path,
        *,
        port: int = 0,
        fsync: bool = True,
        processes: Iterable[str | Process] = PROCESSES,
        steps: Iterable[Step] = WITHOUT_DEMONSTRATION,
        throw_away: bool = False,
        outside: bool = False,
        environ: Mapping[str, str] | None = None,
        project: Path = environment.PROJECT,
        report: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self.home = private_folder(home)
        self.logs = private_folder(self.home / "logs")
        self.port = port
        self.processes = {process.name: process for process in chosen(processes)}
        self.steps = tuple(steps)
        self.throw_away = throw_away
        self.project = project
        self.report = report
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        self.hurried = False
        """Set to end everything without further patience (a second Ctrl-C)."""
        self._inherited = dict(os.environ if environ is None else environ)
        self._deployed = outside
        self._outside = environment.outside(self._inherited, self.home) if outside else {}
        self._fsync = fsync
        self._postgres: EmbeddedPostgres | None = None
        self._valkey: EmbeddedValkey | None = None
        self._lock: int | None = None
        self._since: dict[str, int] = {}
        self.env: dict[str, str] = {}
        """The variables for ``manage.py`` and tests, the migrating role's included; filled by ``start``."""

    # What others ask

    @property
    def base_url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def superuser_url(self) -> str:
        """URL of the database's superuser. RuntimeError without an embedded database."""
        return self.postgres.superuser_url

    @property
    def postgres(self) -> EmbeddedPostgres:
        if self._postgres is None:
            raise RuntimeError(
                "no embedded database: the stack is not started, or DATABASE_URL names another one"
            )
        return self._postgres

    @property
    def valkey(self) -> EmbeddedValkey:
        if self._valkey is None:
            raise RuntimeError(
                "no embedded broker: the stack is not started, or CELERY_BROKER_URL names another one"
            )
        return self._valkey

    def log_path(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def is_alive(self, name: str) -> bool:
        child = self._child(name)
        return child is not None and not exited(child)

    def pid(self, name: str) -> int:
        """Process id of ``name`` (or "postgres", "valkey"); KeyError when it was not started here."""
        child = self._child(name)
        if child is None:
            raise KeyError(name)
        return child.pid

    def _child(self, name: str) -> subprocess.Popen[bytes] | None:
        if name == "postgres":
            return self._postgres.process if self._postgres is not None else None
        if name == "valkey":
            return self._valkey.process if self._valkey is not None else None
        return self.children.get(name)

    # Life

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start everything and return when it is ready."""
        try:
            self._take_over()
            listener = (
                listen(self.port) if any(process.listens for process in self.processes.values()) else None
            )
            try:
                if listener is not None:
                    self.port = listener.getsockname()[1]
                self._start_services()
                self._set_up(step for step in self.steps if not step.afterwards)
                for name in self.processes:
                    self.start_process(name, listener, patience=0)
            finally:
                if listener is not None:
                    listener.close()
            for name in self.processes:
                self.wait_until_ready(name)
            self._set_up(step for step in self.steps if step.afterwards and self.processes)
        except BaseException:
            self.stop()
            raise

    def _take_over(self) -> None:
        """One set of processes per folder. Without processes (services only) there may be others."""
        if not self.processes:
            return
        self._lock = try_lock(self.home / "serve.lock")
        if self._lock is None:
            running = " ".join(tail(self.home / "serve.txt", 1)) or "somewhere"
            raise EmbeddedError(
                "already_running",
                f"Crivo already runs from {self.home}: {running}. Stop that one first "
                "(Ctrl-C where it was started), or set CRIVO_HOME to another folder to run a second one.",
            )

    def _start_services(self) -> None:
        secrets = Secrets.of(self.home)
        if "CELERY_BROKER_URL" not in self._outside:
            self._valkey = EmbeddedValkey(self.home)
            self._valkey.start()
        if "DATABASE_URL" not in self._outside:
            self._postgres = EmbeddedPostgres(self.home, durable=self._fsync)
            if not self._postgres.cluster.exists():
                self.report("Making the database …")
            self._postgres.start()
        own = environment.variables(
            self.home,
            secrets,
            database_url=self._outside.get("DATABASE_URL") or self.postgres.app_url,
            migration_url=self._outside.get("DATABASE_MIGRATION_URL") or self.postgres.migration_url,
            notary_url=self._outside.get("DATABASE_NOTARY_URL")
            or (self._postgres.notary_url if self._postgres is not None else None),
            broker_url=self._outside.get("CELERY_BROKER_URL") or self.valkey.url,
            base_url=self.base_url,
        )
        serves = any(process.listens for process in self.processes.values())
        if not serves and (self.home / environment.FILE).exists():
            own["CRIVO_BASE_URL"] = environment.load(self.home).get("CRIVO_BASE_URL", self.base_url)
        else:
            environment.save(self.home, own)
        if self._deployed:  # what somebody set on purpose wins
            own |= {
                name: self._inherited[name]
                for name in ("SECRET_KEY", "CRIVO_BASE_URL")
                if self._inherited.get(name)
            }
        if self.throw_away and self._postgres is not None:  # for tests that tamper as only a superuser can
            own["CRIVO_TEST_SUPERUSER_URL"] = self.superuser_url
        self.env = self._inherited | own | {"PYTHONUNBUFFERED": "1"}

    def _set_up(self, steps: Iterable[Step]) -> None:
        setup.run(
            steps,
            home=self.home,
            checkout_home=self.project / ".crivo",
            project=self.project,
            env=self.env,
            report=self.report,
        )

    def stop(self) -> None:
        """End what this stack started, in waves (web, then worker, then notary, then broker and database)."""
        for wave in sorted({process.wave for process in self.processes.values()}):
            members = [name for name in self.children if self.processes[name].wave == wave]
            for name in members:  # all at once, then wait for each
                self._ask(name)
            for name in members:
                self._end(name)
        if self._valkey is not None:
            self._valkey.stop()
        if self._postgres is not None:
            if self.throw_away:
                self._postgres.destroy()
            else:
                self._postgres.stop()
        self._valkey = self._postgres = None
        if self._lock is not None:
            (self.home / "serve.txt").unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None
        if self.throw_away:
            shutil.rmtree(self.home, ignore_errors=True)

    def _ask(self, name: str, turn: int = 0) -> None:
        """Send ``name`` the signal whose turn it is, if it has one and lives."""
        for number, _ in self.processes[name].stop[turn : turn + 1]:
            if not exited(self.children[name]):
                os.kill(self.children[name].pid, number)

    def _end(self, name: str) -> None:
        """See that ``name``, already asked to end by its first signal, does; then kill what it left."""
        for turn, (_, seconds) in enumerate(self.processes[name].stop):
            if turn:
                self._ask(name, turn)
            deadline = time.monotonic() + seconds
            while not self.hurried and time.monotonic() < deadline and not wait(self.children[name], 0.1):
                pass
        reap(self.children.pop(name))

    # One process

    def start_process(
        self, name: str, listener: socket.socket | None = None, *, patience: float = READY_SECONDS
    ) -> None:
        """Start the process ``name``; wait up to ``patience`` seconds until it is ready (0: no wait)."""
        process = self.processes[name]
        own_listener = listener is None and process.listens
        if own_listener:
            listener = listen(self.port)
        environ = dict(self.env)
        if not process.migrates:
            environ.pop("DATABASE_MIGRATION_URL", None)
        if not process.seals:
            environ.pop("DATABASE_NOTARY_URL", None)
        descriptor = listener.fileno() if listener is not None and process.listens else None
        self._since[name] = size_of(self.log_path(name))
        log = open_log(self.log_path(name))
        try:
            self.children[name] = launch(
                [part.format(fd=descriptor, home=self.home) for part in process.command],
                stdout=log,
                stderr=log,
                cwd=self.project,
                env=environ,
                pass_fds=[] if descriptor is None else [descriptor],
                death_signal=process.death_signal,
            )
        finally:
            os.close(log)
            if own_listener and listener is not None:
                # Ours is closed so that the port refuses calls while nobody serves it.
                listener.close()
        if patience:
            self.wait_until_ready(name, patience)

    def wait_until_ready(self, name: str, seconds: float = READY_SECONDS) -> None:
        """Return once ``name`` works. EmbeddedError ``process_died`` or ``not_ready`` otherwise."""
        process = self.processes[name]
        deadline = time.monotonic() + seconds
        while True:
            if not self.is_alive(name):
                raise self.death_of(name)
            if self._is_ready(process):
                return
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    "not_ready",
                    f"The {name} process was not ready after {seconds:.0f} s: see {self.log_path(name)}",
                )
            time.sleep(0.05)

    def _is_ready(self, process: Process) -> bool:
        if process.listens:
            return healthy(self.port)
        if process.ready is None:
            return True
        # The beginning counts, not the tail: a busy worker's log moves on quickly.
        with self.log_path(process.name).open("rb") as log:
            log.seek(self._since[process.name])
            return process.ready.encode() in log.read(1_000_000)

    def death_of(self, name: str) -> EmbeddedError:
        """What to say about a process that ended by itself: a sentence, its log, its last lines."""
        child = self._child(name)
        status = reap(child) if child is not None and exited(child) else None
        how = (
            "ended"
            if status is None
            else f"was killed by signal {-status}"
            if status < 0
            else f"ended with status {status}"
        )
        last = "\n".join(f"  {line}" for line in tail(self.log_path(name), since=self._since.get(name, 0)))
        return EmbeddedError(
            "process_died", f"The {name} process {how}; its log is {self.log_path(name)}\n{last}".rstrip()
        )

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send ``number`` to the whole session of ``name`` (or "postgres", "valkey"), as a crash would."""
        child = self._child(name)
        if child is None or exited(child):
            raise KeyError(name)
        os.killpg(child.pid, number)
        if number == signal.SIGKILL:
            reap(child)

    def restart(self, name: str) -> None:
        """End ``name`` if it still runs, start it again, and return when it is ready."""
        if name == "postgres":
            self.postgres.stop()
            self.postgres.start()
        elif name == "valkey":
            self.valkey.stop()
            self.valkey.start()
        else:
            if name in self.children:
                self._ask(name)
                self._end(name)
            self.start_process(name)

    def announce(self) -> None:
        """Leave a line for whoever starts a second one."""
        write_private(self.home / "serve.txt", f"{self.base_url}, process {os.getpid()}\n")

    def dead(self) -> list[str]:
        """Names of what should be running and is not."""
        gone = [name for name in self.children if not self.is_alive(name)]
        for name, service in (("postgres", self._postgres), ("valkey", self._valkey)):
            if service is None:
                continue
            if exited(service.process) if service.process is not None else not service.is_running:
                gone.append(name)
        return gone
