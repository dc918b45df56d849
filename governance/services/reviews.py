"""Re-reviews of what stands somewhere: opened before they are due, completed by the role the policy names."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet

from audits.actors import Command
from audits.canonical import digest_of
from audits.checks.contract import Message
from audits.door import Result, service
from audits.errors import Conflict, Forbidden
from audits.ids import uuid7
from audits.ledger.body import timestamp
from audits.ledger.record import lock, record
from audits.models import Event
from audits.services.steps import stepped
from governance import clock, hindrances, selectors
from governance.authority import roles_of_person
from governance.models import Placement, PlacementReview
from governance.policy import terms
from governance.services.words import checked_words, hands_off, person_acting
from governance.standings import moment
from governance.states import REVIEW, PlacementState, ReviewState


@service("review.opened")
def open_review(*, command: Command, placement_id: UUID) -> Result[Placement]:
    """Open the re-review of a live placement whose due date is near. Called by the sweep; again changes nothing."""
    seen = Placement.objects.select_related("model").get(id=placement_id)
    lock(seen.workspace_id, seen.model.ref)
    placement = Placement.objects.select_related("promotion__policy", "version__model", "environment").get(
        id=placement_id
    )
    due = hindrances.review_dues([placement], moment(None))[placement.id]
    notice = terms.review(placement.promotion.policy.body).notice
    waits = (
        placement.state == PlacementState.LIVE
        and due is not None
        and due - notice <= clock.now()
        and not PlacementReview.objects.filter(placement=placement, state=ReviewState.OPEN).exists()
    )
    if waits and due is not None:
        review = PlacementReview.objects.create(
            workspace_id=placement.workspace_id, placement=placement, due=due
        )
        record(
            command,
            verb="review.opened",
            subject=review.ref,
            policy=placement.promotion.policy.pinned,
            after=_state(review),
            detail={"due": timestamp(due), "placement": str(placement.id)},
        )
    return Result(placement, created=False)


def untold(reviews: QuerySet[PlacementReview]) -> QuerySet[PlacementReview]:
    """Of these the open ones of what stands somewhere, of which no event has told yet that they are overdue."""
    told = Event.objects.filter(
        subject_kind="review", subject_id=OuterRef("pk"), verb="review.overdue", outcome="done"
    )
    return reviews.filter(
        ~Exists(told), state=ReviewState.OPEN, placement__state=PlacementState.LIVE
    ).select_related("placement__promotion__policy", "placement__version__model", "placement__environment")


@service("review.overdue")
def note_overdue_review(*, command: Command, review_id: UUID) -> Result[PlacementReview]:
    """Tell, once, that a re-review was not completed by its due date. Called by the sweep; the gate needs none."""
    seen = PlacementReview.objects.select_related("placement__version__model").get(id=review_id)
    lock(seen.workspace_id, seen.placement.version.model.ref)
    lock(seen.workspace_id, seen.ref)
    review = untold(PlacementReview.objects.filter(id=review_id)).first()
    due = hindrances.review_dues([review.placement], moment(None))[review.placement_id] if review else None
    if review is None or due is None or due > clock.now():
        return Result(seen, created=False)
    policy, state = review.placement.promotion.policy, _state(review)
    record(
        command,
        verb="review.overdue",
        subject=review.ref,
        policy=policy.pinned,
        reason=Message("review_overdue", {"due": timestamp(due)}),
        before=state,
        after=state,
        detail={
            "due": timestamp(due),
            "placement": str(review.placement_id),
            "overdue": terms.review(policy.body).overdue,
        },
    )
    return Result(review, created=False)


@service("review.completed")
def complete_review(*, command: Command, review_id: UUID, reason: str) -> Result[PlacementReview]:
    """It may go on standing there: renewed from now for the time the policy gives, effective once published."""
    seen = selectors.placement_review(command.actor, review_id)
    lock(seen.workspace_id, seen.placement.version.model.ref)
    lock(seen.workspace_id, seen.ref)
    review = (
        PlacementReview.objects.select_for_update(of=("self",))
        .select_related("placement__promotion__policy", "placement__version__model", "placement__environment")
        .get(id=review_id)
    )
    person = person_acting(command, "review.complete", review.ref)
    hands_off(review.placement.version, person, review.ref)
    policy = review.placement.promotion.policy
    role = terms.review(policy.body).role
    if role not in roles_of_person(review.workspace_id, person, review.ref):
        raise Forbidden("review_role", subject=review.ref, role=role, policy=policy.label)
    checked_words(reason, "reason", review.ref)
    if review.placement.state != PlacementState.LIVE:
        raise Conflict("placement_not_live", subject=review.ref, state=review.placement.state)
    before = _state(review)
    review.state = stepped("review_transition", review.ref, REVIEW, review.state, ReviewState.COMPLETED)
    review.completed_by, review.completed_at = person, clock.now()
    review.completed_event = uuid7()
    review.save()
    record(
        command,
        event_id=review.completed_event,
        verb="review.completed",
        subject=review.ref,
        policy=policy.pinned,
        texts={"reason": reason},
        before=before,
        after=_state(review),
        detail={"role": role, "placement": str(review.placement_id)},
    )
    return Result(review, created=False)


def _state(review: PlacementReview) -> str:
    return digest_of({"state": review.state, "due": timestamp(review.due)})
