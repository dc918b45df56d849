from __future__ import annotations

from django.db import models

from audits.actors import SubjectRef
from audits.ids import uuid7
from audits.models.workspace import Workspace
from audits.states import CheckRunState


class Explanation(models.Model):
    """Why a model decided as it did about one record: asked for, computed in confinement, kept without the record.

    The record waits encrypted in `sealed` until a worker takes it, and is erased with the answer. What stays is
    `record_digest`, keyed and different in every explanation: who has the record and asks Crivo can show that it was
    this one; nobody can find out from it who it was about.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(Workspace, models.PROTECT, related_name="+")
    requested_by = models.UUIDField()  # the actor
    subject_kind = models.CharField(max_length=60)  # what is explained: a model version, by value
    subject_id = models.UUIDField()
    subject_label = models.CharField(max_length=400)
    subject_digest = models.CharField(max_length=80)
    question = models.JSONField()  # semantics, materials, seed, lime: all but the record
    record_digest = models.CharField(max_length=80)
    sealed = models.BinaryField(null=True)  # AES-256-GCM; null once it is answered
    # The data zone whose workers alone may take it, and where its data lies there: {digest: URI}.
    zone = models.CharField(max_length=60, null=True)  # noqa: DJ001 - null is left out of the row's digest
    sources = models.JSONField(null=True)
    confinement_level = models.SmallIntegerField(default=1)
    state = models.CharField(max_length=20, choices=CheckRunState.choices, default=CheckRunState.QUEUED)
    fence = models.IntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)
    attempts = models.SmallIntegerField(default=0)
    result = models.JSONField(null=True)  # CheckResult as JSON
    result_digest = models.CharField(max_length=80, blank=True)
    run_environment = models.JSONField(default=dict)
    queued_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "audits_explanation"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(state__in=CheckRunState.values), name="explanation_state"
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=["queued", "running"])
                | models.Q(result__isnull=False, sealed__isnull=True),
                name="explanation_finished_is_unsealed",
            ),
        ]
        indexes = [
            models.Index(fields=["subject_kind", "subject_id", "id"], name="explanation_subject"),
            models.Index(
                fields=["lease_until"],
                condition=models.Q(state__in=["queued", "running"]),
                name="explanation_open",
            ),
        ]

    @property
    def ref(self) -> SubjectRef:
        return SubjectRef("explanation", self.id, self.subject_label, self.result_digest)

    @property
    def finished(self) -> bool:
        return self.state in (CheckRunState.COMPLETED, CheckRunState.ERRORED)
