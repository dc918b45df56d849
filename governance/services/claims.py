"""A figure the submitter claims and ours does not bear out opens a finding; nobody has to notice the note.

Theirs is read from the version, the tolerance from the question, ours from the metrics of the result: its notes are
written by a process that ran the submitter's model, and are for people to read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from audits.actors import Command, system_actor
from audits.canonical import digest_of
from audits.checks.claims import ALIASES, LOWER_IS_BETTER, TOLERANCE
from audits.checks.contract import Message
from audits.ledger.body import timestamp
from audits.ledger.record import record
from audits.models import CheckRun
from governance import clock
from governance.models import Finding
from governance.states import Severity
from registry.models import ModelVersion

CHECK = "evaluation.performance"
ANSWER_WITHIN = timedelta(days=14)


@dataclass(frozen=True)
class Gap:
    """`inside`: the claim lies in the interval of ours."""

    metric: str
    claimed: float
    found: float
    tolerance: float
    inside: bool

    @property
    def flatters(self) -> bool:
        lower = self.metric in LOWER_IS_BETTER
        return self.claimed < self.found if lower else self.claimed > self.found

    @property
    def message(self) -> Message:
        about = {"claimed": self.claimed, "found": self.found, "tolerance": self.tolerance}
        return Message("claim_differs", {"metric": self.metric, **about})


def findings_on_claims(command: Command, version: ModelVersion, runs: Iterable[CheckRun]) -> list[Finding]:
    """Open what these runs of the version give reason for and is not open or settled already.

    Part of the transaction of a service that holds the model's head, and before it judges: whatever would let the
    version through then sees the finding.
    """
    opened = []
    for run in runs:
        evaluation = next((row for row in run.input["materials"] if row["role"] == "evaluation"), None)
        if evaluation is None:
            continue
        own = evaluation["digest"] == version.evaluation.digest
        for gap in gaps(version, run):
            known = Finding.objects.filter(
                version=version, metric=gap.metric, measured_on=evaluation["digest"]
            )
            if not known.exists():
                opened.append(_opened(command, version, run, gap, evaluation["digest"], own))
    return opened


def gaps(version: ModelVersion, run: CheckRun) -> Iterator[Gap]:
    """Claims further from ours than the tolerance. What is undefined, or not computed here, is no gap."""
    result = run.result or {}
    if run.check_slug != CHECK or result.get("outcome") != "completed":
        return
    tolerance = float(run.input["parameters"].get("claim_tolerance", TOLERANCE))
    whole = {row["metric"]: row for row in result["metrics"] if not (row["attribute"] or row["group"])}
    declared = version.metadata.get("claimed_metrics", {})
    for metric, claimed in {
        ALIASES.get(name, name): float(value) for name, value in declared.items()
    }.items():
        ours: dict[str, Any] = whole.get(metric, {})
        found = ours.get("value")
        if found is not None and abs(claimed - found) > tolerance:
            low, high = ours["interval"] or (found, found)
            yield Gap(metric, claimed, found, tolerance, low <= claimed <= high)


def severity_of(gap: Gap, own_data: bool) -> Severity:
    """A claim that says less than we find misleads nobody into production. One that says more does, except where it
    was made on other data and the sample of ours cannot tell the two apart."""
    if not gap.flatters:
        return Severity.LOW
    return Severity.MEDIUM if gap.inside and not own_data else Severity.HIGH


def _opened(
    command: Command, version: ModelVersion, run: CheckRun, gap: Gap, measured_on: str, own_data: bool
) -> Finding:
    finding = Finding.objects.create(
        workspace_id=version.workspace_id,
        version=version,
        severity=severity_of(gap, own_data),
        owner_id=version.author_id,
        due=clock.now() + ANSWER_WITHIN,
        evidence_digest=run.result_digest,
        metric=gap.metric,
        measured_on=measured_on,
        reason=asdict(gap.message),
    )
    # Whoever asks for the promotion did not object: Crivo did.
    itself = Command(system_actor("worker", version.workspace_id), correlation_id=command.correlation_id)
    record(
        itself,
        verb="finding.opened",
        subject=finding.ref,
        reason=gap.message,
        evidence=[{"kind": "finding", "digest": run.result_digest}],
        after=digest_of(
            {"severity": finding.severity, "state": finding.state, "due": timestamp(finding.due)}
        ),
        detail={
            "severity": finding.severity,
            "due": timestamp(finding.due),
            "version": str(version.id),
            "check_run": str(run.id),
        },
    )
    return finding
