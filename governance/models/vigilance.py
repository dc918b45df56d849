"""What goes on after a yes: conditions that fall due, re-reviews, broken glass and its alarms."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from audits.actors import SubjectRef
from governance.models.policies import Environment
from governance.models.promotions import Decision, Placement, Promotion
from governance.states import AlarmState, ConditionState, GlassState, ReviewState
from registry.models import ModelVersion
from registry.models.base import Governed


class Condition(Governed):
    """What an approval depends on, by when. The words are a text of the decision's event: `condition_<n>`."""

    promotion = models.ForeignKey(Promotion, models.PROTECT, related_name="conditions")
    decision = models.ForeignKey(Decision, models.PROTECT, related_name="conditions")
    n = models.SmallIntegerField()
    due = models.DateTimeField()
    state = models.CharField(max_length=10, choices=ConditionState.choices, default=ConditionState.OPEN)
    set_by = models.UUIDField()
    reported_by = models.UUIDField(null=True)
    verified_by = models.UUIDField(null=True)
    verified_event = models.UUIDField(null=True)  # overdue, it counts once this is published

    class Meta:
        db_table = "governance_condition"
        constraints = [
            models.CheckConstraint(condition=Q(state__in=ConditionState.values), name="condition_state"),
            models.UniqueConstraint(fields=["decision", "n"], name="condition_n"),
            models.CheckConstraint(
                condition=Q(reported_by=None) | ~Q(reported_by=F("set_by")),
                name="condition_reported_by_other",
            ),
            models.CheckConstraint(
                condition=Q(verified_by=None) | ~Q(verified_by=F("reported_by")),
                name="condition_verified_by_other",
            ),
            models.CheckConstraint(
                condition=~Q(state="fulfilled")
                | Q(reported_by__isnull=False, verified_by__isnull=False, verified_event__isnull=False),
                name="condition_fulfilled_by_somebody",
            ),
        ]

    @property
    def label(self) -> str:
        return f"condition {self.n} on {self.promotion.label}"

    @property
    def ref(self) -> SubjectRef:
        return SubjectRef("condition", self.id, self.label, self.promotion.version.manifest_digest)


class PlacementReview(Governed):
    """A re-review of what stands somewhere. Completing it renews the placement once its event is published."""

    placement = models.ForeignKey(Placement, models.PROTECT, related_name="reviews")
    due = models.DateTimeField()
    state = models.CharField(max_length=10, choices=ReviewState.choices, default=ReviewState.OPEN)
    completed_by = models.UUIDField(null=True)
    completed_at = models.DateTimeField(null=True)
    completed_event = models.UUIDField(null=True)

    class Meta:
        db_table = "governance_placement_review"
        constraints = [
            models.CheckConstraint(condition=Q(state__in=ReviewState.values), name="placement_review_state"),
            models.UniqueConstraint(
                fields=["placement"], condition=Q(state="open"), name="placement_review_one_open"
            ),
            models.CheckConstraint(
                condition=~Q(state="completed")
                | Q(completed_by__isnull=False, completed_at__isnull=False, completed_event__isnull=False),
                name="placement_review_completed_by_somebody",
            ),
        ]

    @property
    def label(self) -> str:
        return f"re-review of {self.placement.label}"

    @property
    def ref(self) -> SubjectRef:
        return SubjectRef("review", self.id, self.label, self.placement.version.manifest_digest)


class BrokenGlass(Governed):
    """A version let through although refused, by one person, for some hours, with an alarm."""

    version = models.ForeignKey(ModelVersion, models.PROTECT, related_name="broken_glass")
    environment = models.ForeignKey(Environment, models.PROTECT, related_name="+")
    broken_by = models.UUIDField()
    expires_at = models.DateTimeField()
    state = models.CharField(max_length=10, choices=GlassState.choices, default=GlassState.BROKEN)
    granted_event = models.UUIDField()

    class Meta:
        db_table = "governance_broken_glass"
        constraints = [
            models.CheckConstraint(condition=Q(state__in=GlassState.values), name="broken_glass_state"),
        ]

    @property
    def label(self) -> str:
        return f"{self.version.label} in {self.environment.name}"

    @property
    def ref(self) -> SubjectRef:
        return SubjectRef("broken_glass", self.id, self.label, self.version.manifest_digest)


class Alarm(Governed):
    """Stays open, whatever happens to what raised it, until somebody outside engineering signs it off."""

    glass = models.OneToOneField(BrokenGlass, models.PROTECT, related_name="alarm")
    raised_by = models.UUIDField()
    state = models.CharField(max_length=10, choices=AlarmState.choices, default=AlarmState.OPEN)
    signed_off_by = models.UUIDField(null=True)

    class Meta:
        db_table = "governance_alarm"
        constraints = [
            models.CheckConstraint(condition=Q(state__in=AlarmState.values), name="alarm_state"),
            models.CheckConstraint(
                condition=Q(signed_off_by=None) | ~Q(signed_off_by=F("raised_by")),
                name="alarm_signed_off_by_other",
            ),
            models.CheckConstraint(
                condition=~Q(state="signed_off") | Q(signed_off_by__isnull=False),
                name="alarm_signed_off_by_somebody",
            ),
        ]

    @property
    def label(self) -> str:
        return f"broken glass: {self.glass.label}"

    @property
    def ref(self) -> SubjectRef:
        return SubjectRef("alarm", self.id, self.label, self.glass.version.manifest_digest)
