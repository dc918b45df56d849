"""A long check over several workers: lay it out, count a part, reduce. Called by the worker only."""

from __future__ import annotations

import logging
from threading import Event
from typing import Any
from uuid import UUID

from django.conf import settings

from audits.checks.contract import CheckResult, Message
from audits.confine import ConfinedOutcome
from audits.models import CheckPart, CheckRun
from audits.services import check_parts, part_store
from audits.services.confined import (
    child_outcome,
    cut_down,
    environment_of,
    fetched_once,
    kept_alive,
    result_of,
)

MAPPED = "audits.checks.mapped"
log = logging.getLogger(__name__)


def lay_out(run: CheckRun, lost: Event) -> bool:
    """True: the run is divided, its parts are on their way. False: it has its one pass."""
    if not check_parts.worth_laying_out(run):
        return False
    told = {"map_rows": settings.CRIVO_MAP_ROWS, "part_rows": settings.CRIVO_PART_ROWS}
    found = _asked(run, "lay_out", told, lost).result or {}
    if not found.get("shares"):
        return False
    try:
        check_parts.divide(run, found["survey"], found["shares"])
    except OSError as error:
        log.warning(
            "CRIVO_ZONE_PARTS cannot be written, check run %s is not divided: %s", run.id, error.strerror
        )
        return False
    return True


def run_part(part_id: UUID) -> bool:
    """Count one part; False if it was not ours to count.

    In a data zone go on with the next part of its run: every worker fetches the data once, not once a part.
    """
    try:
        part = check_parts.claim(part_id)
        if part is None:
            return False
        with fetched_once():
            done = _count(part)
            while part.run.zone is not None and (following := check_parts.next_of(part.run)) is not None:
                part = following
                _count(part)
        return done
    finally:
        part_store.sweep()


def _count(part: CheckPart) -> bool:
    """Count this part, which is ours; False if it no longer is."""
    asked = check_parts.asked_of(part)
    if asked is None:
        if part.run.finished or part.run.zone is None:
            return False
        return check_parts.fail(part, Message("part_lost"), {})
    if check_parts.given_up(part):
        error = Message(check_parts.KILLED, {"attempts": part.attempts - 1})
        return check_parts.fail(part, error, {})
    with kept_alive(lambda: check_parts.renew(part.id, part.fence), f"check part {part.id}") as lost:
        outcome = _asked(part.run, "compute", asked, lost)
    environment = environment_of(outcome)
    if outcome.result is None:
        error = outcome.error or Message("check_crashed")
        return check_parts.fail(part, _told(error, part.run), environment)
    try:
        return check_parts.finish(part, outcome.result["counted"], environment)
    except OSError:
        return check_parts.fail(part, Message("part_lost"), environment)


def _told(error: Message, run: CheckRun) -> Message:
    """An error may quote data, which does not leave its zone."""
    return cut_down(CheckResult("errored", error=error), run.input).error or error


def reduced(
    run: CheckRun, parts: list[CheckPart], lost: Event
) -> tuple[CheckResult, dict[str, object]] | None:
    """The result from what was counted of all parts, or None: the run has its one pass, in whose words any error is."""
    counted = check_parts.counted_by(parts)
    if counted is None:
        return None
    survey, results = counted
    outcome = _asked(run, "conclude", {"survey": survey, "results": results}, lost)
    result = result_of(outcome)
    environments = [*(part.run_environment for part in parts), environment_of(outcome)]
    libraries = environments[-1]["libraries"]
    if result.outcome != "completed" or any(each["libraries"] != libraries for each in environments):
        return None  # of workers with different libraries nobody knows what the one pass would give
    return cut_down(result, run.input), _together(environments)


def _asked(run: CheckRun, function: str, told: dict[str, Any], lost: Event) -> ConfinedOutcome:
    return child_outcome(
        run.workspace_id,
        {**run.input, "mapped": told},
        required_level=run.confinement_level,
        sources=run.sources,
        lost=lost,
        entry=f"{MAPPED}:{function}",
    )


def _together(environments: list[Any]) -> dict[str, object]:
    """Of all children: their time summed up, the largest memory, the weakest confinement."""
    return {
        "seconds": round(sum(each["seconds"] for each in environments), 3),
        "max_rss_bytes": max(each["max_rss_bytes"] for each in environments),
        "libraries": environments[-1]["libraries"],
        "confinement": min((each["confinement"] for each in environments), key=lambda each: each["level"]),
        "parts": len(environments) - 1,
    }
