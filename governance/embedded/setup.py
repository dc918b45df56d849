"""Running the set-up steps: what is done stays done, what is running is seen, what fails is said."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from .children import launch, reap
from .errors import EmbeddedError
from .files import locked, open_log, private_folder, tail, write_private
from .processes import Step

STAMPS = "setup.json"


def run(
    steps: Iterable[Step],
    *,
    home: Path,
    checkout_home: Path,
    project: Path,
    env: Mapping[str, str],
    report: Callable[[str], None],
) -> list[str]:
    """Run what is new or changed, in order; the names of the steps that ran.

    Stamps of done steps lie beside what the steps made: in ``home``, or in ``checkout_home`` for those that
    write into the checkout. Raises EmbeddedError ``setup_failed`` with the end of the step's output.
    """
    ran: list[str] = []
    for step in steps:
        place = private_folder(checkout_home if step.keeps == "checkout" else home)
        with locked(place / "setup.lock", seconds=600):  # the checkout may be set up for two folders at once
            if _settle(step, place / STAMPS, home=home, project=project, env=env, report=report):
                ran.append(step.name)
    return ran


def _settle(
    step: Step,
    stamps: Path,
    *,
    home: Path,
    project: Path,
    env: Mapping[str, str],
    report: Callable[[str], None],
) -> bool:
    """Run ``step`` unless its stamp says it is done; whether it ran."""
    digest = step.digest(project)
    done = _read(stamps)
    if not step.always and done.get(step.name) == digest:
        return False
    _write(stamps, {name: value for name, value in done.items() if name != step.name})
    started = time.monotonic()
    report(f"{step.label} …")
    _run(step, log=private_folder(home / "logs") / "setup.log", project=project, env=env, report=report)
    report(f"{step.label}: done in {time.monotonic() - started:.1f} s")
    _write(stamps, _read(stamps) | {step.name: digest})
    return True


def _read(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): str(value) for name, value in found.items()}
    except (OSError, ValueError, AttributeError):
        return {}  # no stamps, or torn ones: the steps are idempotent and simply run again


def _write(path: Path, stamps: Mapping[str, str]) -> None:
    write_private(path, json.dumps(stamps, indent=1) + "\n")


def _run(
    step: Step, *, log: Path, project: Path, env: Mapping[str, str], report: Callable[[str], None]
) -> None:
    descriptor = open_log(log)
    try:
        child = launch(
            step.command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=project,
            env=env,
            death_signal=signal.SIGKILL,
        )
        assert child.stdout is not None  # noqa: S101 - PIPE above
        try:
            with child.stdout as output:
                for line in output:
                    os.write(descriptor, line)
                    if step.show:
                        report("  " + line.decode("utf-8", "replace").rstrip())
            status = child.wait()
        finally:
            reap(child)
    finally:
        os.close(descriptor)
    if status != 0:
        last = "\n".join(f"  {line}" for line in tail(log, 15))
        raise EmbeddedError(
            "setup_failed",
            f"{step.label} failed (status {status}, all of it in {log}). The next start tries it again. "
            f"Its last lines:\n{last}",
        )
