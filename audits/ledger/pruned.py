"""Events that were pruned: what stays of them, what the log says of it, and whether both agree.

The newest event `audit.pruned` of a workspace states how many of its events have been pruned so far, and the digest
over all of them: SHA-256 over (event id, leaf hash) in the order of ids. Whoever takes a row away and marks it as
pruned, or unmarks one, contradicts that event, which is itself bound by signed checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from django.db.models import Q

from audits.actors import SubjectRef
from audits.checks.contract import Message
from audits.ledger.tree import leaf_hash
from audits.models import EarlierLeaf, Event, Leaf, PrunedEvent, Workspace
from audits.models.ledger import Outcome
from audits.verifier import parse_envelope, pseudonym

CHUNK = 2_000
VERB = "audit.pruned"


def retention_ref(workspace: Workspace) -> SubjectRef:
    """The subject of prunings: one per workspace, so that they come one after the other."""
    return SubjectRef(
        "retention",
        uuid5(NAMESPACE_URL, f"urn:crivo:retention:{workspace.id}"),
        f"the log of {workspace.name}",
    )


def digest_of_pruned(workspace: UUID) -> tuple[int, str]:
    """(how many, their digest) of what is marked as pruned now. Memory stays flat."""
    found, count = sha256(), 0
    rows = (
        PrunedEvent.objects.filter(workspace=workspace)
        .order_by("event_id")
        .values_list("event_id", "envelope")
    )
    for event_id, envelope in rows.iterator(CHUNK):
        found.update(event_id.bytes + leaf_hash(bytes(envelope)))
        count += 1
    return count, found.hexdigest()


def newest(workspace: UUID) -> Event | None:
    """The event of the newest pruning, which tells of all of them."""
    told = Event.objects.filter(workspace=workspace, verb=VERB, outcome=Outcome.DONE)
    return told.select_related("leaf").order_by("-subject_seq").first()


def notes(
    workspace: UUID,
    since: datetime | None = None,
    until: datetime | None = None,
    subject: tuple[str, UUID] | None = None,
) -> list[Message]:
    """What was pruned there, and in which export it is: one message for each pruning that left a gap between `since`
    and `until`, or among the events of one subject. The numbers are of that gap.
    """
    gap = Q(workspace=workspace)
    if since is not None:
        gap &= Q(at__gte=since)
    if until is not None:
        gap &= Q(at__lte=until)
    if subject is not None:
        gap &= Q(subject_kind=subject[0], subject_id=subject[1])
    found = []
    for event in Event.objects.filter(workspace=workspace, verb=VERB, outcome=Outcome.DONE).order_by(
        "subject_seq"
    ):
        if subject is None and since is None and until is None:
            count = event.detail["count"]
        else:
            count = PrunedEvent.objects.filter(gap, pruning=event.id).count()
        if count:
            found.append(note(event, count))
    return found


def note(event: Event, count: int | None = None) -> Message:
    detail = event.detail
    return Message(
        "events_pruned",
        {
            "count": detail["count"] if count is None else count,
            "before": detail["before"],
            "export": detail["export"],
            "digest": detail["export_digest"],
        },
    )


def envelopes_of(events: Sequence[UUID]) -> dict[UUID, bytes]:
    """Envelopes of pruned events that an earlier log held just so: whoever only marked a row as pruned has none."""
    if not events:
        return {}
    rows = PrunedEvent.objects.in_bulk(events)
    earlier = EarlierLeaf.objects.filter(event_id__in=rows).values_list("event_id", "hash")
    logged = {(event_id, bytes(value)) for event_id, value in earlier}
    return {
        event_id: bytes(row.envelope)
        for event_id, row in rows.items()
        if (event_id, leaf_hash(bytes(row.envelope))) in logged
    }


@dataclass(frozen=True)
class Doubt:
    """What is wrong about something pruned; `index` and `event` where known."""

    sentence: str
    index: int | None = None
    event: object = ""


class Pruned:
    """The pruned events, as `verify_ledger` walks over leaves: each against its leaf, all against the log."""

    def __init__(self) -> None:
        self.count = 0
        self.rows: dict[UUID, PrunedEvent] = {}
        self.told: dict[UUID, bool] = {}
        self.workspaces = dict(Workspace.objects.values_list("id", "salt"))

    def open(self, leaves: Iterable[Leaf]) -> None:
        missing = [leaf.event_id for leaf in leaves if "event" not in leaf._state.fields_cache]
        self.rows = PrunedEvent.objects.in_bulk(missing) if missing else {}

    def holds(self, leaf: Leaf) -> bool:
        """Whether this leaf's event is said to have been pruned."""
        return leaf.event_id in self.rows

    def doubts(self, leaf: Leaf) -> list[Doubt]:
        """What is wrong with what was kept of it."""
        row = self.rows[leaf.event_id]
        self.count += 1
        envelope = bytes(row.envelope)
        if leaf_hash(envelope) != bytes(leaf.hash):
            return [Doubt("the envelope kept of it does not hash to its leaf", leaf.index, row.event_id)]
        found = []
        if self._says(envelope) != self._told(row):
            found.append(Doubt("what is kept of it is not what its envelope says", leaf.index, row.event_id))
        if row.pruning not in self.told:
            self.told[row.pruning] = Event.objects.filter(
                id=row.pruning, verb=VERB, outcome=Outcome.DONE, workspace=row.workspace_id
            ).exists()
        if not self.told[row.pruning]:
            found.append(
                Doubt("it is marked as pruned, but no event tells of that pruning", leaf.index, row.event_id)
            )
        return found

    def _says(self, envelope: bytes) -> tuple[Any, ...]:
        parsed = parse_envelope(envelope)
        return parsed.event_id, parsed.subject_seq, parsed.workspace

    def _told(self, row: PrunedEvent) -> tuple[Any, ...]:
        salt = bytes.fromhex(self.workspaces.get(row.workspace_id, ""))
        workspace = pseudonym(salt, "workspace", str(row.workspace_id)).hex()
        return str(row.event_id), row.subject_seq, workspace

    def finish(self) -> Sequence[Doubt]:
        """After the walk: what is marked against what the log says was pruned."""
        found = [
            Doubt("it is marked as pruned, but is still there", event=event_id)
            for event_id in PrunedEvent.objects.filter(event_id__in=Event.objects.values("id")).values_list(
                "event_id", flat=True
            )[:CHUNK]
        ]
        for workspace in self.workspaces:
            event = newest(workspace)
            said = (
                (event.detail["total"], event.detail["pruned"])
                if event is not None
                else (0, sha256().hexdigest())
            )
            count, digest = digest_of_pruned(workspace)
            if (count, digest) != said:
                found.append(
                    Doubt(
                        f"the log says that {said[0]} events were pruned, and which; {count} are marked: events were "
                        "taken away, or marks",
                        event=event.id if event is not None else "",
                    )
                )
        return found
