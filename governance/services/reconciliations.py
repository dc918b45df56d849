"""What runs, as somebody saw it, against what the gate says: kept as evidence, whatever comes out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils import timezone

from audits.actors import Command
from audits.canonical import digest_of
from audits.door import Result, require, service
from audits.errors import Unprocessable
from audits.ledger.body import timestamp
from audits.ledger.inclusion import published_at
from audits.ledger.record import lock, record
from governance import gate
from governance.models import Environment, Placement, Reconciliation
from governance.services.brownfield import Row
from governance.states import PlacementState
from registry.services.registering import workspace_of

MAX_ROWS = 5_000
DIFFERENCES = frozenset({"not_approved", "wrong_digest", "absent", "ran_before_approval"})


@service("reconciliation.recorded")
def reconcile(
    *, command: Command, running: Sequence[Row], environments: Sequence[str] = ()
) -> Result[Reconciliation]:
    """Compare. `environments`: those the list speaks for, where whatever is approved and not in it counts as absent;
    default: those it names.

    Kinds of finding: approved, grandfathered; and, as differences, not_approved (with the gate's reason), wrong_digest
    (another version of that model is approved there), ran_before_approval, absent.
    """
    workspace = workspace_of(command)
    lock(workspace.id, workspace.ref)
    require(command, "reconciliation.record", None, remember_on=workspace.ref)
    if len(running) > MAX_ROWS:
        raise Unprocessable("reconciliation_size", subject=workspace.ref, field="running", limit=MAX_ROWS)
    names = sorted(set(environments) | {row.environment for row in running})
    known = {row.name: row for row in Environment.objects.filter(workspace=workspace, name__in=names)}
    for name in environments:
        if name not in known:
            raise Unprocessable(
                "environment_unknown",
                subject=workspace.ref,
                field="environments",
                name=name,
                known=sorted(known),
            )
    if not names:
        raise Unprocessable("reconciliation_empty", subject=workspace.ref, field="running")
    approved = _approved(workspace.id, [row.id for row in known.values()])
    answers = gate.ask_all(
        workspace.id, [gate.Question(row.digest, row.environment, row.model) for row in running]
    )
    findings = [_finding(row, answer, approved) for row, answer in zip(running, answers, strict=True)]
    findings += _absent(running, approved)
    counts = Counter(str(finding["kind"]) for finding in findings)
    asked_at = timezone.now()
    content = {
        "asked_at": timestamp(asked_at),
        "environments": names,
        "running": [row.to_json() for row in running],
        "findings": findings,
    }
    digest = digest_of(content)
    row = Reconciliation.objects.create(
        workspace=workspace,
        recorded_by=command.actor.id,
        asked_at=asked_at,
        environments=names,
        running=content["running"],
        findings=findings,
        counts=dict(counts),
        differences=sum(counts[kind] for kind in DIFFERENCES),
        digest=digest,
    )
    record(
        command,
        verb="reconciliation.recorded",
        subject=row.ref,
        evidence=[{"kind": "reconciliation", "digest": digest}],
        after=digest,
        detail={"counts": dict(counts), "environments": names},
    )
    return Result(row)


Approved = dict[tuple[str, str], list[tuple[Placement, datetime]]]


def _approved(workspace: UUID, environments: list[UUID]) -> Approved:
    """(environment, model) → what the gate lets run there: live, effective, of a version that is registered."""
    rows = list(
        Placement.objects.filter(
            workspace_id=workspace,
            environment_id__in=environments,
            state=PlacementState.LIVE,
            version__state="registered",
        )
        .select_related("version__model", "environment")
        .order_by("id")
    )
    effective = published_at(row.granted_event for row in rows)
    found: Approved = defaultdict(list)
    for row in rows:
        if row.granted_event in effective:
            found[row.environment.name, row.version.model.name].append((row, effective[row.granted_event]))
    return found


def _finding(row: Row, answer: gate.Answer, approved: Approved) -> dict[str, Any]:
    found: dict[str, Any] = {
        "environment": row.environment,
        "digest": row.digest,
        "model": row.model or _model_of(answer),
        "version": row.version,
        "since": timestamp(row.since) if row.since else None,
        "reason": {"code": reason.code, "params": reason.params}
        if (reason := next(iter(answer.reasons), None))
        else None,
        "expected": [],
    }
    if answer.grandfathered is not None and answer.allowed:
        return {**found, "kind": "grandfathered"}
    if answer.allowed:
        first = _first_effective(answer)
        early = row.since is not None and first is not None and row.since < first
        found["version"] = found["version"] or str(answer.standings[0].placement.version.n)
        return {**found, "kind": "ran_before_approval" if early else "approved"}
    others = approved.get((row.environment, found["model"]), [])
    found["expected"] = sorted({placement.version.artifact_digest for placement, _ in others})
    return {**found, "kind": "wrong_digest" if found["expected"] else "not_approved"}


def _model_of(answer: gate.Answer) -> str:
    if answer.grandfathered is not None:
        return answer.grandfathered.model.name
    names = {standing.placement.version.model.name for standing in answer.standings}
    return names.pop() if len(names) == 1 else ""


def _first_effective(answer: gate.Answer) -> datetime | None:
    """Since when this artefact has been approved there: by any of its placements, so that a rollback is not early."""
    placements = Placement.objects.filter(
        version__in={standing.placement.version_id for standing in answer.standings},
        environment=answer.standings[0].placement.environment,
    )
    return min(published_at(placements.values_list("granted_event", flat=True)).values(), default=None)


def _absent(running: Sequence[Row], approved: Approved) -> list[dict[str, Any]]:
    """A model of which a wrong version runs is found as that; here stands what is not seen at all."""
    seen = {(row.environment, row.digest) for row in running}
    named = {(row.environment, row.model) for row in running}
    return [
        {
            "kind": "absent", "environment": environment, "digest": placement.version.artifact_digest, "model": model,
            "version": str(placement.version.n), "since": timestamp(effective), "reason": None, "expected": [],
        }
        for (environment, model), rows in sorted(approved.items())
        for placement, effective in rows
        if (environment, placement.version.artifact_digest) not in seen and (environment, model) not in named
    ]  # fmt: skip
