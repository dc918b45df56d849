"""Models that ran before Crivo came: let in as *grandfathered* with a deadline, never as approved.

A deadline is never later than the environment's policies allow and is not moved afterwards: the same artefact given
again stays what it is. What was placed through a promotion, or taken back, is never let in by this door.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone

from audits.actors import Command
from audits.canonical import digest_of
from audits.door import Result, require, service
from audits.errors import Conflict, NotFound, Unprocessable
from audits.ids import uuid7
from audits.ledger.body import timestamp
from audits.ledger.record import lock, record
from audits.models import Workspace
from audits.services.reasons import require_reason
from audits.states import IllegalTransition, step
from governance.models import Environment, Grandfathered, Import, Placement, PolicyVersion
from governance.states import GRANDFATHERED, GrandfatheredState, PlacementState
from registry.models import Model
from registry.names import checked_name
from registry.services.registering import workspace_of

DEFAULT_DAYS = 90
MAX_ROWS = 500


@dataclass(frozen=True)
class Row:
    """One running model as it is declared."""

    model: str
    digest: str
    environment: str
    version: str = ""
    uri: str = ""
    since: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "since": timestamp(self.since) if self.since else None}


@service("import.recorded")
def import_running(
    *, command: Command, rows: Sequence[Row], deadline: datetime | None = None
) -> Result[Import]:
    """Let these in until `deadline` (default: as long as policy allows, 90 days). The same list is the same import.

    Per row one of: imported, existing (keeps its deadline), placed (a promotion speaks for it), replaced (an approved
    version stands in its place). 422 for a row that is malformed: then none is let in.
    """
    workspace = workspace_of(command)
    require(command, "placement.grandfather", None, remember_on=workspace.ref)
    models = {
        model.name: model
        for model in Model.objects.filter(workspace=workspace, name__in={row.model for row in rows})
    }
    lock(workspace.id, workspace.ref, *(model.ref for model in models.values()))
    given = {
        "deadline": timestamp(deadline) if deadline else None,
        "rows": [row.to_json() for row in rows],
    }
    digest = digest_of(given)
    existing = Import.objects.filter(workspace=workspace, digest=digest).first()
    if existing is not None:
        return Result(existing, created=False)
    environments = _checked(workspace, rows)
    now = timezone.now()
    deadlines = {name: _deadline(workspace, row, now, deadline) for name, row in environments.items()}
    models = {row.name: row for row in Model.objects.filter(workspace=workspace, name__in=list(models))}
    listing = Import(workspace=workspace, digest=digest, requested_by=command.actor.id)
    entries: list[Grandfathered] = []
    report: list[dict[str, Any]] = []
    for row in rows:
        if row.model not in models:
            models[row.model] = _new_model(command, workspace, row.model)
        model, environment = models[row.model], environments[row.environment]
        status, until = _standing(model, environment, row, entries)
        if status == "imported":
            entry = _entry(command, listing, model, environment, row, deadlines[row.environment])
            entries.append(entry)
            until = entry.deadline
        report.append(
            {
                "model": row.model, "version": row.version, "digest": row.digest, "environment": row.environment,
                "status": status, "deadline": timestamp(until) if until else None,
            }
        )  # fmt: skip
    listing.report = report
    listing.save(force_insert=True)
    record(
        command,
        verb="import.recorded",
        subject=listing.ref,
        after=digest,
        detail=dict(Counter(str(item["status"]) for item in report)),
    )
    return Result(listing)


def _checked(workspace: Workspace, rows: Sequence[Row]) -> dict[str, Environment]:
    if not 1 <= len(rows) <= MAX_ROWS:
        raise Unprocessable("import_size", subject=workspace.ref, field="rows", limit=MAX_ROWS)
    environments = {row.name: row for row in Environment.objects.filter(workspace=workspace)}
    for position, row in enumerate(rows):
        checked_name(row.model, workspace.ref)
        if row.environment not in environments:
            raise Unprocessable(
                "environment_unknown",
                subject=workspace.ref,
                field=f"rows.{position}.environment",
                name=row.environment,
                known=sorted(environments),
            )
    named = {row.environment for row in rows}
    return {name: row for name, row in environments.items() if name in named}


def longest_days(workspace: Workspace, environment: str) -> int:
    """Days a grandfathered artefact may run there: the least that a policy in force says, else 90."""
    said = [
        body["grandfathered"]["max_days"]
        for body in PolicyVersion.objects.filter(
            workspace=workspace, environment=environment, current=True
        ).values_list("body", flat=True)
        if "grandfathered" in body
    ]
    return min(said, default=DEFAULT_DAYS)


def _deadline(
    workspace: Workspace, environment: Environment, now: datetime, wanted: datetime | None
) -> datetime:
    days = longest_days(workspace, environment.name)
    latest = now + timedelta(days=days)
    until = wanted or latest
    if not now < until <= latest:
        raise Unprocessable(
            "grandfathering_deadline",
            subject=workspace.ref,
            field="deadline",
            environment=environment.name,
            days=days,
        )
    return until


def _new_model(command: Command, workspace: Workspace, name: str) -> Model:
    model = Model.objects.create(
        workspace=workspace, name=name, owner_id=command.actor.person or command.actor.id
    )
    record(command, verb="model.registered", subject=model.ref, after=digest_of({"name": name}))
    return model


def _standing(
    model: Model, environment: Environment, row: Row, made: list[Grandfathered]
) -> tuple[str, datetime | None]:
    known = Grandfathered.objects.filter(
        model=model, environment=environment, artifact_digest=row.digest
    ).first() or next(
        (
            entry
            for entry in made
            if (entry.model_id, entry.environment_id, entry.artifact_digest)
            == (model.id, environment.id, row.digest)
        ),
        None,
    )
    if known is not None:
        return "existing", known.deadline
    placements = Placement.objects.filter(model=model, environment=environment)
    if placements.filter(version__artifact_digest=row.digest).exists():
        return "placed", None
    if environment.exclusive and placements.filter(state=PlacementState.LIVE).exists():
        return "replaced", None
    return "imported", None


def _entry(
    command: Command, source: Import, model: Model, environment: Environment, row: Row, deadline: datetime
) -> Grandfathered:
    entry = Grandfathered(
        workspace=source.workspace,
        source=source,
        model=model,
        version=row.version,
        artifact_digest=row.digest,
        artifact_uri=row.uri,
        environment=environment,
        since=row.since,
        deadline=deadline,
        event_id=uuid7(),
    )
    entry.save(
        force_insert=True
    )  # before the list it belongs to: that reference is looked at with the commit
    record(
        command,
        event_id=entry.event_id,
        verb="grandfathered.registered",
        subject=entry.ref,
        evidence=[{"kind": "artifact", "digest": row.digest}],
        after=state_digest(entry),
        detail={
            "environment": environment.name,
            "deadline": timestamp(deadline),
            "uri": row.uri,
            "import": str(source.id),
        },
    )
    return entry


@service("grandfathered.ended")
def end_grandfathering(*, command: Command, entry_id: UUID, reason: str) -> Result[Grandfathered]:
    """Close the gate for it before its deadline. Binds at commit, and nothing takes it back."""
    seen = (
        Grandfathered.objects.select_related("model", "environment")
        .filter(workspace_id=command.actor.workspace, id=entry_id)
        .first()
    )
    if seen is None:
        raise NotFound("not_found", kind="grandfathered", name=str(entry_id))
    lock(seen.workspace_id, seen.model.ref, seen.ref)
    require(command, "placement.grandfather", seen.ref)
    require_reason(reason, seen.ref)
    entry = Grandfathered.objects.select_related("model", "environment").get(id=entry_id)
    before = state_digest(entry)
    try:
        entry.state = step(GRANDFATHERED, GrandfatheredState(entry.state), GrandfatheredState.ENDED)
    except IllegalTransition as error:
        raise Conflict("grandfathering_ended_already", subject=entry.ref) from error
    entry.ended_at = timezone.now()
    entry.save(update_fields=["state", "ended_at"])
    record(
        command,
        verb="grandfathered.ended",
        subject=entry.ref,
        texts={"reason": reason},
        before=before,
        after=state_digest(entry),
    )
    return Result(entry, created=False)


def state_digest(entry: Grandfathered) -> str:
    return digest_of(
        {
            "state": entry.state,
            "artifact": entry.artifact_digest,
            "environment": entry.environment.name,
            "deadline": timestamp(entry.deadline),
        }
    )
