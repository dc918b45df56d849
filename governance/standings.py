"""What the gate knows of placements, versions and grandfathered artefacts, now or at an earlier moment.

Events are the history: a subject's state at a time is the one its last event by then led to. Which event leads to which
state is a table here; a test holds every registered verb about a placement or a version against it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection
from django.utils import timezone

from audits.models import Event
from governance.models import Grandfathered, Placement
from governance.states import GrandfatheredState, PlacementState
from registry.models import ModelVersion
from registry.states import VersionState

PLACEMENT_STATE_AFTER = {
    "placement.granted": PlacementState.LIVE,
    "placement.superseded": PlacementState.SUPERSEDED,
    "placement.suspended": PlacementState.SUSPENDED,
    "placement.resumed": PlacementState.LIVE,
    "placement.reinstated": PlacementState.LIVE,
    "placement.withdrawn": PlacementState.WITHDRAWN,
    "placement.retired": PlacementState.WITHDRAWN,
    "placement.rolled_back": PlacementState.WITHDRAWN,
}
VERSION_STATE_AFTER = {
    "model_version.registered": VersionState.REGISTERED,
    "model_version.suspended": VersionState.SUSPENDED,
    "model_version.resumed": VersionState.REGISTERED,
    "model_version.reinstated": VersionState.REGISTERED,
    "model_version.retired": VersionState.RETIRED,
}
# When the first checkpoint that holds the event of this grant was published.
EFFECTIVE_AT = (
    "(SELECT c.published_at FROM audits_leaf l JOIN audits_checkpoint c ON c.size > l.index "
    "WHERE l.event_id = {event} ORDER BY c.size LIMIT 1)"
)


@dataclass(frozen=True)
class Moment:
    """The time of a question. `past`: it was asked about then, so history decides; else the rows as they are."""

    at: datetime
    past: bool


def moment(at: datetime | None) -> Moment:
    return Moment(at or timezone.now(), at is not None)


@dataclass(frozen=True)
class Chains:
    """Placements that were asked about, and those that came after them up to the first effective one."""

    asked: list[Placement]
    rows: dict[UUID, Placement]
    effective: dict[UUID, datetime]
    states: dict[UUID, str] | None  # None: as they are now

    def state(self, placement: Placement) -> str | None:
        return placement.state if self.states is None else self.states.get(placement.id)

    def effective_at(self, placement: Placement) -> datetime | None:
        return self.effective.get(placement.id)

    def stands_in(self, placement: Placement) -> bool:
        """No successor is effective yet, however many wait. One taken back meanwhile does not revive this one."""
        successor = self._successor(placement)
        while successor is not None:
            if successor.id in self.effective:
                return False
            state = self.state(successor)
            if state == PlacementState.LIVE:
                return True
            if state != PlacementState.SUPERSEDED:
                return False
            successor = self._successor(successor)
        return False

    def _successor(self, placement: Placement) -> Placement | None:
        return None if placement.successor_id is None else self.rows.get(placement.successor_id)


def chains(versions: Sequence[UUID], environments: Sequence[UUID], when: Moment) -> Chains:
    """Two queries; a third for the past. A chain is followed no further than its first effective successor."""
    effective_at = EFFECTIVE_AT.format(event="p.granted_event")
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH RECURSIVE chain AS ("  # noqa: S608 - nothing of the caller is in the text
            f"  SELECT p.id, p.successor_id, {effective_at} AS effective_at, true AS asked"
            "   FROM governance_placement p"
            "   WHERE p.version_id = ANY(%(versions)s::uuid[]) AND p.environment_id = ANY(%(environments)s::uuid[])"
            "  UNION"
            f"  SELECT p.id, p.successor_id, {effective_at}, false"
            "   FROM chain JOIN governance_placement p ON p.id = chain.successor_id"
            "   WHERE chain.asked OR chain.effective_at IS NULL OR chain.effective_at > %(at)s"
            ") SELECT id, bool_or(asked), max(effective_at) FROM chain GROUP BY id",
            {
                "versions": [str(row) for row in versions],
                "environments": [str(row) for row in environments],
                "at": when.at,
            },
        )
        found = cursor.fetchall()
    rows = {
        row.id: row
        for row in Placement.objects.filter(id__in=[row[0] for row in found]).select_related(
            "version__model", "environment"
        )
    }
    asked = [rows[placement] for placement, wanted, _ in found if wanted]
    # Now, whatever is published is effective, whichever clock is ahead; then, what was published by then.
    effective = {
        placement: since
        for placement, _, since in found
        if since is not None and (not when.past or since <= when.at)
    }
    states = state_after("placement", rows, PLACEMENT_STATE_AFTER, when.at) if when.past else None
    return Chains(asked, rows, effective, states)


def state_after(
    kind: str, subjects: Iterable[UUID], table: Mapping[str, str], at: datetime
) -> dict[UUID, str]:
    """The state of each subject by its last telling event until `at`; subjects with none by then are left out.

    An event may name the state itself, in its detail: what a suspension interrupted can come back as something else.
    """
    events = (
        Event.objects.filter(
            subject_kind=kind, subject_id__in=list(subjects), outcome="done", verb__in=list(table), at__lte=at
        )
        .order_by("subject_id", "-subject_seq")
        .distinct("subject_id")
        .values_list("subject_id", "verb", "detail")
    )
    states = set(table.values())
    return {
        subject: detail["state"] if detail.get("state") in states else table[verb]
        for subject, verb, detail in events
    }


def version_states(versions: Sequence[ModelVersion], when: Moment) -> dict[UUID, str]:
    now = {row.id: row.state for row in versions}
    return {**now, **state_after("model_version", now, VERSION_STATE_AFTER, when.at)} if when.past else now


@dataclass(frozen=True)
class Tolerated:
    """A grandfathered artefact. `replaced_at`: an approved version took its place in an exclusive environment."""

    entry: Grandfathered
    effective_at: datetime | None
    replaced_at: datetime | None

    def verdict(self, when: Moment) -> tuple[bool, str]:
        entry = self.entry
        if entry.state == GrandfatheredState.ENDED and not (when.past and _after(entry.ended_at, when)):
            return False, "grandfathering_ended"
        if self.effective_at is None or (when.past and self.effective_at > when.at):
            return False, "grandfathering_not_effective_yet"
        if self.replaced_at is not None and not (when.past and self.replaced_at > when.at):
            return False, "grandfathering_replaced"
        if when.at >= entry.deadline:
            return False, "grandfathering_over"
        return True, "grandfathered"


def _after(moment: datetime | None, when: Moment) -> bool:
    return moment is not None and moment > when.at


def grandfathered(workspace: UUID, digests: Iterable[str], when: Moment) -> list[Tolerated]:
    """One query. Entries that came later than the time asked about are left out."""
    effective_at = EFFECTIVE_AT.format(event="governance_grandfathered.event_id")
    replaced_at = (
        f"(SELECT min({EFFECTIVE_AT.format(event='p.granted_event')}) FROM governance_placement p "  # noqa: S608
        "WHERE p.model_id = governance_grandfathered.model_id AND p.exclusive "
        "AND p.environment_id = governance_grandfathered.environment_id)"
    )
    rows = Grandfathered.objects.filter(workspace_id=workspace, artifact_digest__in=list(digests))
    if when.past:
        rows = rows.filter(created_at__lte=when.at)
    rows = rows.select_related("model", "environment").extra(  # noqa: S610
        select={"effective_at": effective_at, "replaced_at": replaced_at}
    )
    return [Tolerated(row, row.effective_at, row.replaced_at) for row in rows.order_by("-id")]  # type: ignore[attr-defined]
