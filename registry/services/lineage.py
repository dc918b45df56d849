"""Lineage as evidence: an OpenLineage event is appended whole, then projected into nodes and edges."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.utils.dateparse import parse_datetime

from audits.actors import Command
from audits.canonical import digest_of, storable
from audits.door import Result, require, service
from audits.errors import BadRequest
from audits.ledger.record import lock, record
from audits.models import Workspace
from registry.models import DatasetVersion, LineageEdge, LineageEvent, LineageNode, ModelVersion

OWN_NAMESPACE = "crivo"


def node(workspace_id: Any, kind: str, namespace: str, name: str) -> LineageNode:
    row, _ = LineageNode.objects.get_or_create(
        workspace_id=workspace_id, kind=kind, namespace=namespace, name=name
    )
    return row


def node_of_version(version: DatasetVersion | ModelVersion) -> LineageNode:
    kind = "dataset" if isinstance(version, DatasetVersion) else "model"
    return node(version.workspace_id, kind, OWN_NAMESPACE, version.label)


def link(source: LineageNode, target: LineageNode, since: datetime) -> None:
    if source.pk != target.pk:
        LineageEdge.objects.get_or_create(
            source=source, target=target, valid_to=None, defaults={"valid_from": since}
        )


@service("lineage.recorded")
def record_lineage(*, command: Command, event: Any) -> Result[LineageEvent]:
    """One OpenLineage event (spec 2-0-2). The same event again is the same row (created False).

    400 only for what names no job, run or dataset; the rest is accepted and its flaws are kept as findings, because
    clients never send a refused event again.
    """
    workspace = Workspace.objects.get(id=command.actor.workspace)
    require(command, "lineage.record", None, remember_on=workspace.ref)
    body, findings = _checked(event)
    digest = digest_of(body)
    lock(workspace.id, workspace.ref)
    existing = LineageEvent.objects.filter(workspace=workspace, digest=digest).first()
    if existing is not None:
        return Result(existing, created=False)
    event_time, late = _event_time(body)
    row = LineageEvent.objects.create(
        workspace=workspace,
        digest=digest,
        event_time=event_time,
        event_type=str(body.get("eventType") or "OTHER")[:20],
        run_id=str(run.get("runId") or "")[:200] if isinstance(run := body.get("run"), dict) else "",
        body=body,
        findings=findings + late,
    )
    _project(row)
    record(
        command, verb="lineage.recorded", subject=row.ref, after=digest, detail={"findings": findings + late}
    )
    return Result(row)


def _checked(event: Any) -> tuple[dict[str, Any], list[str]]:
    if not isinstance(event, dict):
        raise BadRequest("lineage_not_an_object")
    if not any(isinstance(event.get(key), dict) and event[key] for key in ("job", "run", "dataset")):
        raise BadRequest("lineage_names_nothing")
    findings = []
    event, changed = storable(event)
    if "text" in changed:
        findings.append("lineage_nul_replaced")
    if "number" in changed:
        findings.append("lineage_number_as_text")
    if not event.get("schemaURL"):
        findings.append("lineage_schema_url_missing")
    return event, findings


def _event_time(body: dict[str, Any]) -> tuple[datetime, list[str]]:
    text = body.get("eventTime")
    try:
        moment = parse_datetime(text) if isinstance(text, str) else None
    except ValueError:
        moment = None
    if moment is None:
        return datetime.now(UTC), ["lineage_event_time_missing"]
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC), ["lineage_time_zone_missing"]
    try:
        # Within a zone's width of year 1 or 9999 it could be stored, and never be read again.
        return moment.astimezone(UTC), []
    except OverflowError:
        return datetime.now(UTC), ["lineage_event_time_missing"]


def _project(row: LineageEvent) -> None:
    """inputs → job → outputs. A dataset of ours is named `crivo` / `name@n` and meets its registered node."""
    body = row.body
    job = body.get("job")
    if not isinstance(job, dict) or not job.get("name"):
        return
    job_node = node(row.workspace_id, "job", _text(job, "namespace", 400), _text(job, "name", 1000))
    for side in ("inputs", "outputs"):
        named = body.get(side)
        for dataset in named if isinstance(named, list) else []:
            if not isinstance(dataset, dict) or not dataset.get("name"):
                continue
            other = node(
                row.workspace_id, "dataset", _text(dataset, "namespace", 400), _text(dataset, "name", 1000)
            )
            source, target = (other, job_node) if side == "inputs" else (job_node, other)
            link(source, target, row.event_time)


def _text(value: dict[str, Any], key: str, limit: int) -> str:
    return str(value.get(key) or "")[:limit]
