"""Which version of each policy is in force: the newest whose event is in a published checkpoint. Derived, never stored.

Until then the version before it stays in force, so that there is no moment without an answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from audits.errors import Unprocessable
from audits.ledger.inclusion import published_at
from governance.models import Environment, PolicyVersion, UseCase


def versions_in_force(workspace: UUID) -> list[PolicyVersion]:
    """One version of each policy name at most, by name. Two queries; four while a version waits for its checkpoint."""
    newest = list(PolicyVersion.objects.filter(workspace_id=workspace, current=True))
    found = _published(newest)
    waiting = {version.name for version in newest} - {version.name for version in found}
    if waiting:
        earlier = PolicyVersion.objects.filter(workspace_id=workspace, name__in=waiting, current=False)
        for version in _published(earlier.order_by("-n")):
            if version.name in waiting:
                found.append(version)
                waiting.discard(version.name)
    return sorted(found, key=lambda version: version.name)


def _published(versions: Iterable[PolicyVersion]) -> list[PolicyVersion]:
    rows = list(versions)
    known = published_at(version.granted_event for version in rows)
    return [version for version in rows if version.granted_event in known]


def policy_for(use_case: UseCase, environment: Environment) -> PolicyVersion | None:
    """The policy in force: one made for the use case before one for its tier. 422 if two apply."""
    return matching(versions_in_force(use_case.workspace_id), use_case, environment.name)


def matching(versions: Sequence[PolicyVersion], use_case: UseCase, environment: str) -> PolicyVersion | None:
    """As policy_for, among `versions`. Pure."""
    here = [version for version in versions if version.environment == environment]
    own = [version for version in here if version.use_case == use_case.name]
    by_tier = [
        version for version in here if not version.use_case and use_case.risk_tier in version.risk_tiers
    ]
    found = own or by_tier
    if len(found) > 1:
        raise Unprocessable(
            "policies_overlap", environment=environment, policies=[version.label for version in found]
        )
    return found[0] if found else None
