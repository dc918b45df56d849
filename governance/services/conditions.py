"""Conditions of an approval: set with it, reported as fulfilled by somebody else, and verified by a third look."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypedDict
from uuid import UUID

from django.db.models import Exists, F, OuterRef, Q, QuerySet

from audits.actors import Command, SubjectRef
from audits.canonical import digest_of
from audits.checks.contract import Message
from audits.door import Result, service
from audits.errors import Forbidden, Unprocessable
from audits.ids import uuid7
from audits.ledger.body import timestamp
from audits.ledger.record import lock, record
from audits.models import Event
from audits.services.steps import stepped
from governance import clock, selectors
from governance.models import Condition, Decision, Exclusion, Promotion
from governance.services.words import checked_words, person_acting
from governance.states import CONDITION, ConditionState, DecisionVerdict, PlacementState

AT_MOST = 20


class ConditionTerms(TypedDict):
    text: str
    due: datetime


def checked_conditions(
    conditions: Sequence[ConditionTerms], verdict: str, subject: SubjectRef, now: datetime
) -> None:
    if conditions and verdict != DecisionVerdict.APPROVE:
        raise Unprocessable("conditions_need_approval", subject=subject, field="conditions")
    if len(conditions) > AT_MOST:
        raise Unprocessable("conditions_too_many", subject=subject, field="conditions", limit=AT_MOST)
    for condition in conditions:
        checked_words(condition["text"], "conditions.text", subject)
        if condition["due"] <= now:
            raise Unprocessable("due_in_the_past", subject=subject, field="conditions.due")


def set_conditions(
    command: Command, promotion: Promotion, decision: Decision, conditions: Sequence[ConditionTerms]
) -> None:
    """Part of the deciding transaction; the words are already in the decision's event."""
    for n, terms in enumerate(conditions, 1):
        condition = Condition.objects.create(
            workspace_id=promotion.workspace_id,
            promotion=promotion,
            decision=decision,
            n=n,
            due=terms["due"],
            set_by=decision.person_id,
        )
        record(
            command,
            verb="condition.set",
            subject=condition.ref,
            after=_state(condition),
            detail={"due": timestamp(condition.due), "promotion": str(promotion.id)},
        )


@service("condition.reported")
def report_condition(*, command: Command, condition_id: UUID, text: str) -> Result[Condition]:
    """Say that a condition is fulfilled, and how: by anybody but the one who set it. It counts once verified."""
    condition = _locked(command, condition_id)
    person = person_acting(command, "condition.report", condition.ref)
    if person == condition.set_by:
        raise Forbidden("own_condition", subject=condition.ref)
    checked_words(text, "text", condition.ref)
    condition.reported_by = person
    return _moved(command, condition, ConditionState.REPORTED, "condition.reported", text)


@service("condition.verified")
def verify_condition(*, command: Command, condition_id: UUID, holds: bool, text: str) -> Result[Condition]:
    """Somebody else than whoever reported it looks, and nobody excluded from deciding: fulfilled, or open again."""
    condition = _locked(command, condition_id)
    person = person_acting(command, "condition.verify", condition.ref)
    if person == condition.reported_by:
        raise Forbidden("own_report", subject=condition.ref)
    if Exclusion.objects.filter(promotion=condition.promotion, person_id=person).exists():
        raise Forbidden("hand_in_version", subject=condition.ref, version=condition.promotion.version.label)
    checked_words(text, "text", condition.ref)
    if holds:
        condition.verified_by = person
        return _moved(command, condition, ConditionState.FULFILLED, "condition.verified", text)
    return _moved(command, condition, ConditionState.OPEN, verb="condition.returned", text=text)


def missed(now: datetime) -> QuerySet[Condition]:
    """Conditions of what stands somewhere that nobody verified by their due date, and that no event has told of."""
    told = Event.objects.filter(
        subject_kind="condition", subject_id=OuterRef("pk"), verb="condition.missed", outcome="done"
    )
    return Condition.objects.filter(
        ~Exists(told),
        ~Q(state=ConditionState.FULFILLED),
        due__lte=now,
        # Of a decision that was void the grant does not rest on.
        decision__dossier_digest=F("promotion__dossier_digest"),
        promotion__placement__state=PlacementState.LIVE,
    )


@service("condition.missed")
def note_missed_condition(*, command: Command, condition_id: UUID) -> Result[Condition]:
    """Tell, once, that the due date of a condition has passed. Called by the sweep; the gate needs none."""
    seen = Condition.objects.select_related("promotion__version__model").get(id=condition_id)
    lock(seen.workspace_id, seen.promotion.version.model.ref)
    lock(seen.workspace_id, seen.ref)
    # Another sweep, or whoever verifies it, may have been first: asked again under the lock.
    condition = missed(clock.now()).filter(id=condition_id).first()
    if condition is None:
        return Result(seen, created=False)
    state = _state(condition)
    due = timestamp(condition.due)
    record(
        command,
        verb="condition.missed",
        subject=condition.ref,
        reason=Message("condition_overdue", {"n": condition.n, "due": due}),
        before=state,
        after=state,
        detail={"due": due, "promotion": str(condition.promotion_id)},
    )
    return Result(condition, created=False)


def _locked(command: Command, condition_id: UUID) -> Condition:
    seen = selectors.condition(command.actor, condition_id)
    lock(seen.workspace_id, seen.promotion.version.model.ref)
    lock(seen.workspace_id, seen.ref)
    return (
        Condition.objects.select_for_update(of=("self",))
        .select_related("promotion__version__model", "promotion__environment")
        .get(id=condition_id)
    )


def _moved(
    command: Command, condition: Condition, wanted: ConditionState, verb: str, text: str
) -> Result[Condition]:
    before = _state(condition)
    condition.state = stepped("condition_transition", condition.ref, CONDITION, condition.state, wanted)
    event_id = uuid7()
    if wanted == ConditionState.FULFILLED:
        condition.verified_event = event_id
    condition.save()
    record(
        command,
        event_id=event_id,
        verb=verb,
        subject=condition.ref,
        texts={"reason": text},
        before=before,
        after=_state(condition),
    )
    return Result(condition, created=False)


def _state(condition: Condition) -> str:
    return digest_of({"state": condition.state, "due": timestamp(condition.due)})
