"""What the gate knows of placements, versions and grandfathered artefacts, now or at an earlier moment.

Events are the history: a subject's state at a time is the one its last event by then led to. Which event leads to which
state is a table here; a test holds every registered verb about a placement or a version against it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Q, QuerySet

from audits.ledger.inclusion import EFFECTIVE_AT, published_at
from audits.models import Event
from governance import clock
from governance.models import Grandfathered, Placement, Suspension
from governance.prepared import prepared
from governance.states import GrandfatheredState, PlacementState
from registry.models import ModelVersion
from registry.states import VersionState

PLACEMENT_STATE_AFTER = {
    "placement.granted": PlacementState.LIVE,
    "placement.superseded": PlacementState.SUPERSEDED,
    "placement.suspended": PlacementState.SUSPENDED,
    "placement.reinstated": PlacementState.LIVE,
    "placement.withdrawn": PlacementState.WITHDRAWN,
    "placement.restored": PlacementState.LIVE,
}
VERSION_STATE_AFTER = {
    "model_version.registered": VersionState.REGISTERED,
    "model_version.suspended": VersionState.SUSPENDED,
    "model_version.reinstated": VersionState.REGISTERED,
    "model_version.retired": VersionState.RETIRED,
}


@dataclass(frozen=True)
class Moment:
    """The time of a question. `past`: it was asked about then, so history decides; else the rows as they are."""

    at: datetime
    past: bool


def moment(at: datetime | None) -> Moment:
    return Moment(at or clock.now(), at is not None)


@dataclass(frozen=True)
class Known:
    """What is, or was at the time asked about, true of a placement. `ended_by`: the event that superseded it."""

    state: str
    granted_event: UUID | None
    successor: UUID | None
    ended_by: UUID | None


@dataclass(frozen=True)
class Chains:
    """Placements that were asked about, and those that came after them up to the first effective one."""

    asked: list[Placement]
    rows: dict[UUID, Placement]
    known: dict[UUID, Known]
    lifted: list[Suspension]
    effective: dict[UUID, datetime]  # by event
    touched: frozenset[str]  # the kinds of TOUCHING there are any of: the others need not be asked for

    def state(self, placement: Placement) -> str | None:
        known = self.known.get(placement.id)
        return None if known is None else known.state

    def effective_at(self, placement: Placement) -> datetime | None:
        known = self.known.get(placement.id)
        return (
            None if known is None or known.granted_event is None else self.effective.get(known.granted_event)
        )

    def reinstatements(self, placement: Placement) -> list[datetime | None]:
        """When each of its reinstatements, and its version's, became effective; None for those that are not yet."""
        return [
            self.effective.get(row.lifted_event)
            for row in self.lifted
            if row.lifted_event is not None
            and row.version_id == placement.version_id
            and row.placement_id in (None, placement.id)
        ]

    def stands_in(self, placement: Placement) -> bool:
        """No successor is effective yet, however many wait. One taken back meanwhile does not revive this one.

        What ended it is its own event, not the successor's latest grant: a successor that is granted again by a
        rollback waits for its new event, and what it had superseded long before must not come back for that moment.
        """
        known = self.known.get(placement.id)
        while known is not None and known.ended_by is not None and known.successor is not None:
            if known.ended_by in self.effective:
                return False
            known = self.known.get(known.successor)
            if known is not None and known.state == PlacementState.LIVE:
                return True
            if known is not None and known.state != PlacementState.SUPERSEDED:
                return False
        return False


TOUCHING = ("suspension", "finding", "condition", "review")
CHAIN = f"""
WITH RECURSIVE chain AS (
  SELECT p.id, p.successor_id, {EFFECTIVE_AT.format(event="p.superseding_event")} AS ended_at, true AS asked
  FROM governance_placement p
  WHERE p.version_id = ANY(%(versions)s::uuid[]) AND p.environment_id = ANY(%(environments)s::uuid[])
  UNION
  SELECT p.id, p.successor_id, {EFFECTIVE_AT.format(event="p.superseding_event")}, false
  FROM chain JOIN governance_placement p ON p.id = chain.successor_id OR (%(past)s AND p.id IN (
    SELECT (e.detail->>'successor')::uuid FROM audits_event e
    WHERE e.subject_id = chain.id AND e.verb = 'placement.superseded'))
  WHERE %(past)s OR chain.ended_at IS NULL
) SELECT chain.id, bool_or(asked),
  p.granted_event, {EFFECTIVE_AT.format(event="p.granted_event")}, p.superseding_event, max(chain.ended_at),
  EXISTS (SELECT FROM governance_suspension s WHERE s.version_id = p.version_id AND s.lifted_event IS NOT NULL),
  EXISTS (SELECT FROM governance_finding f WHERE f.version_id = p.version_id),
  EXISTS (SELECT FROM governance_condition c WHERE c.promotion_id = p.promotion_id),
  EXISTS (SELECT FROM governance_placement_review r WHERE r.placement_id = p.id)
FROM chain JOIN governance_placement p ON p.id = chain.id GROUP BY chain.id, p.id
"""  # noqa: S608 - nothing of the caller is in the text


