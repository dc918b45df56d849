from __future__ import annotations

from django.db import models

from audits.actors import SubjectRef
from audits.ids import uuid7
from audits.models.workspace import Workspace
from audits.states import ExportForm, ExportState


class AuditExport(models.Model):
    """An export of one workspace's trail: asked for, made by a worker, kept in the blob store: a verifiable
    one as a tar, one for people (CSV, JSON Lines) as a zip.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="+")
    requested_by = models.UUIDField()  # the actor
    query = models.JSONField()  # as asked: {verb: […], outcome: […], actor, subject_kind, …}
    form = models.CharField(max_length=10, choices=ExportForm.choices, default=ExportForm.BUNDLE)
    language = models.CharField(max_length=10, default="en")  # of sentences
    time_zone = models.CharField(max_length=64, default="UTC")  # of times, IANA
    state = models.CharField(max_length=20, choices=ExportState.choices, default=ExportState.QUEUED)
    fence = models.IntegerField(default=0)  # goes up with each claim, like that of a check run
    lease_until = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)
    attempts = models.SmallIntegerField(default=0)
    done_entries = models.BigIntegerField(default=0)  # progress
    log_size = models.BigIntegerField(null=True)  # entries of the log it covers
    heads = models.BigIntegerField(null=True)  # events of the workspace among them
    matches = models.BigIntegerField(null=True)  # those that match the query
    counts = models.JSONField(default=dict)  # matches by verb
    blob_digest = models.CharField(max_length=80, blank=True)
    blob_size = models.BigIntegerField(null=True)  # bytes
    error = models.JSONField(null=True)  # {code, params}
    queued_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "audits_export"
        constraints = [
            models.CheckConstraint(condition=models.Q(state__in=ExportState.values), name="export_state"),
            models.CheckConstraint(
                condition=~models.Q(state="done") | ~models.Q(blob_digest=""), name="export_done_has_blob"
            ),
            models.CheckConstraint(condition=models.Q(form__in=ExportForm.values), name="export_form"),
        ]
        indexes = [
            models.Index(
                fields=["lease_until"],
                condition=models.Q(state__in=["queued", "running"]),
                name="export_open",
            )
        ]

    @property
    def ref(self) -> SubjectRef:
        return SubjectRef("audit_export", self.id, str(self.id), self.blob_digest)

    @property
    def finished(self) -> bool:
        return self.state in (ExportState.DONE, ExportState.FAILED)
