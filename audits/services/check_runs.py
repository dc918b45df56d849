"""The life of a check run: queued with its request, claimed by one worker, finished once.

Claiming and leases are bookkeeping of the queue, not governed changes: they leave no event. Finishing does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from audits import dispatch
from audits.actors import Actor, Command, SubjectRef, authoriser
from audits.canonical import digest_of
from audits.checks.catalogue import CATALOGUE
from audits.checks.contract import CheckInput, CheckResult, Material, Message, plain_role
from audits.door import Result, require, service
from audits.errors import Conflict, NotFound
from audits.ledger.record import lock, record
from audits.models import CheckPart, CheckRun
from audits.services.leases import Lease, as_long_as_it_waited
from audits.services.reasons import require_reason
from audits.states import CHECK_RUN, CheckPartState, CheckRunState, step

# Renewed while the check computes: a killed worker's run is free again soon.
LEASE = timedelta(seconds=settings.CRIVO_LEASE_SECONDS)
MAX_ATTEMPTS = 3
RUN_TASK = "audits.tasks.run_check"
_lease = Lease(CheckRun, LEASE, RUN_TASK, as_long_as_it_waited, zone="zone")
claim, renew, resend_waiting = _lease.claim, _lease.renew, _lease.resend


def obtain_run(
    actor: Actor,
    *,
    subject: SubjectRef,
    slug: str,
    parameters: dict[str, Any],
    seed: int,
    semantics: dict[str, Any],
    materials: tuple[Material, ...],
    confinement_level: int,
    fresh_since: datetime,
    sources: dict[str, str] | None = None,
) -> CheckRun:
    """The run that answers this question: one that did, on the very same input and recently enough, or a new one.

    Part of the transaction of a service. Errored runs are never used again. `sources`: where the data of a zone lies.
    """
    check_input = _input(slug, parameters, seed, semantics, materials)
    as_json = check_input.to_json()
    digest = digest_of(as_json)
    same = _same(actor.workspace, subject, digest, confinement_level)
    earlier = (
        same.filter(Q(state=CheckRunState.COMPLETED, finished_at__gte=fresh_since) | Q(state__in=OPEN))
        .order_by("-queued_at")
        .first()
    )
    if earlier is not None:
        return earlier
    run = CheckRun.objects.create(
        workspace_id=actor.workspace,
        subject_kind=subject.kind,
        subject_id=subject.id,
        subject_label=subject.label,
        subject_digest=subject.digest,
        check_slug=slug,
        check_version=check_input.version,
        input=as_json,
        input_digest=digest,
        confinement_level=confinement_level,
        zone=(semantics.get("zone") or {}).get("name"),
        sources=sources or None,
        sent_at=timezone.now(),
    )
    transaction.on_commit(partial(dispatch.send, RUN_TASK, str(run.id), zone=run.zone), robust=True)
    return run


def _input(
    slug: str,
    parameters: dict[str, Any],
    seed: int,
    semantics: dict[str, Any],
    materials: tuple[Material, ...],
) -> CheckInput:
    definition = CATALOGUE[slug]
    return CheckInput(
        check=slug,
        version=definition.version,
        parameters=parameters,
        seed=seed,
        semantics=semantics,
        materials=tuple(material for material in materials if plain_role(material.role) in definition.roles),
    )


def _same(workspace: UUID, subject: SubjectRef, digest: str, confinement_level: int) -> QuerySet[CheckRun]:
    return CheckRun.objects.filter(
        workspace_id=workspace,
        input_digest=digest,
        subject_kind=subject.kind,
        subject_id=subject.id,
        confinement_level__gte=confinement_level,
    )


def latest_answer(
    workspace: UUID,
    *,
    subject: SubjectRef,
    slug: str,
    parameters: dict[str, Any],
    seed: int,
    semantics: dict[str, Any],
    materials: tuple[Material, ...],
    confinement_level: int,
    sources: dict[str, str] | None = None,
) -> CheckRun | None:
    """What there is for this question: the last run that completed, else the last that errored. Reads only."""
    digest = digest_of(_input(slug, parameters, seed, semantics, materials).to_json())
    finished = _same(workspace, subject, digest, confinement_level).exclude(state__in=OPEN)
    # "completed" comes before "errored".
    return finished.order_by("state", "-finished_at").first()


OPEN = (CheckRunState.QUEUED, CheckRunState.RUNNING)
CANCELLED = ("check_cancelled", "check_not_needed")


@service("check_run.completed")
def complete_check_run(
    *, command: Command, run_id: UUID, fence: int, result: CheckResult, run_environment: dict[str, Any]
) -> Result[CheckRun]:
    """Write the outcome, once. 409 if another worker has taken the run over meanwhile (`fence` is behind)."""
    run = _held(run_id)
    if run.fence != fence or run.finished:
        raise Conflict("check_run_taken_over", run=str(run.id))
    run.run_environment = run_environment
    return Result(_ended(command, run, result, verb="check_run.completed"), created=False)


@service("check_run.cancelled")
def cancel_check_run(*, command: Command, run_id: UUID, reason: str) -> Result[CheckRun]:
    """End a check before it has a result; whoever counts is stopped. 403 unless the actor may, 409 once it is finished.

    A cancelled check has errored: it passes no request, and the next one that asks the same has it computed.
    """
    if not authoriser().visible(command.actor, CheckRun.objects.all()).filter(id=run_id).exists():
        raise NotFound("not_found", kind="check run", name=str(run_id))
    run = _held(run_id)
    require(command, "check_run.cancel", run.ref)
    require_reason(reason, run.ref)
    if run.finished:
        raise Conflict("check_run_finished", subject=run.ref, state=run.state)
    result = failed_result("check_cancelled")
    return Result(
        _ended(command, run, result, verb="check_run.cancelled", texts={"reason": reason}), created=False
    )


def end_unneeded(command: Command, run_id: UUID, needed: Callable[[], bool], *others: SubjectRef) -> CheckRun:
    """End a run that nobody waits for; it stays as it is if it is finished, or `needed` by now.

    Part of the transaction of a service. `others`: whose locks keep the answer of `needed` from changing.
    """
    run = _held(run_id, *others)
    if run.finished or needed():
        return run
    return _ended(command, run, failed_result("check_not_needed"), verb="check_run.cancelled")


def _held(run_id: UUID, *others: SubjectRef) -> CheckRun:
    """The run and its head, locked in this order. A request may refer to it meanwhile (FOR KEY SHARE)."""
    run = CheckRun.objects.select_for_update(no_key=True).get(id=run_id)
    lock(run.workspace_id, run.ref, *others)
    return run


def _ended(
    command: Command, run: CheckRun, result: CheckResult, *, verb: str, texts: dict[str, str] | None = None
) -> CheckRun:
    wanted = CheckRunState.COMPLETED if result.outcome == "completed" else CheckRunState.ERRORED
    run.state = step(CHECK_RUN, run.state, wanted)
    run.result = result.to_json()
    run.result_digest = digest_of(run.result)
    run.finished_at = timezone.now()
    run.lease_until = None
    run.save()
    forget_parts(run)
    record(
        command,
        verb=verb,
        subject=run.ref,
        reason=result.error,
        texts=texts or {},
        evidence=[
            {"kind": "check_input", "digest": run.input_digest},
            {"kind": "result", "digest": run.result_digest},
        ],
        after=run.result_digest,
        detail={
            "check": run.check_slug,
            "version": run.check_version,
            "outcome": result.outcome,
            "subject": {"kind": run.subject_kind, "id": str(run.subject_id), "digest": run.subject_digest},
        },
    )
    return run


def forget_parts(run: CheckRun) -> None:
    """Nobody goes on counting, nor needs what was counted. Part of the transaction that ends the run."""
    parts = CheckPart.objects.filter(run=run)
    parts.filter(state__in=[CheckPartState.QUEUED, CheckPartState.RUNNING]).update(
        state=CheckPartState.DROPPED, lease_until=None
    )
    parts.update(asked=None, counted=None)


def failed_result(code: str, **params: Any) -> CheckResult:
    return CheckResult(outcome="errored", error=Message(code, params))


def message_of(result: dict[str, Any]) -> dict[str, Any] | None:
    error = result.get("error")
    return asdict(Message(**error)) if error else None
