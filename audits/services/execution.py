"""Run one check: claim it, let the confined child compute it, write down what came out. Called by the worker only."""

from __future__ import annotations

import logging
import time
from threading import Event
from uuid import UUID

from django.db import InterfaceError, OperationalError, connection

from audits.actors import Command, system_actor
from audits.checks.contract import CheckResult
from audits.errors import Conflict
from audits.models import CheckRun
from audits.services import check_parts, mapping, part_store
from audits.services.check_runs import MAX_ATTEMPTS, claim, complete_check_run, failed_result, renew
from audits.services.confined import answer_of, child_outcome, fetched_once, kept_alive

PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 8.0)  # seconds between attempts to write a result down
log = logging.getLogger(__name__)


def run_check(run_id: UUID) -> CheckRun | None:
    """The finished run, or None if it was not ours to run or goes on in parts."""
    try:
        with fetched_once():
            return _run(run_id)
    finally:
        part_store.sweep()


def _run(run_id: UUID) -> CheckRun | None:
    run = claim(run_id)
    if run is None:
        return None
    command = Command(system_actor("worker", run.workspace_id))
    if run.attempts > MAX_ATTEMPTS:
        # The workers that took it before died over it: a fourth would, too.
        environment: dict[str, object] = {}
        result = failed_result("check_killed_workers", attempts=run.attempts - 1)
    else:
        with kept_alive(lambda: renew(run.id, run.fence), f"check run {run.id}") as lost:
            answer = _answer(run, lost)
        if answer is None:
            return None
        result, environment = answer
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


def _answer(run: CheckRun, lost: Event) -> tuple[CheckResult, dict[str, object]] | None:
    """What came out, or None: the run was divided, and others go on with it."""
    parts = check_parts.parts_of(run)
    if not parts:
        return None if mapping.lay_out(run, lost) else computed(run, lost)
    if attempts := check_parts.killed_workers(parts):
        return failed_result("check_killed_workers", attempts=attempts), {}
    return mapping.reduced(run, parts, lost) or computed(run, lost)


def computed(run: CheckRun, lost: Event | None = None) -> tuple[CheckResult, dict[str, object]]:
    """The result of the run's input, computed in one pass in the confined child; nothing is written."""
    outcome = child_outcome(
        run.workspace_id, run.input, required_level=run.confinement_level, sources=run.sources, lost=lost
    )
    return answer_of(outcome, run.input)
