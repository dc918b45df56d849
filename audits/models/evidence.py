from __future__ import annotations

from django.db import models

from audits.actors import SubjectRef
from audits.ids import uuid7
from audits.models.workspace import Workspace
from audits.states import CheckRunState


class Blob(models.Model):
    """Bytes we hold, by content: `<workspace>/sha256/…` in the blob storage."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="+")
    digest = models.CharField(max_length=80)
    size = models.BigIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "audits_blob"
        constraints = [models.UniqueConstraint(fields=["workspace", "digest"], name="blob_digest")]


class CheckRun(models.Model):
    """One check on one subject, pinned to the bytes it was measured on. The result lives here, not in a broker."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="+")
    subject_kind = models.CharField(max_length=60)
    subject_id = models.UUIDField()
    subject_label = models.CharField(max_length=400, blank=True)
    subject_digest = models.CharField(max_length=80)
    check_slug = models.CharField(max_length=80)
    check_version = models.CharField(max_length=20)
    input = models.JSONField()  # CheckInput as JSON
    input_digest = models.CharField(max_length=80)
    # The data zone whose workers alone may take it, and where its data lies there: {digest: URI}.
    zone = models.CharField(max_length=60, null=True)  # noqa: DJ001 - null is left out of the row's digest
    sources = models.JSONField(null=True)
    confinement_level = models.SmallIntegerField(default=1)  # the least the policy asks for
    state = models.CharField(max_length=20, choices=CheckRunState.choices, default=CheckRunState.QUEUED)
    fence = models.IntegerField(
        default=0
    )  # goes up with each claim: a worker that lost its lease cannot write
    lease_until = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)
    attempts = models.SmallIntegerField(default=0)
    result = models.JSONField(null=True)  # CheckResult as JSON
    result_digest = models.CharField(max_length=80, blank=True)
    run_environment = models.JSONField(
        default=dict
    )  # libraries, confinement, seconds, memory: not in the digest
    queued_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "audits_check_run"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(state__in=CheckRunState.values), name="check_run_state"
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=["queued", "running"]) | models.Q(result__isnull=False),
                name="check_run_finished_has_result",
            ),
        ]
        indexes = [
            models.Index(fields=["workspace", "input_digest"], name="check_run_input"),
            models.Index(fields=["subject_kind", "subject_id"], name="check_run_subject"),
            models.Index(
                fields=["lease_until"],
                condition=models.Q(state__in=["queued", "running"]),
                name="check_run_open",
            ),
        ]

    @property
    def subject(self) -> SubjectRef:
        return SubjectRef(self.subject_kind, self.subject_id, self.subject_label, self.subject_digest)

    @property
    def ref(self) -> SubjectRef:
        return SubjectRef(
            "check_run", self.id, f"{self.check_slug} · {self.subject_label}", self.result_digest
        )

    @property
    def finished(self) -> bool:
        return self.state in (CheckRunState.COMPLETED, CheckRunState.ERRORED)
