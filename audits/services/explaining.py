"""Compute one explanation in the confined child. Called by the worker only."""

from __future__ import annotations

from contextlib import ExitStack
from uuid import UUID

from django.conf import settings

from audits import blobs
from audits.actors import Command, system_actor
from audits.checks.contract import CheckResult
from audits.confine import Limits
from audits.errors import Conflict
from audits.models import Explanation
from audits.services.check_runs import failed_result
from audits.services.execution import kept_alive, outcome_of, zygote
from audits.services.explanations import MAX_ATTEMPTS, claim, complete_explanation, renew, unsealed

ENTRY = "audits.checks.local:execute"


def run_explanation(explanation_id: UUID) -> Explanation | None:
    """The answered explanation, or None if it was not ours to compute."""
    row = claim(explanation_id)
    if row is None:
        return None
    environment: dict[str, object] = {}
    given = unsealed(row)
    if row.attempts > MAX_ATTEMPTS:
        result = failed_result("check_killed_workers", attempts=row.attempts - 1)
    elif given is None:
        result = failed_result("explanation_record_lost")
    else:
        with kept_alive(lambda: renew(row.id, row.fence), f"explanation {row.id}"):
            result, environment = _computed(row, given)
    command = Command(system_actor("worker", row.workspace_id))
    try:
        return complete_explanation(
            command=command,
            explanation_id=row.id,
            fence=row.fence,
            result=result,
            run_environment=environment,
        ).value
    except Conflict:
        return None


def _computed(row: Explanation, given: dict[str, object]) -> tuple[CheckResult, dict[str, object]]:
    materials = row.question["materials"]
    with ExitStack() as stack:
        files = {}
        for material in materials:
            try:
                handle = stack.enter_context(blobs.opened(row.workspace_id, material["digest"]))
            except (OSError, ValueError):
                return failed_result(
                    "material_unreadable", role=material["role"], digest=material["digest"]
                ), {}
            files[material["role"]] = handle.fileno()
        outcome = zygote().run(
            {**row.question, "record": given},
            files,
            limits=Limits(
                wall_seconds=settings.CRIVO_CHECK_SECONDS, memory_bytes=settings.CRIVO_CHECK_MEMORY
            ),
            required_level=row.confinement_level,
            entry=ENTRY,
            digests={material["role"]: material["digest"] for material in materials},
        )
    return outcome_of(outcome)
