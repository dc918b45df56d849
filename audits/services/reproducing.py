"""Compute one check again in the confined child. Called by the worker only."""

from __future__ import annotations

from uuid import UUID

from audits.actors import Command, system_actor
from audits.errors import Conflict
from audits.models import Reproduction
from audits.services.check_runs import failed_result
from audits.services.confined import kept_alive
from audits.services.execution import computed
from audits.services.reproductions import MAX_ATTEMPTS, claim, complete_reproduction, renew


def run_reproduction(reproduction_id: UUID) -> Reproduction | None:
    """The finished reproduction, or None if it was not ours to compute."""
    row = claim(reproduction_id)
    if row is None:
        return None
    environment: dict[str, object] = {}
    if row.attempts > MAX_ATTEMPTS:
        result = failed_result("check_killed_workers", attempts=row.attempts - 1)
    else:
        with kept_alive(lambda: renew(row.id, row.fence), f"reproduction {row.id}") as lost:
            result, environment = computed(row.run, lost)
    command = Command(system_actor("worker", row.workspace_id))
    try:
        return complete_reproduction(
            command=command,
            reproduction_id=row.id,
            fence=row.fence,
            result=result,
            run_environment=environment,
        ).value
    except Conflict:
        return None
