"""The life of an export: asked for (an event: what was asked, by whom), made by one worker, finished once (an event:
what left, by digest). Claims, leases and progress are bookkeeping of the queue and leave none.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID
from zoneinfo import available_timezones

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from audits import blobs, dispatch
from audits.actors import Command
from audits.checks.contract import Message
from audits.door import Result, require, service
from audits.errors import BadRequest, Conflict, Unprocessable
from audits.ledger.record import lock, record
from audits.models import AuditExport, Workspace
from audits.services.leases import Lease
from audits.states import EXPORT, ExportForm, ExportState, step
from audits.trail import TrailQuery

LEASE = timedelta(minutes=5)  # renewed while the export grows
MAX_ATTEMPTS = 3
EXPORT_TASK = "audits.tasks.run_export"
_lease = Lease(AuditExport, LEASE, EXPORT_TASK)
claim, resend_waiting = _lease.claim, _lease.resend


@service("audit.exported")
def request_export(
    *,
    command: Command,
    query: TrailQuery,
    form: str = ExportForm.BUNDLE,
    language: str = "en",
    time_zone: str = "UTC",
) -> Result[AuditExport]:
    """Ask for an export of what the actor's workspace did. 403 unless they may export.

    `language` is that of sentences, also where words are searched; `time_zone` (IANA) that of the times told.
    """
    if form not in ExportForm.values:
        raise BadRequest("invalid", field="form", reason=f"one of {', '.join(ExportForm.values)}")
    if language not in dict(settings.LANGUAGES):
        raise BadRequest("invalid", field="language", reason=f"one of {', '.join(dict(settings.LANGUAGES))}")
    if time_zone not in available_timezones():
        raise Unprocessable("invalid", field="time_zone", reason="a name like America/Sao_Paulo")
    workspace = Workspace.objects.get(id=command.actor.workspace)
    require(command, "audit.export", None, remember_on=workspace.ref)
    export = AuditExport.objects.create(
        workspace=workspace,
        requested_by=command.actor.id,
        query=query.as_json(),
        form=form,
        language=language,
        time_zone=time_zone,
        sent_at=timezone.now(),
    )
    detail = {"query": export.query, "form": form, "language": language, "time_zone": time_zone}
    record(command, verb="audit.exported", subject=export.ref, detail=detail)
    transaction.on_commit(partial(dispatch.send, EXPORT_TASK, str(export.id)), robust=True)
    return Result(export)


def renew(export: AuditExport, done_entries: int, log_size: int) -> None:
    """Say how far it is, and keep the lease. Conflict if another worker has taken over."""
    if not _lease.renew(export.id, export.fence, done_entries=done_entries, log_size=log_size):
        raise Conflict("export_taken_over", export=str(export.id))


def _ours(export_id: UUID, fence: int) -> AuditExport:
    export = AuditExport.objects.select_for_update().get(id=export_id)
    lock(export.workspace_id, export.ref)
    if export.fence != fence or export.finished:
        raise Conflict("export_taken_over", export=str(export.id))
    export.finished_at, export.lease_until = timezone.now(), None
    return export


@service("audit.export_completed")
def complete_export(
    *, command: Command, export_id: UUID, fence: int, stored: blobs.Stored, manifest: dict[str, Any]
) -> Result[AuditExport]:
    """Write down what the export holds, once. 409 if another worker has taken it over meanwhile."""
    export = _ours(export_id, fence)
    export.state = step(EXPORT, export.state, ExportState.DONE)
    export.log_size = export.done_entries = manifest["log"]["size"]
    export.heads, export.matches, export.counts = manifest["heads"], manifest["matches"], manifest["counts"]
    export.blob_digest, export.blob_size = stored.digest, stored.size
    blobs.refer(export.workspace_id, stored)
    export.save()
    record(
        command,
        verb="audit.export_completed",
        subject=export.ref,
        after=stored.digest,
        evidence=[{"kind": "audit_export", "digest": stored.digest}],
        detail={
            "query": export.query,
            "form": export.form,
            "log": manifest["log"],
            "heads": export.heads,
            "matches": export.matches,
            "counts": export.counts,
        },
    )
    return Result(export, created=False)


@service("audit.export_failed")
def fail_export(*, command: Command, export_id: UUID, fence: int, why: Message) -> Result[AuditExport]:
    """Give the export up, and say why. 409 if another worker has taken it over meanwhile."""
    export = _ours(export_id, fence)
    export.state = step(EXPORT, export.state, ExportState.FAILED)
    export.error = {"code": why.code, "params": why.params}
    export.save()
    record(command, verb="audit.export_failed", subject=export.ref, reason=why)
    return Result(export, created=False)
