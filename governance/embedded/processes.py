"""The two tables of a start: what is set up, and which processes serve.

Kept as plain tables so that a process or a step is one entry here and nothing else.
"""

from __future__ import annotations

import hashlib
import signal
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Step:
    """One command of the set-up, run to its end before anything serves.

    ``changed``: globs, relative to the checkout, of what it depends on; it runs again only when their
    contents change (for ``once``, give none). ``always`` runs at every start.
    ``keeps``: whether what it makes lies in the home folder (the database included) or in the checkout.
    ``show``: its output is progress for people; otherwise it is only logged.
    """

    name: str
    label: str
    command: tuple[str, ...]
    changed: tuple[str, ...] = ()
    always: bool = False
    keeps: Literal["home", "checkout"] = "home"
    show: bool = False
    afterwards: bool = False  # once everything serves: it is a client of what was started

    def digest(self, project: Path) -> str:
        """SHA-256 over the command and the paths and contents of what the step depends on."""
        found = {path for pattern in self.changed for path in project.glob(pattern) if path.is_file()}
        digest = hashlib.sha256(repr(self.command).encode())
        for path in sorted(found):
            digest.update(f"\0{path.relative_to(project)}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()


@dataclass(frozen=True)
class Process:
    """One process that serves.

    ``command`` may hold ``{fd}`` (the listening socket, for the one that has ``listens``) and ``{home}``.
    ``ready``: a text its log shows once it works; with ``listens``, it is ready when /healthz answers 200.
    ``stop``: signals, each with the seconds it is given; SIGKILL follows. ``wave``: lower ones stop first.
    ``migrates``: whether it gets the migrating role's URL; those that serve must not. ``seals``: the notary's.
    """

    name: str
    command: tuple[str, ...]
    stop: tuple[tuple[signal.Signals, float], ...]
    wave: int
    listens: bool = False
    ready: str | None = None
    migrates: bool = False
    seals: bool = False
    death_signal: signal.Signals = signal.SIGTERM
    """What it gets when the supervisor is killed: nobody is left then to lose patience with it."""


MANAGE = (sys.executable, "manage.py")
CELERY = (sys.executable, "-m", "celery", "-A", "governance")

SETUP: tuple[Step, ...] = (
    Step(
        "catalogues",
        "Compiling the translations",
        (sys.executable, "-m", "governance.console.catalogue", "compile"),
        changed=("templates/locale/**/*.po",),
        keeps="checkout",
    ),
    Step(
        "static",
        "Collecting the pages' static files",
        (*MANAGE, "collectstatic", "--noinput", "--verbosity", "0"),
        changed=("requirements.txt", "governance/settings.py", "*/static/**/*"),
        keeps="checkout",
    ),
    Step("keys", "Making keys", (*MANAGE, "make_keys"), changed=("audits/keys.py",)),
    Step(
        "migrate",
        "Bringing the database up to date",
        (*MANAGE, "migrate", "--noinput", "--database", "migrator"),
        changed=(
            "*/migrations/*.py",
            "*/*/migrations/*.py",
            "requirements.txt",
            "audits/roles.py",
            "governance/net.py",
        ),
    ),
    Step(
        "bootstrap",
        "Seeding roles and first policies",
        (*MANAGE, "bootstrap"),
        changed=("*/migrations/*.py", "*/*/migrations/*.py"),
    ),
    Step(
        "demonstration",
        "Loading the demonstration",
        (*MANAGE, "load_demo"),
    ),
    Step(
        "story",
        "Playing the first half of the demonstration, so that there is something to look at",
        (sys.executable, "-m", "governance.demo.prepare"),
        afterwards=True,
    ),
)

PROCESSES: tuple[Process, ...] = (
    Process(
        "web",
        (
            *(sys.executable, "-m", "gunicorn", "governance.wsgi:application"),
            *("--worker-class", "gthread", "--threads", "16", "--bind", "fd://{fd}"),
            *("--timeout", "120", "--graceful-timeout", "8", "--keep-alive", "30"),
            "--no-control-socket",
        ),
        stop=((signal.SIGTERM, 10.0), (signal.SIGQUIT, 2.0)),
        wave=0,
        listens=True,
    ),
    # Not the worker's -B: the sweep that sends lost work again must outlive a killed worker.
    Process(
        "beat",
        (*CELERY, "beat", "--schedule", "{home}/celerybeat-schedule", "--pidfile=", "--loglevel", "INFO"),
        stop=((signal.SIGTERM, 3.0),),
        wave=0,
    ),
    Process(
        "worker",
        (
            *(
                *CELERY,
                "worker",
                "--pool",
                "prefork",
                "--concurrency",
                "2",
                "-Q",
                "celery",
                "--loglevel",
                "INFO",
            ),
            *("--without-gossip", "--without-mingle"),  # one worker: nobody to wait for at the start
        ),
        stop=((signal.SIGTERM, 12.0), (signal.SIGQUIT, 3.0)),  # finish what runs, then give it back
        wave=1,
        ready=" ready.",
        death_signal=signal.SIGQUIT,
    ),
    Process("notary", (*MANAGE, "notary"), stop=((signal.SIGTERM, 8.0),), wave=2, seals=True),
)


WITHOUT_DEMONSTRATION: tuple[Step, ...] = tuple(
    step for step in SETUP if step.name not in ("demonstration", "story")
)


def chosen(names: Iterable[str | Process], table: tuple[Process, ...] = PROCESSES) -> tuple[Process, ...]:
    """Processes by name, or given as they are. ValueError for a name the table does not have."""
    known = {process.name: process for process in table}
    found: list[Process] = []
    for name in names:
        if isinstance(name, Process):
            found.append(name)
        elif name in known:
            found.append(known[name])
        else:
            raise ValueError(f"no process is called {name!r}; there are {', '.join(known)}")
    return tuple(found)
