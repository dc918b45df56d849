"""The question a deploy job asks: may this artefact run in this environment, now? Default is no."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from audits.checks.contract import Message
from audits.ledger.inclusion import published_at
from governance.models import Environment, Placement, Suspension
from governance.states import PlacementState
from registry.models import ModelVersion
from registry.states import VersionState


@dataclass(frozen=True)
class Standing:
    """One placement and what it says about the digest."""

    placement: Placement
    allowed: bool
    reason: Message
    effective_at: datetime | None


@dataclass(frozen=True)
class Answer:
    allowed: bool
    reasons: list[Message]
    standings: list[Standing] = field(default_factory=list)


def ask(workspace: UUID, digest: str, environment: str, model: str = "") -> Answer:
    """Every well-formed question has an answer; whatever is unknown, not effective or contradictory is a no."""
    versions = ModelVersion.objects.filter(workspace_id=workspace, artifact_digest=digest)
    if model:
        versions = versions.filter(model__name=model)
    if not versions.exists():
        return Answer(False, [Message("unknown_digest", {"digest": digest})])
    if not Environment.objects.filter(workspace_id=workspace, name=environment).exists():
        return Answer(False, [Message("unknown_environment", {"name": environment})])
    placements = Placement.objects.filter(version__in=versions, environment__name=environment)
    standings = _standings(
        placements.select_related("version__model", "environment", "promotion", "successor").order_by("-id")
    )
    return _decide(standings, environment)


def of_version(version: ModelVersion, environment: Environment) -> Answer:
    """The same question for one version, whatever other versions have the same artefact."""
    placements = Placement.objects.filter(version=version, environment=environment)
    rows = placements.select_related("version__model", "environment", "promotion", "successor")
    return _decide(_standings(rows.order_by("-id")), environment.name)


def of_placement(placement: Placement) -> Standing:
    """What one placement says, by itself."""
    return _standings([placement])[0]


def _standings(placements: Iterable[Placement]) -> list[Standing]:
    rows = list(placements)
    lifted = Suspension.objects.filter(
        version_id__in={row.version_id for row in rows}, lifted_event__isnull=False
    )
    reinstated = list(lifted)
    effective = published_at(
        [row.granted_event for row in rows] + [row.lifted_event for row in reinstated if row.lifted_event]
    )
    return [_standing(row, effective, reinstated) for row in rows]


def _standing(
    placement: Placement, effective: dict[UUID, datetime], reinstated: list[Suspension]
) -> Standing:
    since = effective.get(placement.granted_event)
    about = {"version": placement.version.label, "environment": placement.environment.name}

    def closed(code: str) -> Standing:
        return Standing(placement, False, Message(code, about), since)

    if placement.version.state != VersionState.REGISTERED:
        return closed(f"version_{placement.version.state}")
    if placement.state in (PlacementState.SUSPENDED, PlacementState.WITHDRAWN):
        return closed(f"placement_{placement.state}")
    if since is None:
        return closed("not_effective_yet")
    for suspension in reinstated:
        if suspension.version_id == placement.version_id and suspension.placement_id in (None, placement.id):
            lifted = effective.get(suspension.lifted_event) if suspension.lifted_event else None
            if lifted is None:
                return closed("reinstatement_not_effective_yet")
            since = max(since, lifted)
    # Until its successor is effective the predecessor stays allowed: there is no moment with no answer.
    if placement.state == PlacementState.SUPERSEDED and not _stands_in(placement):
        return closed("superseded")
    return Standing(placement, True, Message("allowed", about), since)


def _stands_in(placement: Placement) -> bool:
    """No successor is effective yet, however many are waiting. One taken back meanwhile does not revive this one.

    What ended it is its own event, not the successor's latest grant: a successor that is granted again by a rollback
    waits for its new event, and what it had superseded long before must not come back for that moment.
    """
    row = placement
    while row.superseding_event is not None and row.successor is not None:
        if published_at([row.superseding_event]):
            return False
        row = row.successor
        if row.state == PlacementState.LIVE:
            return True
        if row.state != PlacementState.SUPERSEDED:
            return False
    return False


OVER = frozenset({"superseded", "placement_withdrawn"})


def _is_stopped(standing: Standing) -> bool:
    """Suspended, or reinstated and not effective yet."""
    return standing.reason.code in (
        "placement_suspended",
        "version_suspended",
        "reinstatement_not_effective_yet",
    )


def _decide(standings: list[Standing], environment: str) -> Answer:
    if not standings:
        return Answer(False, [Message("not_promoted", {"environment": environment})])
    allowed = [standing for standing in standings if standing.allowed]
    stopped = [
        row for row in standings if _is_stopped(row) and row.placement.state != PlacementState.WITHDRAWN
    ]
    if allowed and stopped:
        labels = sorted({row.placement.version.label for row in [*allowed, *stopped]})
        return Answer(False, [Message("ambiguous", {"versions": labels})], standings)
    if allowed:
        return Answer(True, [], allowed)
    # What is still to come or was stopped says more than what is over.
    telling = next((row for row in standings if row.reason.code not in OVER), standings[0])
    return Answer(False, [telling.reason], standings)
