from __future__ import annotations

from django.db import models

from audits.ids import uuid7
from audits.models.evidence import CheckRun
from audits.models.workspace import Workspace
from audits.states import CheckRunState


class ReproductionOutcome(models.TextChoices):
    IDENTICAL = "identical"  # the same digest
    WITHIN_TOLERANCE = "within_tolerance"  # other bytes, no number further off than the check declares
    DIFFERS = "differs"
    ERRORED = "errored"  # the second run gave no result, so nothing can be said


class Reproduction(models.Model):
    """A finished check run, computed again on the same input, and whether the same came out. The run never changes."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="+")
    run = models.ForeignKey(CheckRun, models.PROTECT, related_name="reproductions")
    requested_by = models.UUIDField()  # the actor
    state = models.CharField(max_length=20, choices=CheckRunState.choices, default=CheckRunState.QUEUED)
    fence = models.IntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)
    attempts = models.SmallIntegerField(default=0)
    outcome = models.CharField(max_length=20, choices=ReproductionOutcome.choices, blank=True)
    tolerance = models.FloatField()  # relative to the larger of 1 and the number, as the check declares
    result_digest = models.CharField(max_length=80, blank=True)  # of the second result
    differences = models.JSONField(default=list)  # the first cells that differ: where, recorded, computed
    difference_count = models.IntegerField(default=0)
    error = models.JSONField(null=True)  # message: why the second run gave no result
    run_environment = models.JSONField(default=dict)
    queued_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "audits_reproduction"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(state__in=CheckRunState.values), name="reproduction_state"
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=["queued", "running"], outcome="")
                | models.Q(state="completed", outcome__in=["identical", "within_tolerance", "differs"])
                | models.Q(state="errored", outcome="errored", error__isnull=False),
                name="reproduction_finished_has_outcome",
            ),
        ]
        indexes = [
            models.Index(
                fields=["lease_until"],
                condition=models.Q(state__in=["queued", "running"]),
                name="reproduction_open",
            ),
        ]

    @property
    def finished(self) -> bool:
        return self.state in (CheckRunState.COMPLETED, CheckRunState.ERRORED)
