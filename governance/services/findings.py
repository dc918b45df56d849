"""Findings: opened on a version, answered by their owner, verified by another, closed by a third person.

The model's head is locked first. What a finding changes is the dossier of every open request of its version: those are
judged again in the same transaction, so decisions on the dossier as it was are void at once.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from audits.actors import Command, SubjectRef
from audits.canonical import digest_of
from audits.door import Result, service
from audits.errors import Forbidden, Unprocessable
from audits.ids import uuid7
from audits.ledger.body import timestamp
from audits.ledger.record import lock, record
from audits.models import CheckRun
from audits.services.steps import stepped
from governance import clock, selectors
from governance.authority import roles_of_person
from governance.models import Finding
from governance.services.claims import findings_on_claims
from governance.services.outcomes import settle_open
from governance.services.words import DIGEST, checked_words, hands_off, person_acting
from governance.states import FINDING, FindingState, Severity
from registry.models import ModelVersion
from registry.selectors import model_version_by_id


@service("finding.opened")
def open_finding(
    *,
    command: Command,
    version_id: UUID,
    severity: str,
    owner: str,
    due: datetime,
    text: str,
    evidence_digest: str = "",
) -> Result[Finding]:
    """Object to a version. `owner` is the user name of who has to answer; `evidence_digest` is sha256:… or empty."""
    version = model_version_by_id(command.actor, version_id)
    lock(version.workspace_id, version.model.ref)
    person = person_acting(command, "finding.open", version.ref)
    if severity not in Severity.values:
        raise Unprocessable(
            "severity_unknown",
            subject=version.ref,
            field="severity",
            severity=severity,
            known=Severity.values,
        )
    owner_id = selectors.person_named(owner)
    if owner_id is None or not roles_of_person(version.workspace_id, owner_id, version.ref):
        raise Unprocessable("owner_unknown", subject=version.ref, field="owner", name=owner)
    if due <= clock.now():
        raise Unprocessable("due_in_the_past", subject=version.ref, field="due")
    checked_words(text, "text", version.ref)
    _checked_digest(evidence_digest, version.ref)
    finding = Finding.objects.create(
        workspace_id=version.workspace_id,
        version=version,
        severity=severity,
        owner_id=owner_id,
        due=due,
        evidence_digest=evidence_digest,
        opened_by=person,
    )
    record(
        command,
        verb="finding.opened",
        subject=finding.ref,
        texts={"finding": text},
        evidence=_evidence(evidence_digest),
        after=_state(finding),
        detail={"severity": severity, "due": timestamp(due), "version": str(version.id)},
    )
    settle_open(command, version)
    return Result(finding)


@service("finding.opened")
def hold_claims(*, command: Command, run_id: UUID) -> Result[CheckRun]:
    """Open a finding on each claim of the version that this run does not bear out. Called by Crivo itself; once is
    enough, and doing it again changes nothing."""
    run = CheckRun.objects.get(id=run_id)
    version = ModelVersion.objects.select_related("model", "evaluation").get(id=run.subject_id)
    lock(version.workspace_id, version.model.ref)
    if findings_on_claims(command, version, [run]):
        settle_open(command, version)
    return Result(run, created=False)


@service("finding.answered")
def answer_finding(
    *, command: Command, finding_id: UUID, text: str, evidence_digest: str = ""
) -> Result[Finding]:
    """The owner says what was done about it."""
    finding = _locked(command, finding_id)
    person = person_acting(command, "finding.answer", finding.ref)
    if person != finding.owner_id:
        raise Forbidden("finding_not_yours", subject=finding.ref)
    _checked_digest(evidence_digest, finding.ref)
    finding.answered_by = person
    return _moved(command, finding, FindingState.ANSWERED, "finding.answered", text, evidence_digest)


@service("finding.verified")
def verify_finding(*, command: Command, finding_id: UUID, holds: bool, text: str) -> Result[Finding]:
    """Somebody else than its owner looks whether the answer holds; if not, the finding is open again."""
    finding = _locked(command, finding_id)
    person = person_acting(command, "finding.verify", finding.ref)
    _not_the_owner(finding, person)
    finding.verified_by = person if holds else None
    if holds:
        return _moved(command, finding, FindingState.VERIFIED, "finding.verified", text)
    return _moved(command, finding, FindingState.OPEN, verb="finding.returned", text=text)


@service("finding.closed")
def close_finding(*, command: Command, finding_id: UUID, holds: bool = True, text: str) -> Result[Finding]:
    """A third person closes what was verified: not its owner, its opener nor its verifier; or sends it back."""
    finding = _locked(command, finding_id)
    person = person_acting(command, "finding.close", finding.ref)
    _not_the_owner(finding, person)
    if person in (finding.opened_by, finding.verified_by):
        raise Forbidden("finding_closed_by_another", subject=finding.ref)
    if holds:
        finding.closed_by = person
        return _moved(command, finding, FindingState.CLOSED, "finding.closed", text)
    finding.verified_by = None
    return _moved(command, finding, FindingState.OPEN, verb="finding.returned", text=text)


def _not_the_owner(finding: Finding, person: UUID) -> None:
    if person == finding.owner_id:
        raise Forbidden("finding_is_yours", subject=finding.ref)
    hands_off(finding.version, person, finding.ref)


def _locked(command: Command, finding_id: UUID) -> Finding:
    seen = selectors.finding(command.actor, finding_id)
    lock(seen.workspace_id, seen.version.model.ref)
    lock(seen.workspace_id, seen.ref)
    return Finding.objects.select_for_update(of=("self",)).select_related("version__model").get(id=finding_id)


def _moved(
    command: Command, finding: Finding, wanted: FindingState, verb: str, text: str, evidence_digest: str = ""
) -> Result[Finding]:
    checked_words(text, "text", finding.ref)
    before = _state(finding)
    finding.state = stepped("finding_transition", finding.ref, FINDING, finding.state, wanted)
    event_id = uuid7()
    if wanted == FindingState.CLOSED:
        finding.closed_event = event_id
    finding.save()
    record(
        command,
        event_id=event_id,
        verb=verb,
        subject=finding.ref,
        texts={"reason": text},
        evidence=_evidence(evidence_digest),
        before=before,
        after=_state(finding),
    )
    settle_open(command, finding.version)
    return Result(finding, created=False)


def _checked_digest(digest: str, subject: SubjectRef) -> None:
    if digest and not DIGEST.fullmatch(digest):
        raise Unprocessable("digest_malformed", subject=subject, field="evidence_digest")


def _evidence(digest: str) -> list[dict[str, str]]:
    return [{"kind": "finding", "digest": digest}] if digest else []


def _state(finding: Finding) -> str:
    return digest_of({"severity": finding.severity, "state": finding.state, "due": timestamp(finding.due)})
