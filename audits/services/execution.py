"""Run one check: claim it, let the confined child compute it, write down what came out. Called by the worker only."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from threading import Event, Thread
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, connection

from audits import blobs
from audits.actors import Command, system_actor
from audits.checks.contract import CheckResult, Message
from audits.checks.results import MalformedResult, parse_result
from audits.checks.zones import Zone, may_leave
from audits.confine import ConfinedOutcome, Limits, Zygote
from audits.errors import Conflict
from audits.fetching import NotFetched, fetched
from audits.models import CheckRun
from audits.services.check_runs import (
    LEASE,
    MAX_ATTEMPTS,
    claim,
    complete_check_run,
    failed_result,
    renew,
)

RENEW_SECONDS = LEASE.total_seconds() / 4
PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 8.0)  # seconds between attempts to write a result down
log = logging.getLogger(__name__)


@cache
def zygote() -> Zygote:
    """One per worker process, started with its first check."""
    return Zygote()


def run_check(run_id: UUID) -> CheckRun | None:
    """The finished run, or None if it was not ours to run."""
    run = claim(run_id)
    if run is None:
        return None
    command = Command(system_actor("worker", run.workspace_id))
    if run.attempts > MAX_ATTEMPTS:
        # The workers that took it before died over it: a fourth would, too.
        environment: dict[str, object] = {}
        result = failed_result("check_killed_workers", attempts=run.attempts - 1)
    else:
        with kept_alive(lambda: renew(run.id, run.fence), f"check run {run.id}"):
            result, environment = computed(run)
    return _written_down(command, run, result, environment)


def _written_down(
    command: Command, run: CheckRun, result: CheckResult, environment: dict[str, object]
) -> CheckRun | None:
    """What took minutes to compute is not thrown away because the database restarts in that moment."""
    for pause in (*PAUSES, None):
        try:
            return complete_check_run(
                command=command, run_id=run.id, fence=run.fence, result=result, run_environment=environment
            ).value
        except Conflict:
            return None
        except (OperationalError, InterfaceError) as error:
            if pause is None:
                raise
            log.warning("the result of check run %s is not written yet: %s", run.id, error)
            connection.close()
            time.sleep(pause)
    raise AssertionError("unreachable")


@contextmanager
def kept_alive(renewed: Callable[[], bool], what: str) -> Iterator[None]:
    """Renew a lease from a thread, on its own connection, for as long as the block takes."""
    finished = Event()

    def keep() -> None:
        while not finished.wait(RENEW_SECONDS):
            try:
                if not renewed():
                    return
            except DatabaseError:
                log.warning("the lease of %s could not be renewed", what)
            finally:
                connection.close()

    thread = Thread(target=keep, name=f"lease of {what}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()


def computed(run: CheckRun) -> tuple[CheckResult, dict[str, object]]:
    """The result of the run's input, computed in the confined child; nothing is written."""
    return in_the_child(
        run.workspace_id, run.input, required_level=run.confinement_level, sources=run.sources
    )


def in_the_child(
    workspace: UUID,
    question: dict[str, Any],
    *,
    required_level: int,
    sources: dict[str, str] | None = None,
    **entry: str,
) -> tuple[CheckResult, dict[str, object]]:
    """What the child answers to `question`, whose `materials` it gets as open files; and its environment.

    `entry`: the function that answers, where it is not that of the checks. Data of a zone is read from its `sources`,
    and what the child answers is cut down to what may leave the zone, here, before anybody else sees it.
    """
    materials = question["materials"]
    with ExitStack() as stack:
        files = {}
        for material in materials:
            source = (sources or {}).get(material["digest"])
            try:
                handle = stack.enter_context(
                    blobs.opened(workspace, material["digest"])
                    if source is None
                    else fetched(source, material["digest"])
                )
            except NotFetched as error:
                return failed_result("zone_data_unreadable", role=material["role"], reason=error.code), {}
            except (OSError, ValueError):
                return failed_result(
                    "material_unreadable", role=material["role"], digest=material["digest"]
                ), {}
            files[material["role"]] = handle.fileno()
        outcome = zygote().run(
            question,
            files,
            limits=Limits(
                wall_seconds=settings.CRIVO_CHECK_SECONDS, memory_bytes=settings.CRIVO_CHECK_MEMORY
            ),
            required_level=required_level,
            digests={material["role"]: material["digest"] for material in materials},
            **entry,
        )
    result, environment = _outcome_of(outcome)
    zone = Zone.of(question)
    return (result if zone is None else may_leave(result, question, zone)), environment


def _outcome_of(outcome: ConfinedOutcome) -> tuple[CheckResult, dict[str, object]]:
    """What a confined run is kept as: the result, and the environment it was computed in."""
    environment: dict[str, object] = {
        "seconds": round(outcome.seconds, 3),
        "max_rss_bytes": outcome.max_rss_bytes,
        "libraries": outcome.libraries,
        "confinement": (
            {"level": outcome.confinement.level, "mechanisms": list(outcome.confinement.mechanisms)}
            if outcome.confinement
            else None
        ),
    }
    if outcome.result is None:
        error = outcome.error or Message("check_crashed")
        return CheckResult(outcome="errored", error=Message(error.code, dict(error.params))), environment
    return _parsed(outcome.result), environment


def _parsed(data: dict[str, object]) -> CheckResult:
    try:
        return parse_result(data)
    except MalformedResult as error:
        return failed_result("check_result_malformed", where=str(error)[:200])
