"""What a validator objects to, and what somebody agreed to do without for a while."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from audits.actors import SubjectRef
from governance.models.policies import Environment
from governance.states import FindingState, Severity, WaiverState
from registry.models import ModelVersion
from registry.models.base import Governed


class Finding(Governed):
    """An objection to one version. Open until it is closed; its words are texts of its events."""

    version = models.ForeignKey(ModelVersion, models.PROTECT, related_name="findings")
    severity = models.CharField(max_length=10, choices=Severity.choices)
    state = models.CharField(max_length=10, choices=FindingState.choices, default=FindingState.OPEN)
    owner_id = models.UUIDField()  # who has to answer
    due = models.DateTimeField()
    evidence_digest = models.CharField(max_length=80, blank=True)
    opened_by = models.UUIDField(null=True)  # people, not tokens; null: Crivo itself, about a claim
    # Of a claim that is not borne out: our metric, the evaluation data it was recomputed on, and the sentence about it.
    metric = models.CharField(max_length=100, null=True)  # noqa: DJ001 - null is left out of the row's digest
    measured_on = models.CharField(max_length=80, null=True)  # noqa: DJ001
    reason = models.JSONField(null=True)  # code and parameters
    answered_by = models.UUIDField(null=True)
    verified_by = models.UUIDField(null=True)
    closed_by = models.UUIDField(null=True)
    closed_event = models.UUIDField(null=True)  # what it shut opens again once this is published

    class Meta:
        db_table = "governance_finding"
        constraints = [
            models.CheckConstraint(condition=Q(severity__in=Severity.values), name="finding_severity"),
            models.CheckConstraint(condition=Q(state__in=FindingState.values), name="finding_state"),
            models.CheckConstraint(
                condition=Q(verified_by=None) | ~Q(verified_by=F("owner_id")),
                name="finding_not_verified_by_owner",
            ),
            models.CheckConstraint(
                condition=Q(closed_by=None)
                | (
                    ~Q(closed_by=F("owner_id"))
                    & ~Q(closed_by=F("opened_by"))
                    & ~Q(closed_by=F("verified_by"))
                ),
                name="finding_closed_by_another",
            ),
            models.CheckConstraint(
                condition=~Q(state="closed")
                | Q(closed_by__isnull=False, closed_event__isnull=False, verified_by__isnull=False),
                name="finding_closed_after_verification",
            ),
            models.CheckConstraint(
                condition=Q(opened_by__isnull=False, metric=None, measured_on=None)
                | Q(opened_by=None, metric__isnull=False, measured_on__isnull=False),
                name="finding_opened_by_somebody",
            ),
            # A check run twice, or its message delivered twice, objects once.
            models.UniqueConstraint(
                fields=["version", "metric", "measured_on"], name="finding_one_per_claim"
            ),
        ]

    def __str__(self) -> str:
        return self.label

    @property
    def label(self) -> str:
        return f"{self.severity} on {self.version.label}"

    @property
    def ref(self) -> SubjectRef:
        return SubjectRef("finding", self.id, self.label, self.version.manifest_digest)


class Waiver(Governed):
    """One requirement of one version in one environment, done without until `expires_at`.

    Effective once the leaf of `granted_event` is in a published checkpoint, and until it expires or is revoked.
    """

    version = models.ForeignKey(ModelVersion, models.PROTECT, related_name="waivers")
    environment = models.ForeignKey(Environment, models.PROTECT, related_name="+")
    check_slug = models.CharField(max_length=100)
    metric = models.CharField(max_length=100, blank=True)
    attribute = models.CharField(max_length=200, blank=True)
    state = models.CharField(max_length=10, choices=WaiverState.choices, default=WaiverState.REQUESTED)
    expires_at = models.DateTimeField()
    requested_by = models.UUIDField()
    decided_by = models.UUIDField(null=True)
    granted_event = models.UUIDField(null=True)
    flagged_at = models.DateTimeField(
        null=True
    )  # when the sweep told of its expiry; nothing is derived from it

    class Meta:
        db_table = "governance_waiver"
        constraints = [
            models.CheckConstraint(condition=Q(state__in=WaiverState.values), name="waiver_state"),
            models.CheckConstraint(
                condition=Q(decided_by=None) | ~Q(decided_by=F("requested_by")),
                name="waiver_decided_by_another",
            ),
            models.CheckConstraint(
                condition=~Q(state="approved") | Q(decided_by__isnull=False, granted_event__isnull=False),
                name="waiver_approved_by_somebody",
            ),
            models.UniqueConstraint(
                fields=["version", "environment", "check_slug", "metric", "attribute"],
                condition=Q(state="requested"),
                name="waiver_one_request",
            ),
        ]

    def __str__(self) -> str:
        return self.label

    @property
    def requirement(self) -> tuple[str, str, str]:
        return self.check_slug, self.metric, self.attribute

    @property
    def label(self) -> str:
        what = " ".join(part for part in (self.check_slug, self.metric, self.attribute) if part)
        return f"{what} of {self.version.label} in {self.environment.name}"

    @property
    def ref(self) -> SubjectRef:
        return SubjectRef("waiver", self.id, self.label, self.version.manifest_digest)
