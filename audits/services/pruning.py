"""Pruning the decision log, from the front, after an export of it that was verified then and there.

What goes are rows of events and the texts of people in them (audits.retention says which). What stays are leaves, tree,
checkpoints and of each event its envelope: every proof, every receipt and every later export verifies as before, and
says of what is missing that it was pruned, and in which export it is. A function of the database does it, as the only
one that can, and judges again whatever the database can judge (migration 0010).
"""

from __future__ import annotations

import tarfile
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection

from audits import blobs
from audits.actors import Command, SubjectRef
from audits.door import Result, require, service
from audits.errors import Conflict, NotFound, Unprocessable
from audits.ids import uuid7
from audits.ledger import nodes, pruned
from audits.ledger.body import timestamp
from audits.ledger.receipts import entry_of
from audits.ledger.record import lock, record
from audits.models import AuditExport, Event, RetentionPeriod, Workspace
from audits.services.reasons import require_reason
from audits.states import ExportForm, ExportState
from audits.verifier import UnreadableError, verify_export

CHUNK = 2_000


@service("audit.pruned")
def prune_log(*, command: Command, export_id: UUID, before: datetime, reason: str) -> Result[Event]:
    """Remove events of the decision log that are older than `before` and in the export: a finished, verifiable one of
    everything, which is verified first.

    403 unless they may; 404 no such export; 409 under a legal hold, or where nothing is to be pruned; 422 where the
    export does not verify or is no complete one, or `before` is younger than the decision log is kept.
    """
    workspace = Workspace.objects.get(id=command.actor.workspace)
    subject = pruned.retention_ref(workspace)
    lock(workspace.id, subject)
    require(command, "audit.prune", subject)
    require_reason(reason, subject)
    _require_old(before, subject)
    export = AuditExport.objects.filter(id=export_id, workspace=workspace).first()
    if export is None:
        raise NotFound("not_found", kind="export", name=str(export_id))
    _require_complete(export, subject)
    upto = _upto(export, before)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), count(*) FILTER (WHERE held) FROM audits_prunable "
            'WHERE workspace_id = %s AND "index" < %s AND at < %s',
            [workspace.id, upto, before],
        )
        count, held = cursor.fetchone()
    if held:
        raise Conflict("pruning_on_hold", subject=subject, count=held)
    if not count:
        raise Conflict("pruning_nothing", subject=subject, before=timestamp(before))
    _verify(export, subject)
    return Result(_prune(command, subject, export, before, upto, reason))


@service("retention.set")
def note_period(*, command: Command, years: int, reason: str) -> Result[Event]:
    """The event of a longer or shorter time of keeping; the owner then sets it (`manage.py keep_decision_log`)."""
    workspace = Workspace.objects.get(id=command.actor.workspace)
    subject = pruned.retention_ref(workspace)
    lock(workspace.id, subject)
    require(command, "audit.prune", subject)
    require_reason(reason, subject)
    if not 1 <= years <= 100:
        raise Unprocessable("invalid", subject=subject, field="years", reason="1 to 100 years")
    before = RetentionPeriod.objects.get().years
    detail = {"before": before, "years": years}
    return Result(
        record(command, verb="retention.set", subject=subject, texts={"reason": reason}, detail=detail)
    )


def _require_old(before: datetime, subject: SubjectRef) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT crivo_kept_since(), (SELECT years FROM audits_retention_period)")
        since, years = cursor.fetchone()
    if before > since:
        raise Unprocessable("pruning_too_young", subject=subject, field="before", years=years)


def _require_complete(export: AuditExport, subject: SubjectRef) -> None:
    if export.state != ExportState.DONE or export.form != ExportForm.BUNDLE or export.query:
        raise Unprocessable("pruning_export_incomplete", subject=subject, export=str(export.id))


