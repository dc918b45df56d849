"""What is live under a policy that is no longer the one in force, and on evidence older than that one accepts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import QuerySet

from audits.errors import Unprocessable
from audits.models import CheckRun
from governance.in_force import matching, versions_in_force
from governance.models import Placement, PolicyVersion, Promotion, PromotionCheck, UseCase
from governance.policy.schema import duration
from governance.states import PlacementState


@dataclass(frozen=True)
class OutdatedPlacement:
    """`in_force` None: no policy covers it any more, or several contradict each other."""

    placement: Placement
    pinned: PolicyVersion
    in_force: PolicyVersion | None
    stale: list[CheckRun]

    @property
    def policy_outdated(self) -> bool:
        return self.in_force is None or self.in_force.id != self.pinned.id


def outdated_placements(seen: QuerySet[Placement], now: datetime) -> list[OutdatedPlacement]:
    """Live placements of one workspace whose policy, or whose evidence, is out of date; the oldest first."""
    live = seen.filter(state=PlacementState.LIVE).order_by("id")
    rows = list(live.select_related("version__model", "environment", "promotion__policy"))
    policies = _policies(rows[0].workspace_id, rows) if rows else []
    judged = (_judged(row, policy, now) for row, policy in zip(rows, policies, strict=True))
    return [found for found in judged if found.policy_outdated or found.stale]


def policy_outdated(promotion: Promotion) -> bool:
    """Whether what this promotion placed is live under a policy version that is no longer the one in force."""
    placement = getattr(promotion, "placement", None)
    if placement is None or placement.state != PlacementState.LIVE:
        return False
    (policy,) = _policies(promotion.workspace_id, [placement])
    return policy is None or policy.id != promotion.policy_id


def _policies(workspace: UUID, placements: Iterable[Placement]) -> list[PolicyVersion | None]:
    """The policy in force for each placement."""
    versions = versions_in_force(workspace)
    use_cases = {row.name: row for row in UseCase.objects.filter(workspace_id=workspace)}
    found: list[PolicyVersion | None] = []
    for placement in placements:
        use_case = use_cases.get(placement.version.metadata["use_case"])
        try:
            found.append(matching(versions, use_case, placement.environment.name) if use_case else None)
        except Unprocessable:
            found.append(None)
    return found


def _judged(placement: Placement, policy: PolicyVersion | None, now: datetime) -> OutdatedPlacement:
    pinned = placement.promotion.policy
    oldest = now - duration((policy or pinned).body["evidence_max_age"])
    checks = PromotionCheck.objects.filter(promotion=placement.promotion).select_related("run")
    stale = [check.run for check in checks if check.run.finished_at is None or check.run.finished_at < oldest]
    return OutdatedPlacement(placement, pinned, policy, stale)
