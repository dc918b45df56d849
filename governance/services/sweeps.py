"""What nobody has to remember: requests that have waited too long, reviews that fall due, waivers that have expired,
dossiers that changed. The gate is right without any of it; the sweeps tell people, and let requests go on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, Q

from audits.actors import Command, system_actor
from audits.errors import Refusal
from governance import clock, hindrances
from governance.dossier import assess
from governance.models import Finding, Placement, PlacementReview, Promotion, Waiver
from governance.policy import terms
from governance.services import conditions, reviews
from governance.services.promotions import expire_promotion, settle_promotion
from governance.services.waivers import flag_expired_waiver
from governance.standings import moment
from governance.states import OPEN_PROMOTION, PlacementState, PromotionState, ReviewState, WaiverState

CHUNK = 500
log = logging.getLogger(__name__)


def sweep() -> None:
    expire_requests()
    flag_waivers()
    open_reviews()
    note_missed_conditions()
    note_overdue_reviews()
    reassess_changed()


def expire_requests() -> list[UUID]:
    now = clock.now()
    rows = Promotion.objects.filter(state__in=OPEN_PROMOTION).select_related("policy").order_by("id")
    return _each(
        (row for row in rows.iterator(CHUNK) if now >= row.created_at + terms.expires_after(row.policy.body)),
        lambda command, row: expire_promotion(command=command, promotion_id=row.id),
    )


def flag_waivers() -> list[UUID]:
    rows = Waiver.objects.filter(
        state=WaiverState.APPROVED, flagged_at=None, expires_at__lte=clock.now()
    ).order_by("id")
    return _each(rows[:CHUNK], lambda command, row: flag_expired_waiver(command=command, waiver_id=row.id))


def open_reviews() -> list[UUID]:
    now = clock.now()
    reviewed = PlacementReview.objects.filter(placement=OuterRef("pk"), state=ReviewState.OPEN)
    rows = list(
        Placement.objects.filter(~Exists(reviewed), state=PlacementState.LIVE).select_related(
            "promotion__policy", "version", "model", "environment"
        )
    )
    dues = hindrances.review_dues(rows, moment(None))
    near = []
    for row in rows:
        due = dues[row.id]
        if due is not None and due - terms.review(row.promotion.policy.body).notice <= now:
            near.append(row)
    return _each(near, lambda command, row: reviews.open_review(command=command, placement_id=row.id))


def note_missed_conditions() -> list[UUID]:
    rows = conditions.missed(clock.now()).order_by("due", "id")
    return _each(
        rows[:CHUNK],
        lambda command, row: conditions.note_missed_condition(command=command, condition_id=row.id),
    )


def note_overdue_reviews() -> list[UUID]:
    """The due date is the one the gate goes by: a tier that changed since the review was opened moves it."""
    when = moment(None)
    rows = list(reviews.untold(PlacementReview.objects.all()).order_by("due", "id"))
    dues = hindrances.review_dues([row.placement for row in rows], when)
    late = [row for row in rows if (due := dues[row.placement_id]) is not None and due <= when.at]
    return _each(late, lambda command, row: reviews.note_overdue_review(command=command, review_id=row.id))


def reassess_changed() -> list[UUID]:
    """Requests that wait for people while their dossier became another one: a waiver took effect, or ran out."""
    excepted = Q(Exists(Waiver.objects.filter(version=OuterRef("version")))) | Q(
        Exists(Finding.objects.filter(version=OuterRef("version")))
    )
    rows = Promotion.objects.filter(excepted, state=PromotionState.AWAITING_APPROVAL).select_related(
        "version__evaluation__dataset", "environment", "policy"
    )
    now = clock.now()
    return _each(
        (row for row in rows.order_by("id").iterator(CHUNK) if assess(row, now).digest != row.dossier_digest),
        lambda command, row: settle_promotion(command=command, promotion_id=row.id),
    )


def _each(rows: Iterable[Any], act: Callable[[Command, Any], object]) -> list[UUID]:
    """Act on each row in a transaction of its own; one that is refused does not keep the others waiting."""
    done: list[UUID] = []
    for row in list(rows):
        correlation = {"correlation_id": row.correlation_id} if hasattr(row, "correlation_id") else {}
        try:
            act(Command(system_actor("sweep", row.workspace_id), **correlation), row)
        except Refusal:
            log.exception("the sweep was refused on %s", row.id)
            continue
        done.append(row.id)
    return done
