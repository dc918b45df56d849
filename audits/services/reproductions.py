"""The life of a reproduction: asked for (an event of the check run), computed by one worker, told once (an event)."""

from __future__ import annotations

import json
from datetime import timedelta
from functools import partial
from itertools import islice
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from audits import dispatch
from audits.actors import Command
from audits.canonical import digest_of
from audits.checks.alike import MOST_SHOWN, differences
from audits.checks.catalogue import CATALOGUE
from audits.checks.contract import CheckResult
from audits.door import Result, require, service
from audits.errors import Conflict, Unprocessable
from audits.ledger.record import lock, record
from audits.models import CheckRun, Reproduction, ReproductionOutcome
from audits.services.check_runs import CANCELLED, message_of
from audits.services.leases import Lease
from audits.states import CHECK_RUN, CheckRunState, step

ACTION = "check_run.reproduce"
LEASE = timedelta(seconds=settings.CRIVO_LEASE_SECONDS)
MAX_ATTEMPTS = 3
TASK = "audits.tasks.run_reproduction"
_lease = Lease(Reproduction, LEASE, TASK, zone="run__zone")
claim, renew, resend_waiting = _lease.claim, _lease.renew, _lease.resend


@service("check_run.reproduction_requested")
def request_reproduction(*, command: Command, run_id: UUID) -> Result[Reproduction]:
    """403 unless the actor may; 409 for a run that is not finished; 422 where no second run could be compared."""
    run = CheckRun.objects.get(id=run_id, workspace_id=command.actor.workspace)
    lock(run.workspace_id, run.ref)
    require(command, ACTION, run.ref)
    if not run.finished:
        raise Conflict("reproduction_not_finished", subject=run.ref, state=run.state)
    error = message_of(run.result or {})
    if error is not None and error["code"] in CANCELLED:
        raise Conflict("reproduction_cancelled", subject=run.ref)
    definition = CATALOGUE.get(run.check_slug)
    if definition is None or definition.version != run.check_version:
        raise Unprocessable(
            "reproduction_other_version",
            subject=run.ref,
            check=run.check_slug,
            asked=run.check_version,
            installed=definition.version if definition else "-",
        )
    if not definition.repeatable:
        raise Unprocessable("reproduction_not_repeatable", subject=run.ref, check=run.check_slug)
    row = Reproduction.objects.create(
        workspace_id=run.workspace_id,
        run=run,
        requested_by=command.actor.id,
        tolerance=definition.tolerance,
        sent_at=timezone.now(),
    )
    record(
        command,
        verb="check_run.reproduction_requested",
        subject=run.ref,
        evidence=[{"kind": "check_input", "digest": run.input_digest}],
        detail={"reproduction": str(row.id), "check": run.check_slug, "version": run.check_version},
    )
    transaction.on_commit(partial(dispatch.send, TASK, str(row.id), zone=run.zone), robust=True)
    return Result(row)


@service("check_run.reproduced")
def complete_reproduction(
    *,
    command: Command,
    reproduction_id: UUID,
    fence: int,
    result: CheckResult,
    run_environment: dict[str, Any],
) -> Result[Reproduction]:
    """Compare and write it down, once. 409 if another worker has taken it over meanwhile (`fence` is behind)."""
    row = Reproduction.objects.select_for_update(of=("self",)).select_related("run").get(id=reproduction_id)
    lock(row.workspace_id, row.run.ref)
    if row.fence != fence or row.finished:
        raise Conflict("reproduction_taken_over", reproduction=str(row.id))
    _judge(row, result)
    errored = row.outcome == ReproductionOutcome.ERRORED
    row.state = step(CHECK_RUN, row.state, CheckRunState.ERRORED if errored else CheckRunState.COMPLETED)
    row.run_environment = run_environment
    row.finished_at = timezone.now()
    row.lease_until = None
    row.save()
    record(
        command,
        verb="check_run.reproduced",
        subject=row.run.ref,
        reason=result.error if errored else None,
        evidence=[
            {"kind": "check_input", "digest": row.run.input_digest},
            {"kind": "result", "digest": row.run.result_digest},
            {"kind": "reproduced_result", "digest": row.result_digest},
        ],
        # The run is what it was: a reproduction only speaks about it.
        before=row.run.result_digest,
        after=row.run.result_digest,
        detail={
            "reproduction": str(row.id),
            "outcome": row.outcome,
            "differences": row.difference_count,
            "tolerance": repr(row.tolerance),
        },
    )
    return Result(row, created=False)


def _judge(row: Reproduction, result: CheckResult) -> None:
    computed = json.loads(json.dumps(result.to_json()))  # as the stored one is: lists for tuples
    row.result_digest = digest_of(computed)
    if row.result_digest == row.run.result_digest:
        # An error that comes again is reproduced, too.
        row.outcome = ReproductionOutcome.IDENTICAL
        return
    if result.error is not None and row.run.state == CheckRunState.COMPLETED:
        row.outcome = ReproductionOutcome.ERRORED
        row.error = computed["error"]
        return
    # What was recorded is its digest: a stored result that no longer has it reproduces nothing.
    genuine = digest_of(row.run.result) == row.run.result_digest
    found = differences(row.run.result, computed, row.tolerance)
    row.differences = [item.to_json() for item in islice(found, MOST_SHOWN)]
    row.difference_count = len(row.differences) + sum(1 for _ in found)
    if not genuine:
        row.differences = [
            {
                "where": "stored result",
                "recorded": row.run.result_digest,
                "computed": digest_of(row.run.result),
            },
            *row.differences[: MOST_SHOWN - 1],
        ]
        row.difference_count += 1
    row.outcome = (
        ReproductionOutcome.DIFFERS if row.difference_count else ReproductionOutcome.WITHIN_TOLERANCE
    )
