"""Compute one explanation in the confined child. Called by the worker only."""

from __future__ import annotations

from uuid import UUID

from audits.actors import Command, system_actor
from audits.errors import Conflict
from audits.models import Explanation
from audits.services.check_runs import failed_result
from audits.services.confined import answer_of, child_outcome, kept_alive
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
        with kept_alive(lambda: renew(row.id, row.fence), f"explanation {row.id}") as lost:
            question = {**row.question, "record": given}
            outcome = child_outcome(
                row.workspace_id,
                question,
                required_level=row.confinement_level,
                sources=row.sources,
                lost=lost,
                entry=ENTRY,
            )
            result, environment = answer_of(outcome, question)
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