@prepared
def _placements(*, ids: Sequence[UUID]) -> QuerySet[Placement]:
    return Placement.objects.filter(id__in=ids).select_related(
        "version__model", "environment", "promotion__policy"
    )


def chains(versions: Sequence[UUID], environments: Sequence[UUID], when: Moment) -> Chains:
    """Two queries; two more where a suspension was lifted, and two for the past.

    Now, a chain is followed no further than its first effective successor.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            CHAIN,
            {
                "versions": [str(row) for row in versions],
                "environments": [str(row) for row in environments],
                "past": when.past,
            },
        )
        found = cursor.fetchall()
    rows = {row.id: row for row in _placements(ids=[row[0] for row in found])}
    asked = [rows[placement] for placement, wanted, *_ in found if wanted]
    touched = frozenset(kind for row in found for kind, there in zip(TOUCHING, row[6:], strict=True) if there)
    reinstated = _lifted(rows, when) if "suspension" in touched else []
    # Now, whatever is published is effective, whichever clock is ahead; then, what was published by then. A row that
    # a rollback changed since the first of the two queries names an event that is not in it: not effective yet.
    told = {event: since for row in found for event, since in (row[2:4], row[4:6])}
    if when.past:
        known = _history(rows, when.at)
        events = {row.granted_event for row in known.values()} | {row.ended_by for row in known.values()}
        told |= published_at(event for event in events if event is not None and event not in told)
    else:
        known = _present(rows)
    told |= published_at(row.lifted_event for row in reinstated if row.lifted_event is not None)
    effective = {
        event: since
        for event, since in told.items()
        if event is not None and since is not None and not (when.past and since > when.at)
    }
    return Chains(asked, rows, known, reinstated, effective, touched)


def _lifted(rows: Mapping[UUID, Placement], when: Moment) -> list[Suspension]:
    lifted = Suspension.objects.filter(
        version_id__in={row.version_id for row in rows.values()}, lifted_event__isnull=False
    )
    if when.past:
        lifted = lifted.filter(lifted_event__in=Event.objects.filter(at__lte=when.at).values("id"))
    return list(lifted)


def _present(rows: Mapping[UUID, Placement]) -> dict[UUID, Known]:
    return {
        row.id: Known(row.state, row.granted_event, row.successor_id, row.superseding_event)
        for row in rows.values()
    }


def _history(rows: Mapping[UUID, Placement], at: datetime) -> dict[UUID, Known]:
    """A rollback overwrites grant and successor in the row: what they were before is in the events."""
    told = _moves(placements=list(rows), promotions=[row.promotion_id for row in rows.values()], at=at)
    first = {subject: event_id for event_id, subject, verb, _ in told if verb == "promotion.granted"}
    known: dict[UUID, Known] = {}
    for event_id, subject, verb, detail in told:
        if verb == "promotion.granted":
            continue
        row = rows[subject]
        before = known.get(subject)
        state = _told(verb, detail, PLACEMENT_STATE_AFTER)
        granted = before.granted_event if before else first.get(row.promotion_id)
        successor, ended_by = (before.successor, before.ended_by) if before else (None, None)
        if verb == "placement.restored":
            granted, successor, ended_by = event_id, None, None
        elif state == PlacementState.SUPERSEDED:
            named = detail.get("successor")
            successor = UUID(named) if named else row.successor_id
            superseding = detail.get("superseding_event")
            ended_by = UUID(superseding) if superseding else row.superseding_event
        known[subject] = Known(state, granted, successor, ended_by)
    return known


@prepared
def _moves(*, placements: Sequence[UUID], promotions: Sequence[UUID], at: datetime) -> QuerySet[Event, Any]:
    """What happened to the placements until then, each in its order, and the grants that they came from."""
    moved = Q(
        subject_kind="placement",
        subject_id__in=placements,
        verb__in=list(PLACEMENT_STATE_AFTER),
        at__lte=at,
    )
    granted = Q(subject_kind="promotion", subject_id__in=promotions, verb="promotion.granted")
    told = Event.objects.filter(moved | granted, outcome="done").order_by("subject_id", "subject_seq")
    return told.values_list("id", "subject_id", "verb", "detail")


def _told(verb: str, detail: Mapping[str, str], table: Mapping[str, str]) -> str:
    """An event may name the state itself, in its detail: what a suspension interrupted can come back otherwise."""
    named = detail.get("state")
    return named if named in set(table.values()) and named is not None else table[verb]


def state_after(
    kind: str, subjects: Iterable[UUID], table: Mapping[str, str], at: datetime
) -> dict[UUID, str]:
    """The state of each subject by its last telling event until `at`; subjects with none by then are left out."""
    events = _last_telling(kind=kind, subjects=list(subjects), verbs=list(table), at=at)
    return {subject: _told(verb, detail, table) for subject, verb, detail in events}


@prepared
def _last_telling(
    *, kind: str, subjects: Sequence[UUID], verbs: Sequence[str], at: datetime
) -> QuerySet[Event, Any]:
    told = Event.objects.filter(
        subject_kind=kind, subject_id__in=subjects, outcome="done", verb__in=verbs, at__lte=at
    )
    return (
        told.order_by("subject_id", "-subject_seq")
        .distinct("subject_id")
        .values_list("subject_id", "verb", "detail")
    )


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
