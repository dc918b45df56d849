"""The question a deploy job asks: may this artefact run in this environment, now? Default is no."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db.models import QuerySet

from audits.checks.contract import Message
from audits.ledger.inclusion import published_at
from governance import clock
from governance.hindrances import Hindrances, hindrances
from governance.models import BrokenGlass, Environment, Placement
from governance.states import GlassState, PlacementState
from registry.models import ModelVersion
from registry.states import VersionState


@dataclass(frozen=True)
class Standing:
    """One placement and what it says about the digest."""

    placement: Placement
    allowed: bool
    reason: Message
    effective_at: datetime | None
    hindrances: Hindrances = field(default_factory=Hindrances)


@dataclass(frozen=True)
class Answer:
    """`break_glass`: refused, and let through until `until` by somebody who answers for it."""

    allowed: bool
    reasons: list[Message]
    standings: list[Standing] = field(default_factory=list)
    warnings: list[Message] = field(default_factory=list)
    break_glass: bool = False
    until: datetime | None = None


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
    now = clock.now()
    standings = _standings(
        placements.select_related("version__model", "environment", "promotion__policy", "successor").order_by(
            "-id"
        ),
        now,
    )
    answer = _decide(standings, environment)
    return answer if answer.allowed else _through_broken_glass(answer, versions, environment, now)


def _through_broken_glass(
    answer: Answer, versions: QuerySet[ModelVersion], environment: str, now: datetime
) -> Answer:
    """What was refused, unless somebody broke the glass; never against a suspension or a withdrawal."""
    restricted = {
        row.placement.version_id
        for row in answer.standings
        if row.placement.state in (PlacementState.SUSPENDED, PlacementState.WITHDRAWN)
    }
    broken = list(
        BrokenGlass.objects.filter(
            version__in=versions.filter(state=VersionState.REGISTERED).exclude(id__in=restricted),
            environment__name=environment,
            state=GlassState.BROKEN,
            expires_at__gt=now,
        )
        .select_related("version__model", "environment")
        .order_by("-expires_at")
    )
    effective = published_at(row.granted_event for row in broken)
    for row in broken:
        if row.granted_event in effective:
            about = {"version": row.version.label, "environment": environment}
            why = [Message("glass_was_broken", about), *answer.reasons]
            return Answer(True, why, answer.standings, break_glass=True, until=row.expires_at)
    return answer


def _standings(placements: Iterable[Placement], now: datetime) -> list[Standing]:
    rows = list(placements)
    effective = published_at(row.granted_event for row in rows)
    against = hindrances(rows, now)
    return [_standing(row, effective, against[row.id]) for row in rows]


def _standing(placement: Placement, effective: dict[UUID, datetime], against: Hindrances) -> Standing:
    since = effective.get(placement.granted_event)
    about = {"version": placement.version.label, "environment": placement.environment.name}

    def closed(code: str) -> Standing:
        return Standing(placement, False, Message(code, about), since, against)

    if placement.version.state != VersionState.REGISTERED:
        return closed(f"version_{placement.version.state}")
    if placement.state in (PlacementState.SUSPENDED, PlacementState.WITHDRAWN):
        return closed(f"placement_{placement.state}")
    if since is None:
        return closed("not_effective_yet")
    # Until its successor is effective the predecessor stays allowed: there is no moment with no answer.
    if placement.state == PlacementState.SUPERSEDED and not _stands_in(placement):
        return closed("superseded")
    if against.shut:
        return Standing(placement, False, against.shut[0], since, against)
    return Standing(placement, True, Message("allowed", about), since, against)


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
        return Answer(True, [], allowed, [message for row in allowed for message in row.hindrances.warnings])
    latest = standings[0]
    further = [message for message in latest.hindrances.shut if message != latest.reason]
    return Answer(False, [latest.reason, *further], standings)
