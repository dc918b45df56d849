"""The question a deploy job asks: may this artefact run in this environment, now? Default is no."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db.models import QuerySet

from audits.checks.contract import Message
from audits.ledger.inclusion import published_at
from governance.models import Environment, Placement
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


def ask(
    workspace: UUID,
    digest: str,
    environment: str,
    model: str = "",
    seen: QuerySet[ModelVersion] | None = None,
) -> Answer:
    """Every well-formed question has an answer; whatever is unknown, not effective or contradictory is a no.

    `seen` are the versions that whoever asks may ask about: any other is as unknown as one that is not there.
    """
    rows = ModelVersion.objects.all() if seen is None else seen
    versions = rows.filter(workspace_id=workspace, artifact_digest=digest)
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


def _standings(placements: Iterable[Placement]) -> list[Standing]:
    rows = list(placements)
    effective = published_at(row.granted_event for row in rows)
    return [_standing(row, effective) for row in rows]


def _standing(placement: Placement, effective: dict[UUID, datetime]) -> Standing:
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
    # Until its successor is effective the predecessor stays allowed: there is no moment with no answer.
    if placement.state == PlacementState.SUPERSEDED and not _stands_in(placement):
        return closed("superseded")
    return Standing(placement, True, Message("allowed", about), since)


def _stands_in(placement: Placement) -> bool:
    """No successor is effective yet, however many are waiting. One taken back meanwhile does not revive this one."""
    successor = placement.successor
    while successor is not None:
        if published_at([successor.granted_event]):
            return False
        if successor.state == PlacementState.LIVE:
            return True
        if successor.state != PlacementState.SUPERSEDED:
            return False
        successor = successor.successor
    return False


def _decide(standings: list[Standing], environment: str) -> Answer:
    if not standings:
        return Answer(False, [Message("not_promoted", {"environment": environment})])
    allowed = [standing for standing in standings if standing.allowed]
    suspended = [row for row in standings if row.placement.state == PlacementState.SUSPENDED]
    if allowed and suspended:
        labels = sorted(row.placement.version.label for row in [*allowed, *suspended])
        return Answer(False, [Message("ambiguous", {"versions": labels})], standings)
    if allowed:
        return Answer(True, [], allowed)
    latest = standings[0]
    return Answer(False, [latest.reason], standings)