def _upto(export: AuditExport, before: datetime) -> int:
    """Where the front ends: the first entry of the workspace that is not older, or that the export does not have."""
    first = (
        Event.objects.filter(workspace=export.workspace_id, at__gte=before, leaf__isnull=False)
        .order_by("leaf__index")
        .values_list("leaf__index", flat=True)
        .first()
    )
    size = export.log_size or 0
    return size if first is None else min(first, size)


def _verify(export: AuditExport, subject: SubjectRef) -> None:
    """The export, as anybody would verify it, with a published key; and that it is of the log which is here."""
    with tempfile.TemporaryDirectory(prefix="crivo-pruning-") as scratch:
        folder = Path(scratch)
        try:
            with (
                blobs.opened(export.workspace_id, export.blob_digest) as file,
                tarfile.open(fileobj=file, mode="r|") as members,
            ):
                members.extractall(folder, filter="data")
            vkey = _published(folder)
            report = verify_export(folder, vkey)
        except (OSError, ValueError, tarfile.TarError, UnreadableError) as error:
            raise Unprocessable(
                "pruning_export_unverified", subject=subject, export=str(export.id), reason=str(error)
            ) from error
    problems = [str(problem) for problem in report.problems]
    here = (settings.CRIVO_ORIGIN, export.log_size)
    if (report.origin, report.size) != here or nodes.stored_root(report.size) != report.root:
        problems.append("it is not of the log that is here")
    if report.completeness != "filtered" or (report.heads, report.matches) != (export.heads, export.matches):
        problems.append("it does not prove that it is complete")
    if problems:
        raise Unprocessable(
            "pruning_export_unverified", subject=subject, export=str(export.id), reason=problems[0]
        )


def _published(folder: Path) -> str:
    """The key in the export, if it is one of those that are published. ValueError if not."""
    publication, own = Path(settings.CRIVO_PUBLISH), (folder / "vkey").read_text().strip()
    source = publication / "vkeys"
    known = (source if source.exists() else publication / "vkey").read_text().split()
    if own not in known:
        raise ValueError("its key is none that is published")
    return own


def _prune(
    command: Command, subject: SubjectRef, export: AuditExport, before: datetime, upto: int, reason: str
) -> Event:
    told_by = uuid7()
    count = _mark(told_by, export, before, upto)
    total, digest = pruned.digest_of_pruned(export.workspace_id)
    earlier = pruned.newest(export.workspace_id)
    this = {"export": str(export.id), "export_digest": export.blob_digest, "count": count}
    event = record(
        command,
        event_id=told_by,
        verb="audit.pruned",
        subject=subject,
        texts={"reason": reason},
        evidence=[{"kind": "audit_export", "digest": export.blob_digest}],
        detail={
            **this,
            "before": timestamp(before),
            "upto": upto,
            "total": total,
            "pruned": digest,
            "exports": [*(earlier.detail["exports"] if earlier is not None else []), this],
        },
    )
    with connection.cursor() as cursor:
        cursor.execute("SELECT crivo_prune(%s)", [told_by])
    return event


def _mark(told_by: UUID, export: AuditExport, before: datetime, upto: int) -> int:
    """Keep the envelope of each, after making sure that its row is the one that was logged."""
    marked, after = 0, -1
    with connection.cursor() as cursor:
        while True:
            cursor.execute(
                'SELECT id, "index" FROM audits_prunable WHERE workspace_id = %s AND "index" > %s AND "index" < %s '
                'AND at < %s ORDER BY "index" LIMIT %s',
                [export.workspace_id, after, upto, before, CHUNK],
            )
            rows = cursor.fetchall()
            ids: list[Any] = [row[0] for row in rows]
            if not ids:
                return marked
            events = Event.objects.select_related("workspace", "leaf").in_bulk(ids)
            envelopes = [entry_of(events[event_id], events[event_id].leaf) for event_id in ids]
            cursor.execute(
                "SELECT crivo_mark_pruned(%s, %s::uuid[], %s::bytea[])",
                [told_by, [str(event_id) for event_id in ids], envelopes],
            )
            marked, after = marked + len(ids), rows[-1][1]
