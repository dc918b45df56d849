"""What stays of events that were pruned, and which verbs may be (audits.retention)."""

from __future__ import annotations

from django.db import models

from audits.models.workspace import Workspace


class PrunedEvent(models.Model):
    """An event whose row is gone: its envelope, which says nothing without the salts, still proves that it was.

    Written by a function of the database only, in the transaction of the event `pruning` that tells of it; a column
    `xid` (that transaction) exists in the database only. Never changed.
    """

    event_id = models.UUIDField(primary_key=True)
    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="+")
    subject_kind = models.CharField(max_length=60)
    subject_id = models.UUIDField()
    subject_seq = models.BigIntegerField()
    at = models.DateTimeField()
    pruning = models.UUIDField(db_index=True)  # the event `audit.pruned`, which names the export
    envelope = models.BinaryField()

    class Meta:
        db_table = "audits_pruned"
        constraints = [
            models.UniqueConstraint(
                fields=["subject_kind", "subject_id", "subject_seq"], name="pruned_subject_seq"
            )
        ]
        indexes = [models.Index(fields=["workspace", "at"], name="pruned_workspace_at")]


class RetentionPeriod(models.Model):
    """One row, which only the owner writes: how many years the decision log is kept at least."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    years = models.SmallIntegerField(default=10)

    class Meta:
        db_table = "audits_retention_period"
        constraints = [
            models.CheckConstraint(condition=models.Q(id=1, years__gte=0), name="retention_period_single")
        ]


class DecisionLogVerb(models.Model):
    """A verb of the decision log, as the database knows it."""

    verb = models.CharField(max_length=80, primary_key=True)

    class Meta:
        db_table = "audits_decision_log"
