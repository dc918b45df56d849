from __future__ import annotations

from django.db import models
from django.db.models import Q

from audits.states import CheckRunState
from registry.models.base import Governed
from registry.models.datasets import DatasetVersion


class ReferenceSketch(Governed):
    """The reference sketch of a dataset version: asked for, made by one worker, kept by digest, never changed after.

    One that errored may be asked for again; of those that did not there is one.
    """

    version = models.ForeignKey(DatasetVersion, models.PROTECT, related_name="sketches")
    requested_by = models.UUIDField()  # the actor
    k = models.SmallIntegerField()  # fewest rows behind a cell
    state = models.CharField(max_length=20, choices=CheckRunState.choices, default=CheckRunState.QUEUED)
    fence = models.IntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)
    attempts = models.SmallIntegerField(default=0)
    format = models.CharField(max_length=20, blank=True)
    digest = models.CharField(max_length=80, blank=True)  # of the canonical JSON in the blob store
    size = models.BigIntegerField(null=True)
    rows = models.BigIntegerField(null=True)
    columns = models.JSONField(default=list)  # names
    attributes = models.JSONField(default=dict)  # {sensitive column: names of the groups it has}
    error = models.JSONField(null=True)  # message: why there is none
    run_environment = models.JSONField(default=dict)
    queued_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "registry_reference_sketch"
        constraints = [
            models.UniqueConstraint(
                fields=["version"], condition=~Q(state="errored"), name="reference_sketch_once"
            ),
            models.CheckConstraint(
                condition=Q(state__in=["queued", "running"], digest="", error__isnull=True)
                | (Q(state="completed", error__isnull=True) & ~Q(digest=""))
                | Q(state="errored", digest="", error__isnull=False),
                name="reference_sketch_finished_has_digest",
            ),
        ]
        indexes = [
            models.Index(
                fields=["lease_until"],
                condition=Q(state__in=["queued", "running"]),
                name="reference_sketch_open",
            ),
        ]

    @property
    def finished(self) -> bool:
        return self.state in (CheckRunState.COMPLETED, CheckRunState.ERRORED)
