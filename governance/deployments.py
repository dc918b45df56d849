"""What the placements say of something that runs.

What answers real people needs the gate's yes: live, and the new version of a canary, A/B or blue-green roll-out. The
version it rolls over from is superseded as soon as the new one is effective; it may go on beside it, as long as the
one that superseded it still stands. What only listens (shadow, challenger) may do so one step ahead of its placement.
"""

from __future__ import annotations

from audits.checks.contract import Message
from governance import gate
from governance.models import Environment, Placement
from governance.states import DeploymentMode, PlacementState
from registry.models import ModelVersion

LISTENING = frozenset({DeploymentMode.SHADOW, DeploymentMode.CHALLENGER})
ROLLING = frozenset({DeploymentMode.CANARY, DeploymentMode.AB, DeploymentMode.BLUE_GREEN})


def standing_of(version: ModelVersion, environment: Environment, mode: str) -> tuple[bool, Message]:
    """(allowed now, why or why not)."""
    answer = gate.of_version(version, environment)
    about = {"version": version.label, "environment": environment.name, "mode": mode}
    if answer.allowed:
        return True, Message("allowed", {"version": version.label, "environment": environment.name})
    reason = answer.reasons[0]
    if mode in LISTENING and reason.code in ("not_promoted", "not_effective_yet"):
        before = (
            Environment.objects.filter(
                workspace_id=environment.workspace_id, position__lt=environment.position
            )
            .order_by("-position")
            .first()
        )
        if before is not None and gate.of_version(version, before).allowed:
            return True, Message("listens_one_step_ahead", {**about, "before": before.name})
    if mode in ROLLING and reason.code == "superseded":
        rolled_over_by = Placement.objects.filter(
            predecessors__version=version,
            predecessors__state=PlacementState.SUPERSEDED,
            environment=environment,
            state=PlacementState.LIVE,
        ).select_related("version")
        if any(gate.of_version(row.version, environment).allowed for row in rolled_over_by):
            return True, Message("rolled_over_from", about)
    return False, reason
