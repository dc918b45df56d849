"""The states of a promotion request and of a placement. *Effective* is no state: it is derived from the ledger."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from audits.states import Table


class PromotionState(models.TextChoices):
    CHECKING = "checking", _("checking")
    AWAITING_APPROVAL = "awaiting_approval", _("awaiting approval")
    GRANTED = "granted", _("granted")
    REFUSED = "refused", _("refused")
    WITHDRAWN = "withdrawn", _("withdrawn")
    EXPIRED = "expired", _("expired")


PROMOTION: Table[PromotionState] = {
    PromotionState.CHECKING: frozenset(
        {
            PromotionState.AWAITING_APPROVAL,
            PromotionState.GRANTED,
            PromotionState.REFUSED,
            PromotionState.WITHDRAWN,
            PromotionState.EXPIRED,
        }
    ),
    PromotionState.AWAITING_APPROVAL: frozenset(
        {
            PromotionState.CHECKING,  # another version of its policy is in force: it is checked again
            PromotionState.GRANTED,
            PromotionState.REFUSED,
            PromotionState.WITHDRAWN,
            PromotionState.EXPIRED,
        }
    ),
    PromotionState.GRANTED: frozenset(),
    PromotionState.REFUSED: frozenset(),
    PromotionState.WITHDRAWN: frozenset(),
    PromotionState.EXPIRED: frozenset(),
}

OPEN_PROMOTION = (PromotionState.CHECKING, PromotionState.AWAITING_APPROVAL)


class PlacementState(models.TextChoices):
    LIVE = "live", _("live")
    SUPERSEDED = "superseded", _("superseded")
    SUSPENDED = "suspended", _("suspended")
    WITHDRAWN = "withdrawn", _("withdrawn")


PLACEMENT: Table[PlacementState] = {
    PlacementState.LIVE: frozenset(
        {PlacementState.SUPERSEDED, PlacementState.SUSPENDED, PlacementState.WITHDRAWN}
    ),
    # SUPERSEDED → LIVE: a rollback. SUSPENDED → SUPERSEDED: reinstated after another one went live in its place.
    PlacementState.SUPERSEDED: frozenset(
        {PlacementState.LIVE, PlacementState.SUSPENDED, PlacementState.WITHDRAWN}
    ),
    PlacementState.SUSPENDED: frozenset(
        {PlacementState.LIVE, PlacementState.SUPERSEDED, PlacementState.WITHDRAWN}
    ),
    PlacementState.WITHDRAWN: frozenset(),
}


class DecisionVerdict(models.TextChoices):
    APPROVE = "approve", _("approve")
    REJECT = "reject", _("reject")
    REQUEST_CHANGES = "request_changes", _("request changes")


class GrandfatheredState(models.TextChoices):
    """Of what ran before approval was asked for. That its deadline has passed is no state: it is derived."""

    RUNNING = "running", _("running")
    ENDED = "ended", _("ended")


GRANDFATHERED: Table[GrandfatheredState] = {
    GrandfatheredState.RUNNING: frozenset({GrandfatheredState.ENDED}),
    GrandfatheredState.ENDED: frozenset(),
}


class NoticeState(models.TextChoices):
    PENDING = "pending", _("pending")
    SENT = "sent", _("sent")
    SKIPPED = "skipped", _("not needed any more")
    FAILED = "failed", _("given up")


NOTICE: Table[NoticeState] = {
    NoticeState.PENDING: frozenset({NoticeState.SENT, NoticeState.SKIPPED, NoticeState.FAILED}),
    NoticeState.SENT: frozenset(),
    NoticeState.SKIPPED: frozenset(),
    NoticeState.FAILED: frozenset(),
}


class PolicyChangeState(models.TextChoices):
    PROPOSED = "proposed", _("proposed")
    APPROVED = "approved", _("approved")
    REJECTED = "rejected", _("rejected")
    WITHDRAWN = "withdrawn", _("withdrawn")


POLICY_CHANGE: Table[PolicyChangeState] = {
    PolicyChangeState.PROPOSED: frozenset(
        {PolicyChangeState.APPROVED, PolicyChangeState.REJECTED, PolicyChangeState.WITHDRAWN}
    ),
    PolicyChangeState.APPROVED: frozenset(),
    PolicyChangeState.REJECTED: frozenset(),
    PolicyChangeState.WITHDRAWN: frozenset(),
}


class DeploymentMode(models.TextChoices):
    LIVE = "live", _("live")
    CHALLENGER = "challenger", _("challenger")
    CANARY = "canary", _("canary")
    SHADOW = "shadow", _("shadow")
    AB = "ab", _("A/B test")
    BLUE_GREEN = "blue_green", _("blue-green")


class Severity(models.TextChoices):
    """In rising order: a policy's `block_at` shuts the gate from there on."""

    LOW = "low", _("low")
    MEDIUM = "medium", _("medium")
    HIGH = "high", _("high")
    CRITICAL = "critical", _("critical")


def at_least(severity: str, threshold: str) -> bool:
    return Severity.values.index(severity) >= Severity.values.index(threshold)


class FindingState(models.TextChoices):
    OPEN = "open", _("open")
    ANSWERED = "answered", _("answered")
    VERIFIED = "verified", _("verified")
    CLOSED = "closed", _("closed")


FINDING: Table[FindingState] = {
    FindingState.OPEN: frozenset({FindingState.ANSWERED}),
    # back to OPEN: the answer does not hold
    FindingState.ANSWERED: frozenset({FindingState.VERIFIED, FindingState.OPEN}),
    FindingState.VERIFIED: frozenset({FindingState.CLOSED, FindingState.OPEN}),
    FindingState.CLOSED: frozenset(),
}


class WaiverState(models.TextChoices):
    REQUESTED = "requested", _("requested")
    APPROVED = "approved", _("approved")
    REFUSED = "refused", _("refused")
    REVOKED = "revoked", _("revoked")


WAIVER: Table[WaiverState] = {
    WaiverState.REQUESTED: frozenset({WaiverState.APPROVED, WaiverState.REFUSED, WaiverState.REVOKED}),
    WaiverState.APPROVED: frozenset({WaiverState.REVOKED}),
    WaiverState.REFUSED: frozenset(),
    WaiverState.REVOKED: frozenset(),
}


class ConditionState(models.TextChoices):
    OPEN = "open", _("open")
    REPORTED = "reported", _("reported as fulfilled")
    FULFILLED = "fulfilled", _("fulfilled")


CONDITION: Table[ConditionState] = {
    ConditionState.OPEN: frozenset({ConditionState.REPORTED}),
    ConditionState.REPORTED: frozenset({ConditionState.FULFILLED, ConditionState.OPEN}),
    ConditionState.FULFILLED: frozenset(),
}


class ReviewState(models.TextChoices):
    OPEN = "open", _("open")
    COMPLETED = "completed", _("completed")


REVIEW: Table[ReviewState] = {
    ReviewState.OPEN: frozenset({ReviewState.COMPLETED}),
    ReviewState.COMPLETED: frozenset(),
}


class GlassState(models.TextChoices):
    BROKEN = "broken", _("broken")
    ENDED = "ended", _("ended early")


GLASS: Table[GlassState] = {
    GlassState.BROKEN: frozenset({GlassState.ENDED}),
    GlassState.ENDED: frozenset(),
}


class AlarmState(models.TextChoices):
    OPEN = "open", _("open")
    SIGNED_OFF = "signed_off", _("signed off")


ALARM: Table[AlarmState] = {
    AlarmState.OPEN: frozenset({AlarmState.SIGNED_OFF}),
    AlarmState.SIGNED_OFF: frozenset(),
}
