"""The life of a reference sketch: asked for (an event of its dataset version), made by one worker, told once (one).

What it is good for: drift can be measured against the data of a version when the data themselves are gone.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from audits import blobs, dispatch
from audits.actors import Command
from audits.checks.contract import Message
from audits.checks.sketch_form import FORMAT, K, Reference
from audits.door import Result, require, service
from audits.errors import Conflict
from audits.ledger.record import lock, record
from audits.services.leases import Lease
from audits.states import CHECK_RUN, CheckRunState, step
from registry import selectors
from registry.models import ReferenceSketch
from registry.services.datasets import registering

LEASE = timedelta(seconds=settings.CRIVO_LEASE_SECONDS)
MAX_ATTEMPTS = 3
TASK = "registry.tasks.make_sketch"
_lease = Lease(ReferenceSketch, LEASE, TASK, zone="version__dataset__zone")
claim, renew, resend_waiting = _lease.claim, _lease.renew, _lease.resend


@service("reference_sketch.requested")
def request_sketch(*, command: Command, name: str, n: int) -> Result[ReferenceSketch]:
    """Have the sketch of `name@n` made. What is there, or on its way, is returned (created False).

    403 unless the actor may register versions of that dataset. One that errored may be asked for again.
    """
    version = selectors.dataset_version(command.actor, f"{name}@{n}")
    lock(version.workspace_id, version.ref)
    require(command, registering(version.dataset), version.ref)
    existing = ReferenceSketch.objects.filter(version=version).exclude(state=CheckRunState.ERRORED).first()
    if existing is not None:
        return Result(existing, created=False)
    k = max(K, version.dataset.smallest_cell or 0)
    row = ReferenceSketch.objects.create(
        workspace_id=version.workspace_id,
        version=version,
        requested_by=command.actor.id,
        k=k,
        sent_at=timezone.now(),
    )
    record(
        command,
        verb="reference_sketch.requested",
        subject=version.ref,
        detail={"sketch": str(row.id), "smallest_cell": k},
    )
    transaction.on_commit(partial(dispatch.send, TASK, str(row.id), zone=version.dataset.zone), robust=True)
    return Result(row)


@service("reference_sketch.kept")
def keep_sketch(
    *,
    command: Command,
    sketch_id: UUID,
    fence: int,
    stored: blobs.Stored,
    found: Reference,
    run_environment: dict[str, Any],
) -> Result[ReferenceSketch]:
    """Bytes already in the blob store become the sketch, once. 409 if another worker has taken it over meanwhile."""
    row = _held(sketch_id, fence)
    blobs.refer(row.workspace_id, stored)
    row.format, row.digest, row.size = FORMAT, stored.digest, stored.size
    row.rows, row.columns = found.rows, list(found.columns)
    row.attributes = {name: list(each.names) for name, each in (found.groups or {}).items()}
    _finish(row, CheckRunState.COMPLETED, run_environment)
    record(
        command,
        verb="reference_sketch.kept",
        subject=row.version.ref,
        evidence=[
            {"kind": "dataset", "digest": row.version.digest},
            {"kind": "reference_sketch", "digest": row.digest},
        ],
        detail={
            "sketch": str(row.id),
            "format": row.format,
            "smallest_cell": row.k,
            "rows": row.rows,
            "columns": len(row.columns),
            "sensitive": sorted(row.attributes),
        },
    )
    return Result(row, created=False)


@service("reference_sketch.failed")
def fail_sketch(
    *, command: Command, sketch_id: UUID, fence: int, error: Message, run_environment: dict[str, Any]
) -> Result[ReferenceSketch]:
    """Say why there is none, once. 409 if another worker has taken it over meanwhile."""
    row = _held(sketch_id, fence)
    row.error = {"code": error.code, "params": error.params}
    _finish(row, CheckRunState.ERRORED, run_environment)
    record(
        command,
        verb="reference_sketch.failed",
        subject=row.version.ref,
        reason=error,
        evidence=[{"kind": "dataset", "digest": row.version.digest}],
        detail={"sketch": str(row.id)},
    )
    return Result(row, created=False)


def _held(sketch_id: UUID, fence: int) -> ReferenceSketch:
    rows = ReferenceSketch.objects.select_for_update(of=("self",)).select_related("version__dataset")
    row = rows.get(id=sketch_id)
    lock(row.workspace_id, row.version.ref)
    if row.fence != fence or row.finished:
        raise Conflict("sketch_taken_over", sketch=str(row.id))
    return row


def _finish(row: ReferenceSketch, wanted: CheckRunState, run_environment: dict[str, Any]) -> None:
    row.state = step(CHECK_RUN, row.state, wanted)
    row.run_environment = run_environment
    row.finished_at = timezone.now()
    row.lease_until = None
    row.save()
