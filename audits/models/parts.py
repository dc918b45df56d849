from __future__ import annotations

from django.db import models

from audits.ids import uuid7
from audits.models.evidence import CheckRun
from audits.models.workspace import Workspace
from audits.states import CheckPartState


class CheckPart(models.Model):
    """A share of the rows of one check run, counted by any worker under a lease of its own (audits.checks.mapped).

    `asked` and `counted` may quote values of sensitive columns: they are sealed (audits.services.check_parts), and gone
    once the run is finished. What stays is who counted how many rows, and the digest of what came out.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="+")
    run = models.ForeignKey(CheckRun, models.PROTECT, related_name="parts")
    index = models.IntegerField()
    rows = models.BigIntegerField()
    state = models.CharField(max_length=20, choices=CheckPartState.choices, default=CheckPartState.QUEUED)
    fence = models.IntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)
    attempts = models.SmallIntegerField(default=0)
    asked = models.BinaryField(null=True)
    counted = models.BinaryField(null=True)
    counted_digest = models.CharField(max_length=80, blank=True)
    error = models.JSONField(null=True)  # message: why this part could not be counted
    run_environment = models.JSONField(default=dict)
    queued_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "audits_check_part"
        constraints = [
            models.UniqueConstraint(fields=["run", "index"], name="check_part_index"),
            models.CheckConstraint(
                condition=models.Q(state__in=CheckPartState.values), name="check_part_state"
            ),
            models.CheckConstraint(
                condition=~models.Q(state="done") | ~models.Q(counted_digest=""),
                name="check_part_done_has_digest",
            ),
        ]
        indexes = [
            models.Index(
                fields=["lease_until"],
                condition=models.Q(state__in=["queued", "running"]),
                name="check_part_open",
            ),
        ]
